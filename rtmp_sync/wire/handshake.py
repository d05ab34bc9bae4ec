"""The RTMP handshake, both roles, simple and with digests.

    client   C0 C1 ---------------------------> C2
    server            S0 S1 S2

    C0/S0 = version u8, 3
    C1/S1 = time u32, version u32 (0: simple), 1528 bytes random
    C2/S2 = simple: the other's packet again; digest: 1504 bytes random, signature 32

In digest mode ("FP9") C1 and S1 hold an HMAC-SHA256 over the rest of the packet, at a place
computed from four of its bytes; there are two layouts, and the server answers in the client's.
A C1 whose digest does not validate in either is answered the simple way. What the other side
sends as C2 or S2 is not checked: several encoders send zeros there, and nothing is at stake.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from struct import Struct
from typing import Final, final

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire.constants import HANDSHAKE_SIZE, RTMP_VERSION

_TAIL: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
PLAYER_KEY: Final = b"Genuine Adobe Flash Player 001"
SERVER_KEY: Final = b"Genuine Adobe Flash Media Server 001"
PLAYER_KEY_FULL: Final = PLAYER_KEY + _TAIL
SERVER_KEY_FULL: Final = SERVER_KEY + _TAIL

PLAYER_VERSION: Final = 0x80000702  # what current Flash Players say
SERVER_VERSION: Final = 0x04050001  # FMS 4.5.0.1

# Where a scheme keeps the four bytes that its digest's place is computed from. The names are
# those of ../shared/wire/rtmp.md; other code bases number them the other way round.
_OFFSET_FIELDS: Final = (772, 8)
_DIGEST_BYTES: Final = 32
_TLS_HANDSHAKE: Final = 22  # RFC 8446, 5.1: how a client's first record begins
_DIGEST_PLACES: Final = 728
_PACKET_RANDOM_BYTES: Final = HANDSHAKE_SIZE - 8  # of C1 and S1
_SIGNED_RANDOM_BYTES: Final = HANDSHAKE_SIZE - _DIGEST_BYTES  # of C2 and S2

_U32_PAIR: Final = Struct(">II")


def digest_offset(packet: bytes, scheme: int) -> int:
    """Where the digest of `scheme` (0 or 1) would be in a packet of 1536 bytes."""
    field = _OFFSET_FIELDS[scheme]
    return sum(packet[field : field + 4]) % _DIGEST_PLACES + field + 4


def compute_digest(packet: bytes, offset: int, key: bytes) -> bytes:
    """The 32-byte digest over a packet without the 32 bytes at `offset`."""
    rest = packet[:offset] + packet[offset + _DIGEST_BYTES :]
    return hmac.new(key, rest, hashlib.sha256).digest()


def find_digest(packet: bytes, key: bytes) -> tuple[int, int] | None:
    """(scheme, offset) of a digest that validates with `key`, or None."""
    for scheme in (0, 1):
        offset = digest_offset(packet, scheme)
        found = packet[offset : offset + _DIGEST_BYTES]
        if hmac.compare_digest(found, compute_digest(packet, offset, key)):
            return scheme, offset
    return None


def sign(random: bytes, full_key: bytes, digest: bytes) -> bytes:
    """C2 or S2 in digest mode: 1504 bytes random and their signature for the other's digest."""
    key = hmac.new(full_key, digest, hashlib.sha256).digest()
    return random + hmac.new(key, random, hashlib.sha256).digest()


def signature_valid(packet: bytes, full_key: bytes, digest: bytes) -> bool:
    """Whether a C2 or S2 was signed for the digest of our packet."""
    return hmac.compare_digest(packet, sign(packet[:-_DIGEST_BYTES], full_key, digest))


def make_packet(time_ms: int, version: int, random: bytes, scheme: int, key: bytes) -> bytes:
    """C1 or S1 with a digest. random: 1528 bytes."""
    packet = _U32_PAIR.pack(time_ms & 0xFFFFFFFF, version) + random
    offset = digest_offset(packet, scheme)
    digest = compute_digest(packet, offset, key)
    return packet[:offset] + digest + packet[offset + _DIGEST_BYTES :]


def make_simple_packet(time_ms: int, random: bytes) -> bytes:
    """C1 or S1 without one. random: 1528 bytes."""
    return _U32_PAIR.pack(time_ms & 0xFFFFFFFF, 0) + random


