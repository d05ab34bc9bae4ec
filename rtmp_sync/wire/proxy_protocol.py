"""The PROXY protocol: a load balancer's first bytes tell whose connection it passes on.

    version 1   PROXY TCP4 192.0.2.7 10.0.0.1 56324 1935\\r\\n   (TCP6, UNKNOWN; at most 107 bytes)
    version 2   signature 12 bytes, version and command u8, family and transport u8, length u16,
                then `length` bytes: source, destination, source port, destination port, TLVs

UNKNOWN, the command LOCAL (the load balancer's own checks) and families that are not TCP over
IP leave the connection with the address that it has. Everything that is not exactly as the
specification (haproxy.org, proxy-protocol.txt) has it is refused. TLVs are measured and left
unread, a checksum among them, too: the bytes came over TCP from an address that is trusted.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from struct import Struct
from typing import Final, final

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL_HEADER: Final = SIGNATURE + b"\x20\0\0\0"  # version 2: this is no client's connection

_V1_START: Final = b"PROXY "
MAX_V1_BYTES: Final = 107  # the specification's worst case
# Addresses take 216 at most; the rest are TLVs, of which the longest are those of load balancers
# that end TLS and pass the client's names on. The specification wants all of it in 536.
MAX_V2_BYTES: Final = 4096

_V2_START: Final = Struct(">12sBBH")
_V2_TCP4: Final = Struct(">4s4sHH")
_V2_TCP6: Final = Struct(">16s16sHH")
_TLV_START: Final = Struct(">BH")
# Valid combinations of family and transport (TCP and UDP over IPv4 and IPv6, Unix sockets), and
# how long their addresses are. 0 in either half is "unspecified".
_ADDRESS_BYTES: Final = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}

Endpoint = tuple[str, int]
"""An IP address in its canonical form, and a port."""


@final
@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """source: the client; None: the connection's own address counts. size: bytes of the header."""

    source: Endpoint | None
    destination: Endpoint | None
    size: int


def encode(source: Endpoint, destination: Endpoint) -> bytes:
    """A header of version 1. Raises LocalProtocolError unless both are of one family."""
    try:
        addresses = [ipaddress.ip_address(host) for host, _ in (source, destination)]
    except ValueError as error:
        raise LocalProtocolError(f"a PROXY header has addresses, no names: {error}") from None
    if addresses[0].version != addresses[1].version:
        raise LocalProtocolError("both addresses of a PROXY header are of one family")
    family = "TCP4" if addresses[0].version == 4 else "TCP6"
    hosts = f"{addresses[0]} {addresses[1]}"
    return f"PROXY {family} {hosts} {source[1]} {destination[1]}\r\n".encode("ascii")


def decode(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while it is incomplete.

    Raises RemoteProtocolError as soon as it cannot become one.
    """
    if data.startswith(SIGNATURE[: len(data)]):
        return _decode_v2(data)
    if data.startswith(_V1_START[: len(data)]):
        return _decode_v1(data)
    raise RemoteProtocolError("the connection does not begin with a PROXY header")


def _decode_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(data) >= MAX_V1_BYTES:
            raise RemoteProtocolError(f"a PROXY line is longer than {MAX_V1_BYTES} bytes")
        return None
    if data[end - 1 : end] != b"\r":
        raise RemoteProtocolError("a PROXY line ends without a carriage return")
    line = data[: end - 1]
    size = end + 1
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":  # whatever else the line says is to be ignored
        return ProxyHeader(None, None, size)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise RemoteProtocolError(f"wrong PROXY line {line!r}")
    hosts = _addresses(words[2], words[3], words[1] == "TCP6")
    ports = _ports(words[4], words[5])
    if hosts is None or ports is None:
        raise RemoteProtocolError(f"wrong address in the PROXY line {line!r}")
    return ProxyHeader((hosts[0], ports[0]), (hosts[1], ports[1]), size)


def _addresses(source: str, destination: str, v6: bool) -> tuple[str, str] | None:
    try:
        if v6:
            if "%" in source + destination:  # a scope, which only means something over there
                return None
            return str(ipaddress.IPv6Address(source)), str(ipaddress.IPv6Address(destination))
        return str(ipaddress.IPv4Address(source)), str(ipaddress.IPv4Address(destination))
    except ValueError:
        return None


def _ports(source: str, destination: str) -> tuple[int, int] | None:
    for text in (source, destination):
        digits = text.isascii() and text.isdecimal() and len(text) <= 5
        if not digits or str(int(text)) != text or int(text) > 0xFFFF:
            return None
    return int(source), int(destination)


def _decode_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_START.size:
        return None
    _, version_command, family, length = _V2_START.unpack_from(data)
    if version_command not in (0x20, 0x21):
        raise RemoteProtocolError(f"wrong PROXY version and command 0x{version_command:02x}")
    size = _V2_START.size + length
    if size > MAX_V2_BYTES:
        raise RemoteProtocolError(f"a PROXY header of {size} bytes is too long")
    if len(data) < size:
        return None
    if version_command == 0x20:  # LOCAL: what follows is to be skipped
        return ProxyHeader(None, None, size)
    if family >> 4 == 0 or family & 0x0F == 0:
        if family >> 4 > 3 or family & 0x0F > 2:
            raise RemoteProtocolError(f"wrong PROXY family 0x{family:02x}")
        return ProxyHeader(None, None, size)
    taken = _ADDRESS_BYTES.get(family)
    if taken is None or taken > length:
        raise RemoteProtocolError(f"wrong PROXY family 0x{family:02x} with {length} bytes")
    _check_tlvs(data, _V2_START.size + taken, size)
    if family == 0x11:
        source, destination, port, to_port = _V2_TCP4.unpack_from(data, _V2_START.size)
        hosts = str(ipaddress.IPv4Address(source)), str(ipaddress.IPv4Address(destination))
    elif family == 0x21:
        source, destination, port, to_port = _V2_TCP6.unpack_from(data, _V2_START.size)
        hosts = str(ipaddress.IPv6Address(source)), str(ipaddress.IPv6Address(destination))
    else:
        return ProxyHeader(None, None, size)
    return ProxyHeader((hosts[0], port), (hosts[1], to_port), size)


def _check_tlvs(data: bytes, offset: int, end: int) -> None:
    """They fill the rest of the header exactly: type u8, length u16, value."""
    while offset < end:
        if end - offset < _TLV_START.size:
            raise RemoteProtocolError("a PROXY header ends inside a TLV")
        offset += _TLV_START.size + int(_TLV_START.unpack_from(data, offset)[1])
        if offset > end:
            raise RemoteProtocolError("a TLV is longer than its PROXY header")


@final
class ProxyHeaderReader:
    """Reads the header at the start of one connection.

    `receive_data` until it returns something; then `header` is there.
    """

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        self._data = b""

    def receive_data(self, data: bytes) -> bytes | None:
        """What came behind the header; None while that is incomplete. Raises
        RemoteProtocolError: close the connection."""
        self._data += data
        self.header = decode(self._data)
        if self.header is None:
            return None
        rest = self._data[self.header.size :]
        self._data = b""
        return rest
