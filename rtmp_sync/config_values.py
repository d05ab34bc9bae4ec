"""Types of configuration values that TOML does not have: addresses, paths, networks.

Each parser raises ValueError whose text is the *fix* of the error line that the user reads.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ValidationInfo

__all__ = ["Address", "ConfigPath", "ListenAddress", "Network", "NodeId", "PeerAddress"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WILDCARD = frozenset({"0.0.0.0", "::", ""})


class Address(NamedTuple):
    """A TCP endpoint. `str()` gives "host:port", with brackets around an IPv6 host."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read "host:port", "[v6]:port" or ":port" (all interfaces); raises ValueError."""
        host, colon, port_text = text.strip().rpartition(":")
        if not colon or not port_text.isascii() or not port_text.isdecimal():
            raise ValueError('give "host:port", for example "127.0.0.1:1935"')
        port = int(port_text)
        if port > 65535:
            raise ValueError("the port must be at most 65535")
        if host.startswith("[") and host.endswith("]"):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        elif ":" in host:
            raise ValueError('put an IPv6 address in brackets, for example "[::1]:1935"')
        elif any(character.isspace() or character in "/@" for character in host):
            raise ValueError('give "host:port" without scheme or path')
        try:
            host.encode("idna")  # as every connection to it does
        except UnicodeError:
            raise ValueError('there is no such host name; give "host:port"') from None
        return cls(host or "0.0.0.0", port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """It stands for every interface of the machine."""
        return self.host in _WILDCARD

    @property
    def dialable(self) -> Address:
        """The address by which this machine itself reaches what listens here."""
        if not self.is_wildcard:
            return self
        return Address("::1" if self.host == "::" else "127.0.0.1", self.port)

    def collides_with(self, other: Address) -> bool:
        """Both cannot be listened on at once (port 0 is chosen by the system, so never)."""
        if self.port != other.port or self.port == 0:
            return False
        return self.host == other.host or self.is_wildcard or other.is_wildcard

    def reaches(self, listen: Address) -> bool:
        """Dialling self would arrive at `listen` on this machine."""
        if self.port != listen.port:
            return False
        if self.host == listen.host:
            return True
        return self.host in _LOOPBACK and (listen.is_wildcard or listen.host in _LOOPBACK)


def _listen_address(value: Any) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError('give "host:port" in quotes')
    return Address.parse(value)


def _peer_address(value: Any) -> Address:
    address = _listen_address(value)
    if address.port == 0 or address.is_wildcard:
        raise ValueError("give the host and port at which the other origin is reached")
    return address


def _path(value: Any, info: ValidationInfo) -> Path:
    """A path; a relative one counts from the configuration file's folder."""
    if isinstance(value, str) and value:
        value = Path(value)
    if not isinstance(value, Path):
        raise ValueError("give a path in quotes")
    base = info.context.get("directory") if info.context else None
    path = value.expanduser()
    return path if base is None else Path(base) / path


def _network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except (ValueError, TypeError):
        raise ValueError('give an address or network, for example "10.0.0.0/24"') from None


def _node_id(value: Any) -> str:
    """A name that can stand in the pair file, in file names and in the pair's id."""
    if not isinstance(value, str):
        raise ValueError("give a name in quotes")
    allowed = value.isascii() and all(c.isalnum() or c in "._-" for c in value)
    if not allowed or not 1 <= len(value) <= 64 or not value[0].isalnum():
        raise ValueError("use 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first")
    return value


ListenAddress = Annotated[Address, BeforeValidator(_listen_address)]
PeerAddress = Annotated[Address, BeforeValidator(_peer_address)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
Network = Annotated[str, BeforeValidator(_network)]
NodeId = Annotated[str, BeforeValidator(_node_id)]
