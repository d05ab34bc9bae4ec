"""The chunk stream: messages cut into chunks and put together again.

    chunk  = basic header (1-3) + message header (0/3/7/11) + [extended timestamp 4] + data
    basic  = fmt:2 csid:6            csid 2..63
           | fmt:2 000000 u8         csid 64 + b1
           | fmt:2 000001 u8 u8      csid 64 + b1 + 256 * b2
    fmt 0  = timestamp u24, length u24, type u8, message stream id u32 little-endian
    fmt 1  = delta u24, length u24, type u8
    fmt 2  = delta u24
    fmt 3  = nothing: the rest of a message, or a new one like the last

Spec: RTMP 1.0 section 5.3. `ChunkReader` keeps at most the bytes of unfinished messages,
`encode_message` keeps nothing, `ChunkWriter` remembers the last header of each chunk stream
and writes the shortest form.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from rtmp_sync.errors import LocalProtocolError, MessageTooLong, RemoteProtocolError
from rtmp_sync.wire.constants import (
    ABORT,
    CSID_CONTROL,
    DEFAULT_CHUNK_SIZE,
    MAX_CSID,
    MAX_MESSAGE_BYTES,
    SET_CHUNK_SIZE,
)

_EXTENDED: Final = 0xFFFFFF  # this in a 24-bit timestamp field: the real one follows in 32 bits
_U32_MASK: Final = 0xFFFFFFFF

_U32: Final = Struct(">I")
_U32_LE: Final = Struct("<I")
_HEADER: Final = Struct(">IHB")  # timestamp u24 + length u24, type: of fmt 0 and 1
_FULL_HEADER: Final = Struct(">BIHB")  # the same behind a basic header of one byte
_HEADER_BYTES: Final = (11, 7, 3, 0)


@final
class Message:
    """One whole message. `timestamp` in milliseconds, u32; `csid` is where it came in."""

    __slots__ = ("csid", "msid", "payload", "timestamp", "type")

    def __init__(self, type: int, msid: int, timestamp: int, payload: bytes, csid: int) -> None:
        self.type = type
        self.msid = msid
        self.timestamp = timestamp
        self.payload = payload
        self.csid = csid

    def __repr__(self) -> str:
        return (
            f"Message(type={self.type}, msid={self.msid}, timestamp={self.timestamp}, "
            f"csid={self.csid}, {len(self.payload)} bytes)"
        )


@final
class _ChunkStream:
    """What a chunk stream id inherits from its last header, and its unfinished message."""

    __slots__ = ("csid", "delta", "extended", "length", "msid", "partial", "timestamp", "type")

    def __init__(self, csid: int) -> None:
        self.csid = csid
        self.timestamp = 0
        self.delta = 0
        self.extended = -1  # the extended field of the last fmt 0/1/2 header; -1: it had none
        self.length = 0
        self.type = 0
        self.msid = 0
        self.partial: bytearray | None = None


@final
class ChunkReader:
    """Bytes of one direction, after the handshake, to messages.

    Set Chunk Size and Abort are obeyed here and returned as well. Every refusal is a
    RemoteProtocolError; the reader must not be fed after one.

    max_message_bytes: longest announced message. max_partial_bytes: unfinished messages of
    all chunk streams together. max_partial_streams: chunk streams with an unfinished message.
    max_chunk_streams: chunk streams ever used (65,536 are possible, each costs memory; Flash
    Player uses about four for each NetStream).
    fmt3_repeats_timestamp: a message that begins with fmt 3 right after a fmt 0 header is that
    header's timestamp later (the spec, SRS); False takes a delta of 0 (nginx-rtmp).
    """

    def __init__(
        self,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        *,
        max_message_bytes: int = 4 * 1024 * 1024,
        max_partial_bytes: int = 8 * 1024 * 1024,
        max_partial_streams: int = 64,
        max_chunk_streams: int = 1024,
        fmt3_repeats_timestamp: bool = True,
    ) -> None:
        self.chunk_size = chunk_size
        self._max_message_bytes = max_message_bytes
        self._max_partial_bytes = max_partial_bytes
        self._max_partial_streams = max_partial_streams
        self._max_chunk_streams = max_chunk_streams
        self._fmt3_repeats_timestamp = fmt3_repeats_timestamp
        self._streams: dict[int, _ChunkStream] = {}
        self._current = _ChunkStream(0)
        self._chunk_left = 0  # bytes of the current chunk that have not arrived
        self._rest = b""  # an unfinished header, under 19 bytes
        self._partial_bytes = 0
        self._partial_streams = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended: what a silence now would be measured on."""
        return self._partial_streams > 0 or self._chunk_left > 0 or len(self._rest) > 0

    @property
    def partial_bytes(self) -> int:
        """Bytes held for unfinished messages."""
        return self._partial_bytes

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; the messages that they completed, in order."""
        messages: list[Message] = []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        pos = 0
        end = len(data)
        while pos < end:
            if self._chunk_left == 0:
                begun = self._read_header(data, pos, end)
                if begun < 0:
                    self._rest = data[pos:]
                    break
                pos = begun
            stream = self._current
            left = self._chunk_left
            if left == stream.length and stream.partial is None and end - pos >= left:
                payload = data[pos : pos + left]
                pos += left
                self._chunk_left = 0
            else:
                taken = left if end - pos >= left else end - pos
                self._gather(stream, data[pos : pos + taken])
                pos += taken
                self._chunk_left = left - taken
                if stream.partial is None or len(stream.partial) < stream.length:
                    continue
                payload = bytes(stream.partial)
                self._drop_partial(stream)
            if stream.type == SET_CHUNK_SIZE:
                self.chunk_size = read_chunk_size(payload)
            elif stream.type == ABORT:
                self._abort(payload)
            messages.append(
                Message(stream.type, stream.msid, stream.timestamp, payload, stream.csid)
            )
        return messages

    def _read_header(self, data: bytes, pos: int, end: int) -> int:
        """Read a chunk's headers into its stream; where its data begins, or -1: too short."""
        first = data[pos]
        fmt = first >> 6
        csid = first & 0x3F
        pos += 1
        if csid < 2:
            if end - pos < csid + 1:
                return -1
            if csid == 0:
                csid = 64 + data[pos]
                pos += 1
            else:
                csid = 64 + data[pos] + (data[pos + 1] << 8)
                pos += 2
        stream = self._streams.get(csid)
        if fmt == 3:
            if stream is None:
                raise RemoteProtocolError(f"fmt 3 on chunk stream {csid}, which has no header yet")
            return self._continue(stream, data, pos, end)
        header_bytes = _HEADER_BYTES[fmt]
        if end - pos < header_bytes:
            return -1
        length = 0
        type = 0
        if fmt < 2:
            word, low, type = _HEADER.unpack_from(data, pos)
            field = word >> 8
            length = (word & 0xFF) << 16 | low
        else:
            field = (data[pos] << 16) | (data[pos + 1] << 8) | data[pos + 2]
        extended = -1
        if field == _EXTENDED:
            if end - pos < header_bytes + 4:
                return -1
            extended = int(_U32.unpack_from(data, pos + header_bytes)[0])
            field = extended
        if stream is None:
            stream = self._open(csid, fmt)
        stream.extended = extended
        if fmt < 2:
            if stream.partial is not None and length != stream.length:
                raise RemoteProtocolError(
                    f"a header inside a message of {stream.length} bytes says {length} bytes"
                )
            if length > self._max_message_bytes:
                raise MessageTooLong(
                    f"a message of {length} bytes; {self._max_message_bytes} are allowed"
                )
            stream.length = length
            stream.type = type
        if stream.partial is not None:  # the same length again: the sender began anew
            self._drop_partial(stream)
        if fmt == 0:
            stream.msid = int(_U32_LE.unpack_from(data, pos + 7)[0])
            stream.timestamp = field
            stream.delta = field if self._fmt3_repeats_timestamp else 0
        else:
            stream.delta = field
            stream.timestamp = (stream.timestamp + field) & _U32_MASK
        self._current = stream
        left = stream.length
        self._chunk_left = left if left < self.chunk_size else self.chunk_size
        pos += header_bytes
        return pos if extended < 0 else pos + 4

    def _continue(self, stream: _ChunkStream, data: bytes, pos: int, end: int) -> int:
        """A fmt 3 header: the next chunk of a message, or a message like the last one."""
        partial = stream.partial
        if stream.extended >= 0:
            have = 4 if end - pos >= 4 else end - pos
            # Some encoders leave the field out when they continue a message, so there it counts
            # only if it repeats the value (as SRS does). A new message always has it.
            repeats = data[pos : pos + have] == _U32.pack(stream.extended)[:have]
            if partial is None or repeats:
                if have < 4:
                    return -1
                pos += 4
        self._current = stream
        if partial is None:
            stream.timestamp = (stream.timestamp + stream.delta) & _U32_MASK
            left = stream.length
        else:
            left = stream.length - len(partial)
        self._chunk_left = left if left < self.chunk_size else self.chunk_size
        return pos

    def _open(self, csid: int, fmt: int) -> _ChunkStream:
        # SRS takes a fmt 1 header as the first of a chunk stream too (message stream 0): clients
        # made with librtmp send pings that way. fmt 2 has no length to go by.
        if fmt == 2:
            raise RemoteProtocolError(f"fmt 2 on chunk stream {csid}, which has no header yet")
        if len(self._streams) >= self._max_chunk_streams:
            raise RemoteProtocolError(f"more than {self._max_chunk_streams} chunk streams")
        stream = _ChunkStream(csid)
        self._streams[csid] = stream
        return stream

    def _gather(self, stream: _ChunkStream, data: bytes) -> None:
        partial = stream.partial
        if partial is None:
            self._partial_streams += 1
            if self._partial_streams > self._max_partial_streams:
                raise RemoteProtocolError(
                    f"more than {self._max_partial_streams} unfinished messages at once"
                )
            stream.partial = bytearray(data)
        else:
            partial += data
        self._partial_bytes += len(data)
        if self._partial_bytes > self._max_partial_bytes:
            raise RemoteProtocolError(
                f"more than {self._max_partial_bytes} bytes of unfinished messages"
            )

    def _drop_partial(self, stream: _ChunkStream) -> None:
        partial = stream.partial
        if partial is not None:
            self._partial_bytes -= len(partial)
            self._partial_streams -= 1
            stream.partial = None

    def _abort(self, payload: bytes) -> None:
        if len(payload) < 4:
            raise RemoteProtocolError(f"Abort of {len(payload)} bytes; it has 4")
        stream = self._streams.get(int(_U32.unpack_from(payload)[0]))
        if stream is not None:
            self._drop_partial(stream)


