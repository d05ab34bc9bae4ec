"""Payloads of RTMP messages as values: control, user control, commands, data, aggregates.

    1, 3, 5   u32                       4   event u16, data
    2         csid u32                  6   window u32, limit type u8
    20, 18    AMF0 values               17, 15   format byte 0, then as 20 and 18
    22        (type u8, size u24, timestamp u24 + u8, stream u24, data, u32)*

Spec: RTMP 1.0 sections 5.4 and 7. Trailing bytes are tolerated (some clients append them).
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final, final

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import (
    COMMAND_AMF3,
    DATA_AMF3,
    LIMIT_DYNAMIC,
    PING_REQUEST,
    PING_RESPONSE,
    SET_BUFFER_LENGTH,
    SHARED_OBJECT_AMF3,
    STREAM_BEGIN,
    STREAM_DRY,
    STREAM_EOF,
    STREAM_IS_RECORDED,
)
from rtmp_sync.wire.limits import DEFAULT, Limits

_U32: Final = Struct(">I")
_U32_U8: Final = Struct(">IB")
_U16: Final = Struct(">H")
_EVENT: Final = Struct(">HI")
_EVENT_PAIR: Final = Struct(">HII")
_DOUBLE: Final = Struct(">d")

_NUMBER: Final = 0x00
_STRING: Final = 0x02
_AVMPLUS: Final = 0x11

SET_DATA_FRAME: Final = b"\x02\x00\x0d@setDataFrame"
CLEAR_DATA_FRAME: Final = b"\x02\x00\x0f@clearDataFrame"


# --- protocol control


def encode_u32(value: int) -> bytes:
    """The payload of Set Chunk Size, Abort, Acknowledgement and Window Acknowledgement Size."""
    return _U32.pack(value & 0xFFFFFFFF)


def decode_u32(payload: bytes, what: str) -> int:
    """The number in such a payload. what: the message's name, for the error."""
    if len(payload) < 4:
        raise RemoteProtocolError(f"{what} of {len(payload)} bytes; it has 4")
    return int(_U32.unpack_from(payload)[0])


def encode_peer_bandwidth(window: int, limit_type: int = LIMIT_DYNAMIC) -> bytes:
    """The payload of Set Peer Bandwidth."""
    return _U32_U8.pack(window, limit_type)


def decode_peer_bandwidth(payload: bytes) -> tuple[int, int]:
    """(window in bytes, limit type)."""
    if len(payload) < 5:
        raise RemoteProtocolError(f"Set Peer Bandwidth of {len(payload)} bytes; it has 5")
    window, limit_type = _U32_U8.unpack_from(payload)
    return window, limit_type


# --- user control


@final
class UserControl:
    """A user control event. value: its stream id or time; extra: milliseconds of event 3."""

    __slots__ = ("event", "extra", "value")

    def __init__(self, event: int, value: int = 0, extra: int = 0) -> None:
        self.event = event
        self.value = value
        self.extra = extra


_WITH_VALUE: Final = frozenset(
    {STREAM_BEGIN, STREAM_EOF, STREAM_DRY, STREAM_IS_RECORDED, PING_REQUEST, PING_RESPONSE}
)


def encode_user_control(event: int, value: int = 0, extra: int = 0) -> bytes:
    """The payload of an event with a stream id or a time; extra: for SetBufferLength."""
    if event == SET_BUFFER_LENGTH:
        return _EVENT_PAIR.pack(event, value, extra)
    return _EVENT.pack(event, value)


def decode_user_control(payload: bytes) -> UserControl:
    """Events that are not known have value 0 and are to be ignored."""
    size = len(payload)
    if size < 2:
        raise RemoteProtocolError(f"user control message of {size} bytes; it has at least 2")
    event = int(_U16.unpack_from(payload)[0])
    try:
        if event == SET_BUFFER_LENGTH:
            _, stream, milliseconds = _EVENT_PAIR.unpack_from(payload)
            return UserControl(event, stream, milliseconds)
        if event in _WITH_VALUE:
            return UserControl(event, _EVENT.unpack_from(payload)[1])
    except error:
        raise RemoteProtocolError(
            f"user control event {event} of {size} bytes: too short"
        ) from None
    return UserControl(event, int(_U32.unpack_from(payload, 2)[0]) if size >= 6 else 0)


# --- commands and data