def _check_version(version: int) -> None:
    if version != RTMP_VERSION:
        what = "not RTMP" if version >= 32 else "RTMPE and other versions are not supported"
        if version == _TLS_HANDSHAKE:
            what = "that is TLS, and this port is for rtmp: (rtmp.tls_listen is for rtmps:)"
        raise RemoteProtocolError(f"handshake version {version}, not {RTMP_VERSION}: {what}")


@final
class ServerHandshake:
    """The server's half. Feed it until `done`; then `rest` holds the first chunk bytes."""

    __slots__ = ("_buffer", "_random_bytes", "_time_ms", "answered", "done", "rest", "scheme")

    def __init__(self, random_bytes: Callable[[int], bytes], time_ms: int = 0) -> None:
        """random_bytes(n): n unpredictable bytes; asked for when there is something to answer, so
        that who says nothing costs nothing."""
        self._random_bytes = random_bytes
        self._time_ms = time_ms
        self._buffer = b""
        self.answered = False
        self.done = False
        self.rest = b""
        self.scheme = -1  # of the client's digest; -1: simple

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; what to send now, b"" if nothing."""
        self._buffer += data
        reply = b""
        if not self.answered:
            if self._buffer:
                _check_version(self._buffer[0])
            if len(self._buffer) <= HANDSHAKE_SIZE:
                return b""
            reply = self._answer(self._buffer[1 : 1 + HANDSHAKE_SIZE])
            self._buffer = self._buffer[1 + HANDSHAKE_SIZE :]
            self.answered = True
        if len(self._buffer) >= HANDSHAKE_SIZE:
            self.rest = self._buffer[HANDSHAKE_SIZE:]
            self._buffer = b""
            self.done = True
        return reply

    def _answer(self, c1: bytes) -> bytes:
        found = find_digest(c1, PLAYER_KEY) if c1[4:8] != b"\0\0\0\0" else None
        for_s1 = self._random_bytes(_PACKET_RANDOM_BYTES)
        if found is None:
            return b"\x03" + make_simple_packet(self._time_ms, for_s1) + c1
        self.scheme, offset = found
        s1 = make_packet(self._time_ms, SERVER_VERSION, for_s1, self.scheme, SERVER_KEY)
        for_s2 = self._random_bytes(_SIGNED_RANDOM_BYTES)
        return b"\x03" + s1 + sign(for_s2, SERVER_KEY_FULL, c1[offset : offset + _DIGEST_BYTES])


@final
class ClientHandshake:
    """The client's half. Send `hello` first, then feed it until `done`."""

    __slots__ = ("_buffer", "_random_bytes", "_with_digest", "done", "hello", "rest", "scheme")

    def __init__(
        self, random_bytes: Callable[[int], bytes], time_ms: int = 0, scheme: int = -1
    ) -> None:
        """random_bytes(n): n unpredictable bytes. scheme: 0 or 1 with a digest, -1 simple."""
        self._random_bytes = random_bytes
        self._buffer = b""
        self._with_digest = scheme >= 0
        self.done = False
        self.rest = b""
        self.scheme = -1  # of the server's digest; -1: it answered the simple way
        random = random_bytes(_PACKET_RANDOM_BYTES)
        if scheme >= 0:
            c1 = make_packet(time_ms, PLAYER_VERSION, random, scheme, PLAYER_KEY)
        else:
            c1 = make_simple_packet(time_ms, random)
        self.hello = b"\x03" + c1

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the server; what to send now, b"" if nothing."""
        self._buffer += data
        if self._buffer:
            _check_version(self._buffer[0])
        if len(self._buffer) <= 2 * HANDSHAKE_SIZE:
            return b""
        s1 = self._buffer[1 : 1 + HANDSHAKE_SIZE]
        self.rest = self._buffer[1 + 2 * HANDSHAKE_SIZE :]
        self._buffer = b""
        self.done = True
        found = find_digest(s1, SERVER_KEY) if self._with_digest else None
        if found is None:
            return s1
        self.scheme, offset = found
        random = self._random_bytes(_SIGNED_RANDOM_BYTES)
        return sign(random, PLAYER_KEY_FULL, s1[offset : offset + _DIGEST_BYTES])