def read_chunk_size(payload: bytes) -> int:
    """The value of a Set Chunk Size message; RemoteProtocolError if it is none."""
    if len(payload) < 4:
        raise RemoteProtocolError(f"Set Chunk Size of {len(payload)} bytes; it has 4")
    size = int(_U32.unpack_from(payload)[0])
    if size == 0 or size > 0x7FFFFFFF:
        raise RemoteProtocolError(f"Set Chunk Size to {size}; 1 to 0x7FFFFFFF are allowed")
    return size


def _basic_header(fmt: int, csid: int) -> bytes:
    if 2 <= csid < 64:
        return bytes((fmt << 6 | csid,))
    if 64 <= csid < 320:
        return bytes((fmt << 6, csid - 64))
    if 320 <= csid <= MAX_CSID:
        return bytes((fmt << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8))
    raise LocalProtocolError(f"chunk stream id {csid}; 2 to {MAX_CSID} exist")


def _cut(header: bytes, payload: bytes, continuation: bytes, chunk_size: int) -> bytes:
    """The header and the payload, with `continuation` before every further chunk."""
    length = len(payload)
    if length <= chunk_size:
        return header + payload
    pieces = [header, payload[:chunk_size]]
    pos = chunk_size
    while pos < length:
        pieces.append(continuation)
        pieces.append(payload[pos : pos + chunk_size])
        pos += chunk_size
    return b"".join(pieces)


