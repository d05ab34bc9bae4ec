"""FLV files: what RTMP messages are on disk.

    file = "FLV" 1 flags u8 (4 audio, 1 video) header size u32 (9), 0 u32, tag*
    tag  = type u8 (bit 5: filtered), size u24, timestamp u24 + u8 (bits 24-31), 0 u24,
           data, u32 (11 + size)

A tag's data is the payload of the RTMP message of the same type. Sizes behind tags and the
flags of the header are often wrong in the wild, so neither is believed.
Spec: Adobe's FLV 10.1 annex E.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.constants import MAX_MESSAGE_BYTES

_U32: Final = Struct(">I")
_TAG: Final = Struct(">II3x")  # type + size, timestamp + its upper byte, stream id

# The header says how long it is; longer than this it is no FLV file.
_MAX_HEADER_BYTES: Final = 1024


@final
class FlvTag:
    """One tag. timestamp in milliseconds, u32; filtered: encrypted or otherwise processed."""

    __slots__ = ("filtered", "payload", "timestamp", "type")

    def __init__(self, type: int, timestamp: int, payload: bytes, filtered: bool = False) -> None:
        self.type = type
        self.timestamp = timestamp
        self.payload = payload
        self.filtered = filtered


def encode_file_header(*, audio: bool = True, video: bool = True) -> bytes:
    """The 13 bytes a file begins with."""
    flags = (4 if audio else 0) | (1 if video else 0)
    return b"FLV\x01" + bytes((flags,)) + _U32.pack(9) + _U32.pack(0)


def encode_tag(type: int, timestamp: int, payload: bytes) -> bytes:
    """A tag with its trailing size. LocalProtocolError over 16 MiB."""
    size = len(payload)
    if size > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"a tag of {size} bytes; {MAX_MESSAGE_BYTES} fit")
    timestamp &= 0xFFFFFFFF
    head = _TAG.pack(type << 24 | size, (timestamp & 0xFFFFFF) << 8 | timestamp >> 24)
    return head + payload + _U32.pack(11 + size)


@final
class FlvReader:
    """Bytes of a file, in any pieces, to tags. A last tag that is cut short never comes out."""

    def __init__(self) -> None:
        self.has_audio = False
        self.has_video = False
        self._buffer = bytearray()
        self._in_tags = False

    @property
    def pending_bytes(self) -> int:
        """Bytes of a tag that has not ended; at the end of the file: what is cut short."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[FlvTag]:
        """Take the next bytes; the tags they completed. RemoteProtocolError if it is no FLV."""
        self._buffer += data
        tags: list[FlvTag] = []
        buffer = self._buffer
        pos = 0
        if not self._in_tags:
            pos = self._read_file_header()
            if pos < 0:
                return tags
            self._in_tags = True
        size = len(buffer)
        while size - pos >= 15:
            length = buffer[pos + 1] << 16 | buffer[pos + 2] << 8 | buffer[pos + 3]
            if size - pos < 15 + length:
                break
            timestamp = (
                buffer[pos + 7] << 24
                | buffer[pos + 4] << 16
                | buffer[pos + 5] << 8
                | buffer[pos + 6]
            )
            payload = bytes(buffer[pos + 11 : pos + 11 + length])
            tags.append(FlvTag(buffer[pos] & 0x1F, timestamp, payload, buffer[pos] & 0x20 != 0))
            pos += 15 + length
        del buffer[:pos]
        return tags

    def _read_file_header(self) -> int:
        buffer = self._buffer
        begin = bytes(buffer[:4])
        if begin != b"FLV\x01"[: len(begin)]:
            raise RemoteProtocolError("not an FLV file of version 1")
        if len(buffer) < 9:
            return -1
        header_bytes = int(_U32.unpack_from(buffer, 5)[0])
        if not 9 <= header_bytes <= _MAX_HEADER_BYTES:
            raise RemoteProtocolError(f"an FLV header of {header_bytes} bytes; it has 9")
        if len(buffer) < header_bytes + 4:
            return -1
        self.has_audio = buffer[4] & 4 != 0
        self.has_video = buffer[4] & 1 != 0
        return header_bytes + 4