def values_offset(type: int, payload: bytes) -> int:
    """Where the AMF0 values of a message begin: behind the format byte of types 15, 16 and 17.

    Flash sends 0 there. Some senders omit it, which shows by a string (2) or by the switch to
    AMF3 (0x11) in its place.
    """
    if type != COMMAND_AMF3 and type != DATA_AMF3 and type != SHARED_OBJECT_AMF3:
        return 0
    if not payload:
        raise RemoteProtocolError(f"an empty message of type {type}")
    first = payload[0]
    if first == 0:
        return 1
    if type != SHARED_OBJECT_AMF3 and (first in (_STRING, _AVMPLUS)):
        return 0
    raise RemoteProtocolError(f"format byte {first} in a message of type {type}")


@final
class CommandHeader:
    """What stands before the command object, which begins at `offset` of the payload."""

    __slots__ = ("name", "offset", "transaction")

    def __init__(self, name: str, transaction: float, offset: int) -> None:
        self.name = name
        self.transaction = transaction
        self.offset = offset


def split_command(type: int, payload: bytes, limits: Limits = DEFAULT) -> CommandHeader:
    """Name and transaction id of a command. What follows is not looked at.

    A command that ends after its name has transaction id 0.
    """
    offset = values_offset(type, payload)
    size = len(payload)
    if size >= offset + 3 and payload[offset] == _STRING:
        begin = offset + 3
        end = begin + (payload[offset + 1] << 8 | payload[offset + 2])
        if size >= end + 9 and payload[end] == _NUMBER:
            try:
                name = payload[begin:end].decode()
            except UnicodeDecodeError:
                raise RemoteProtocolError("a command's name is not UTF-8") from None
            return CommandHeader(name, float(_DOUBLE.unpack_from(payload, end + 1)[0]), end + 9)
    return _split_unusual(payload, offset, limits)


def _split_unusual(payload: bytes, offset: int, limits: Limits) -> CommandHeader:
    """Name as long string or AMF3, transaction as AMF3 integer, or none."""
    values, end = amf0.decode_at(payload, offset, 1, limits)
    if not values or not isinstance(values[0], str):
        raise RemoteProtocolError("a command does not begin with its name")
    if end >= len(payload):
        return CommandHeader(values[0], 0.0, end)
    numbers, end = amf0.decode_at(payload, end, 1, limits)
    number = numbers[0]
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise RemoteProtocolError(f"the transaction id of command {values[0]!r} is not a number")
    return CommandHeader(values[0], float(number), end)


def split_data(payload: bytes) -> tuple[bytes, bytes]:
    """(verb, rest) of a data message without format byte.

    verb is SET_DATA_FRAME or CLEAR_DATA_FRAME, which an encoder puts before what the server
    shall keep, or b""; rest is what goes to players.
    """
    if payload.startswith(SET_DATA_FRAME):
        return SET_DATA_FRAME, payload[len(SET_DATA_FRAME) :]
    if payload.startswith(CLEAR_DATA_FRAME):
        return CLEAR_DATA_FRAME, payload[len(CLEAR_DATA_FRAME) :]
    return b"", payload


def data_name(payload: bytes) -> str:
    """The handler name that a data message (without format byte and verb) begins with, or ""."""
    if len(payload) < 3 or payload[0] != _STRING:
        return ""
    end = 3 + (payload[1] << 8 | payload[2])
    return payload[3:end].decode("utf-8", "replace") if end <= len(payload) else ""


# --- aggregates


def split_aggregate(payload: bytes, timestamp: int) -> list[tuple[int, int, bytes]]:
    """(type, timestamp, payload) of each message inside an aggregate of this timestamp.

    The first one lands on `timestamp`, the others keep their distance to it. A message that
    runs past the end is dropped with all after it; the last back pointer may be missing.
    """
    found: list[tuple[int, int, bytes]] = []
    pos = 0
    first = -1
    size = len(payload)
    while size - pos >= 11:
        length = payload[pos + 1] << 16 | payload[pos + 2] << 8 | payload[pos + 3]
        if size - pos - 11 < length:
            break
        inner = (
            payload[pos + 7] << 24
            | payload[pos + 4] << 16
            | payload[pos + 5] << 8
            | payload[pos + 6]
        )
        if first < 0:
            first = inner
        begin = pos + 11
        found.append(
            (
                payload[pos],
                (timestamp + inner - first) & 0xFFFFFFFF,
                payload[begin : begin + length],
            )
        )
        pos = begin + length + 4
    return found