def _check(type: int, msid: int, payload: bytes) -> None:
    if len(payload) > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(
            f"a message of {len(payload)} bytes; RTMP can announce {MAX_MESSAGE_BYTES}"
        )
    if not 0 <= msid <= _U32_MASK or not 0 <= type <= 0xFF:
        raise LocalProtocolError(f"message stream id {msid}, type {type}: out of range")


def encode_message(
    type: int, msid: int, timestamp: int, payload: bytes, csid: int, chunk_size: int
) -> bytes:
    """A whole message as one fmt 0 chunk and fmt 3 continuations.

    Depends on nothing sent before, so the same bytes may go to any number of connections with
    this chunk size. LocalProtocolError for what the fields cannot hold.
    """
    _check(type, msid, payload)
    length = len(payload)
    timestamp &= _U32_MASK
    field = timestamp if timestamp < _EXTENDED else _EXTENDED
    if 2 <= csid < 64:
        header = _FULL_HEADER.pack(csid, field << 8 | length >> 16, length & 0xFFFF, type)
    else:
        header = _basic_header(0, csid) + _HEADER.pack(
            field << 8 | length >> 16, length & 0xFFFF, type
        )
    header += _U32_LE.pack(msid)
    extension = b""
    if field == _EXTENDED:
        extension = _U32.pack(timestamp)
        header += extension
    if length <= chunk_size:
        return header + payload
    return _cut(header, payload, _basic_header(3, csid) + extension, chunk_size)


