"""The PROXY header: what load balancers send, and what is refused."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.proxy_protocol import (
    LOCAL_HEADER,
    MAX_V1_BYTES,
    MAX_V2_BYTES,
    SIGNATURE,
    Endpoint,
    ProxyHeaderReader,
    decode,
    encode,
)

V4: tuple[Endpoint, Endpoint] = (("192.0.2.7", 56324), ("10.0.0.1", 1935))
V6: tuple[Endpoint, Endpoint] = (("2001:db8::7", 56324), ("2001:db8::1", 1935))


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


def addresses(source: Endpoint, destination: Endpoint) -> bytes:
    hosts = [ipaddress.ip_address(host).packed for host, _ in (source, destination)]
    return b"".join(hosts) + struct.pack(">HH", source[1], destination[1])


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


UNIX = b"/run/edge".ljust(108, b"\0") + b"/run/origin".ljust(108, b"\0")

ACCEPTED = {
    "version 1, IPv4": (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1935\r\n", V4),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 2001:DB8::1 56324 1935\r\n", V6),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 1, unknown with addresses": (b"PROXY UNKNOWN ff::1 whatever 1 2\r\n", None),
    "version 1, as long as can be": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "version 2, IPv4": (v2(0x21, 0x11, addresses(*V4)), V4),
    "version 2, IPv6": (v2(0x21, 0x21, addresses(*V6)), V6),
    "version 2 of HAProxy's checks": (LOCAL_HEADER, None),
    "version 2, a check with addresses": (v2(0x20, 0x11, addresses(*V4)), None),
    "version 2, a check with an unknown family": (v2(0x20, 0xFF, b"skipped"), None),
    "version 2, unspecified": (v2(0x21, 0x00, b"ignored"), None),
    "version 2, a datagram's": (v2(0x21, 0x12, addresses(*V4)), None),
    "version 2, a Unix socket's": (v2(0x21, 0x31, UNIX), None),
    "version 2 with TLVs": (
        v2(0x21, 0x11, addresses(*V4) + tlv(0x02, b"live.example.com") + tlv(0x04, b"")),
        V4,
    ),
    "version 2 as long as can be": (
        v2(0x21, 0x11, addresses(*V4) + tlv(0x20, bytes(MAX_V2_BYTES - 31))),
        V4,
    ),
}

REFUSED = {
    "RTMP": b"\3" + bytes(1536),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "another word": b"PROXIES TCP4",
    "version 1 without a family": b"PROXY \r\n",
    "version 1 of an unknown family": b"PROXY UDP4 192.0.2.7 10.0.0.1 56324 1935\r\n",
    "version 1 in small letters": b"PROXY tcp4 192.0.2.7 10.0.0.1 56324 1935\r\n",
    "version 1 without ports": b"PROXY TCP4 192.0.2.7 10.0.0.1\r\n",
    "version 1 with a word too many": b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1935 x\r\n",
    "version 1 with two spaces": b"PROXY TCP4  192.0.2.7 10.0.0.1 56324 1935\r\n",
    "version 1 with a host name": b"PROXY TCP4 edge 10.0.0.1 56324 1935\r\n",
    "version 1 of the other family": b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 1935\r\n",
    "version 1 with a leading zero in the address": b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n",
    "version 1 with a scope": b"PROXY TCP6 fe80::1%eth0 fe80::2 56324 1935\r\n",
    "version 1 with a leading zero in a port": b"PROXY TCP4 192.0.2.7 10.0.0.1 056 1935\r\n",
    "version 1 with a port too high": b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 1935\r\n",
    "version 1 with a negative port": b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 1935\r\n",
    "version 1 with foreign digits": "PROXY TCP4 192.0.2.7 10.0.0.1 ١ 1935\r\n".encode(),
    "version 1 without a carriage return": b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1935\n",
    "version 1 without an end": b"PROXY UNKNOWN " + b"f" * (MAX_V1_BYTES - 14),
    "version 2 with another version": v2(0x11, 0x11, addresses(*V4)),
    "version 2 with an unknown command": v2(0x22, 0x11, addresses(*V4)),
    "version 2 of an unknown family": v2(0x21, 0x41, addresses(*V4)),
    "version 2 of an unknown transport": v2(0x21, 0x13, addresses(*V4)),
    "version 2 of an unknown family and no transport": v2(0x21, 0x40, b""),
    "version 2 with half an address": v2(0x21, 0x11, addresses(*V4)[:11]),
    "version 2 with half a TLV": v2(0x21, 0x11, addresses(*V4) + b"\x04\0"),
    "version 2 with a TLV that is too long": v2(0x21, 0x11, addresses(*V4) + b"\x04\0\2x"),
    "version 2 that is too long": v2(0x20, 0x00, bytes(MAX_V2_BYTES - 15)),
}


@pytest.mark.parametrize(("data", "ends"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_header_is_read_whole_in_pieces_and_with_what_follows(
    data: bytes, ends: tuple[Endpoint, Endpoint] | None
) -> None:
    header = decode(data)
    assert header is not None
    assert header.size == len(data)
    assert (header.source, header.destination) == (ends or (None, None))
    assert decode(data + b"\3more") == header
    reader = ProxyHeaderReader()
    for byte in data[:-1]:
        assert reader.receive_data(bytes([byte])) is None
    assert reader.receive_data(data[-1:] + b"\3more") == b"\3more"
    assert reader.header == header


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data)


@pytest.mark.parametrize("first", [b"\3", b"G", b"\0", b"\r\n\r\n\1", b"PROXYs"])
def test_what_cannot_become_a_header_is_refused_at_its_first_wrong_byte(first: bytes) -> None:
    assert decode(first[:-1]) is None
    with pytest.raises(RemoteProtocolError, match="does not begin with a PROXY header"):
        decode(first)


V4_ENDS, V6_ENDS = (
    st.tuples(hosts.map(str), st.integers(0, 65535))
    for hosts in (st.ip_addresses(v=4), st.ip_addresses(v=6))
)


@given(st.tuples(V4_ENDS, V4_ENDS) | st.tuples(V6_ENDS, V6_ENDS))
def test_what_is_encoded_is_decoded(ends: tuple[Endpoint, Endpoint]) -> None:
    header = decode(encode(*ends))
    assert header is not None
    assert (header.source, header.destination) == ends


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary(max_size=200))
def test_no_bytes_raise_anything_else(start: bytes, rest: bytes) -> None:
    try:
        header = decode(start + rest)
    except RemoteProtocolError:
        return
    assert header is None or header.size <= len(start + rest)


@pytest.mark.parametrize(
    ("source", "destination"), [(V4[0], V6[1]), (("edge", 1), V4[1]), (V4[0], ("", 1))]
)
def test_only_addresses_of_one_family_are_encoded(source: Endpoint, destination: Endpoint) -> None:
    with pytest.raises(LocalProtocolError):
        encode(source, destination)
