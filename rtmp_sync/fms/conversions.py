"""From the text of an FMS element to the value of a key of ours.

Each raises ValueError whose text is the reason for which the element is not carried over.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = [
    "Conversion",
    "Folder",
    "Noted",
    "addresses",
    "admin_port",
    "chunk_size",
    "connections",
    "denied",
    "folder",
    "rate",
    "rtmp_port",
    "virtual_folder",
]

_WINDOWS: Final = re.compile(r"^(?:[A-Za-z]:[\\/]|\\\\)")


class Folder(NamedTuple):
    """A folder, which has to be there before the key can be given. name: of a virtual one."""

    path: str
    name: str = ""


class Noted(NamedTuple):
    """A value, and what of the element it does not say."""

    value: object
    note: str


Conversion = Callable[[str], object]


def rtmp_port(value: str) -> object:
    """ "ip:1935,80,-443": the first port that is not one for SSL."""
    host, ports = _host_and_ports(value)
    plain = [port for port in ports if port > 0]
    if not plain:
        raise ValueError("only ports for SSL: they are `rtmp.tls_listen`")
    address = f"{host or '0.0.0.0'}:{plain[0]}"
    others = [str(abs(port)) for port in ports if port != plain[0]]
    if not others:
        return address
    return Noted(address, f"not {', '.join(others)}: one for SSL is `rtmp.tls_listen`")


def admin_port(value: str) -> object:
    """The same of the administration server."""
    return rtmp_port(value)


def _host_and_ports(value: str) -> tuple[str, list[int]]:
    host, _, ports = value.strip().rpartition(":")
    try:
        return host.strip(), [int(port) for port in ports.split(",")]
    except ValueError:
        raise ValueError("not [ADDRESS]:PORT,…") from None


def chunk_size(value: str) -> object:
    """Bytes; FMS took 128 to 65536."""
    number = _whole(value)
    if not 128 <= number <= 65536:
        raise ValueError("not a chunk size from 128 to 65536")
    return number


def connections(value: str) -> object:
    """A count; 0 and below meant any number."""
    number = _whole(value)
    if number <= 0:
        raise ValueError("any number in FMS: give one that the machine can serve")
    return number


def rate(value: str) -> object:
    """Bytes a second."""
    number = _whole(value)
    if number <= 0:
        raise ValueError("any number, as here without the key")
    return number


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError("not a whole number") from None


def addresses(value: str) -> object:
    """A list of addresses and networks, separated by commas or spaces."""
    parts = value.replace(",", " ").split()
    if not parts or [part.lower() for part in parts] == ["all"]:
        raise ValueError("everybody, as here without the key")
    found = []
    for part in parts:
        stars = part.rstrip(".*").split(".") if part.endswith("*") else []
        network = ".".join([*stars, *["0"] * (4 - len(stars))]) + f"/{8 * len(stars)}"
        try:
            found.append(str(ipaddress.ip_network(network if stars else part, strict=False)))
        except ValueError:
            raise ValueError(
                f"{part!r} is no address or network; names are not looked up"
            ) from None
    return found


def denied(value: str) -> object:
    """The same of those that are not let in."""
    if value.strip().lower() == "all":
        raise ValueError("nobody would get in: list in `rtmp.allow` who does")
    return addresses(value)


def folder(value: str) -> object:
    """A path on this system."""
    value = value.strip()
    if not value:
        raise ValueError("no folder given")
    if _WINDOWS.match(value):
        raise ValueError("a folder of Windows: mount it here and give the path")
    return Folder(value.rstrip("/") or "/")


def virtual_folder(value: str) -> object:
    """ "/prefix;path": streams of that name prefix have a folder of their own."""
    name, semicolon, path = value.partition(";")
    name = "/" + name.strip().strip("/")
    if not semicolon or name == "/":
        raise ValueError("no prefix: that is `storage.media` here")
    where = folder(path)
    assert isinstance(where, Folder)
    return Folder(where.path, name)