@final
class _LastHeader:
    """The header last written on a chunk stream. `delta` is -1 after a fmt 0 header."""

    __slots__ = ("delta", "extension", "length", "msid", "timestamp", "type")

    def __init__(self, type: int, msid: int, timestamp: int, length: int) -> None:
        self.type = type
        self.msid = msid
        self.timestamp = timestamp
        self.length = length
        self.delta = -1
        self.extension = b""


@final
class ChunkWriter:
    """Messages to the bytes of one direction of one connection, in the shortest form.

    What it returns must be sent, whole and in order. A message that could begin with fmt 3
    right after a fmt 0 header is written with fmt 2, since receivers disagree on that case.
    """

    def __init__(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> None:
        self.chunk_size = chunk_size
        self._last: dict[int, _LastHeader] = {}

    def set_chunk_size(self, chunk_size: int) -> bytes:
        """The Set Chunk Size message; what is written after it is cut to the new size."""
        if not 1 <= chunk_size <= 0x7FFFFFFF:
            raise LocalProtocolError(f"chunk size {chunk_size}; 1 to 0x7FFFFFFF are allowed")
        told = self.write(SET_CHUNK_SIZE, 0, 0, _U32.pack(chunk_size), CSID_CONTROL)
        self.chunk_size = chunk_size
        return told

    def write(self, type: int, msid: int, timestamp: int, payload: bytes, csid: int) -> bytes:
        """The chunks of one message."""
        _check(type, msid, payload)
        timestamp &= _U32_MASK
        length = len(payload)
        last = self._last.get(csid)
        if (
            last is None
            or last.msid != msid
            or (timestamp - last.timestamp) & _U32_MASK > 0x7FFFFFFF  # it goes back
        ):
            last = _LastHeader(type, msid, timestamp, length)
            self._last[csid] = last
            if timestamp >= _EXTENDED:
                last.extension = _U32.pack(timestamp)
            written = encode_message(type, msid, timestamp, payload, csid, self.chunk_size)
            return written
        delta = (timestamp - last.timestamp) & _U32_MASK
        continuation = _basic_header(3, csid)
        if last.type == type and last.length == length and last.delta == delta:
            header = continuation + last.extension
        else:
            last.extension = _U32.pack(delta) if delta >= _EXTENDED else b""
            field = min(delta, _EXTENDED).to_bytes(3, "big")
            if last.type == type and last.length == length:
                header = _basic_header(2, csid) + field + last.extension
            else:
                header = (
                    _basic_header(1, csid)
                    + field
                    + length.to_bytes(3, "big")
                    + bytes((type,))
                    + last.extension
                )
            last.type = type
            last.length = length
            last.delta = delta
        last.timestamp = timestamp
        return _cut(header, payload, continuation + last.extension, self.chunk_size)
