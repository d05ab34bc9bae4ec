"""Shared object messages, types 19 and 16.

    payload = [format byte 0, type 16 only] name (u16 + UTF-8), version u32, flags u32, 0 u32,
              event*
    event   = type u8, length u32, data
    data    = 3, 4, 13: (key u16 + UTF-8, AMF0 value)*     5, 9, 10: key*     6: AMF0 values
              7: code, level (u16 + UTF-8 each)            1, 2, 8, 11, 14: none

Values are not decoded: their bytes are checked (structure, depth, size) and handed on as they
are, so that a server can splice them into other messages. AMF reference tables span a whole
message, so each event says what its value refers to; one that refers outside itself is
re-encoded on its own here and never leaves this module as it came.

An event with several pairs or keys becomes several events, as Red5 writes them.
Spec: RTMP 1.0 section 7.1.4; events above 11 as FMS sends them.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import (
    SHARED_OBJECT,
    SHARED_OBJECT_AMF3,
    SO_CHANGE,
    SO_CHANGE_ECHO,
    SO_CLEAR,
    SO_PERSISTENT,
    SO_RELEASE,
    SO_REMOVE,
    SO_REQUEST_CHANGE,
    SO_REQUEST_CLEAR,
    SO_REQUEST_REMOVE,
    SO_SEND,
    SO_STATUS,
    SO_SUCCESS,
    SO_USE,
    SO_USE_SUCCESS,
)
from rtmp_sync.wire.limits import DEFAULT, Limits
from rtmp_sync.wire.messages import values_offset

_U16: Final = Struct(">H")
_HEADER: Final = Struct(">III")  # version, flags, reserved
_EVENT: Final = Struct(">BI")

_WITH_PAIRS: Final = frozenset({SO_REQUEST_CHANGE, SO_CHANGE, SO_CHANGE_ECHO})
_WITH_KEYS: Final = frozenset({SO_SUCCESS, SO_REMOVE, SO_REQUEST_REMOVE})
_EMPTY: Final = frozenset({SO_USE, SO_RELEASE, SO_CLEAR, SO_USE_SUCCESS, SO_REQUEST_CLEAR})


@final
class Event:
    """One event.

    key: slot name of 3, 4, 5, 9, 10, 13; status code of 7. level: of 7.
    value: AMF0 bytes with marker of 3, 4, 13; all values back to back of 6; the raw data of
    events that are not known. value_flags: the amf0.HAS_REFERENCE and HAS_AMF3 bits of value.
    """

    __slots__ = ("key", "level", "type", "value", "value_flags")

    def __init__(
        self,
        type: int,
        key: str = "",
        value: bytes = b"",
        value_flags: int = 0,
        level: str = "",
    ) -> None:
        self.type = type
        self.key = key
        self.value = value
        self.value_flags = value_flags
        self.level = level

    def __repr__(self) -> str:
        return f"Event(type={self.type}, key={self.key!r}, value={self.value.hex()})"


@final
class SharedObjectMessage:
    """A message about the object `name`. flags: the whole word, of which bit 1 is `persistent`."""

    __slots__ = ("events", "flags", "name", "version")

    def __init__(self, name: str, version: int, flags: int, events: list[Event]) -> None:
        self.name = name
        self.version = version
        self.flags = flags
        self.events = events

    @property
    def persistent(self) -> bool:
        """Which of the two namespaces the name is in."""
        return self.flags & SO_PERSISTENT != 0

    def __repr__(self) -> str:
        return (
            f"SharedObjectMessage({self.name!r}, version={self.version}, flags={self.flags}, "
            f"{self.events})"
        )


def decode(payload: bytes, amf3: bool = False, limits: Limits = DEFAULT) -> SharedObjectMessage:
    """The message in a payload of type 19, or with `amf3` of type 16.

    RemoteProtocolError for what is cut short, overruns its length or is not valid AMF.
    """
    size = len(payload)
    pos = values_offset(SHARED_OBJECT_AMF3 if amf3 else SHARED_OBJECT, payload)
    name_end = _string_end(payload, pos, size)
    name = _text(payload, pos + 2, name_end)
    if size - name_end < 12:
        raise RemoteProtocolError("a shared object message ends inside its header")
    version, flags, _ = _HEADER.unpack_from(payload, name_end)
    pos = name_end + 12
    context = amf0.ScanContext()
    events: list[Event] = []
    entangled = False
    first_values = True
    while pos < size:
        if size - pos < 5:
            raise RemoteProtocolError("a shared object message ends inside an event's header")
        type, length = _EVENT.unpack_from(payload, pos)
        pos += 5
        end = pos + length
        if end > size:
            raise RemoteProtocolError(
                f"a shared object event of {length} bytes overruns its message"
            )
        if type in _WITH_PAIRS:
            while pos < end:
                key_end = _string_end(payload, pos, end)
                value_end = amf0.scan(payload, key_end, context, limits)
                if value_end > end:
                    raise RemoteProtocolError("a shared object value overruns its event")
                value_flags = context.flags
                first_values = False
                entangled = entangled or value_flags & amf0.REFERS_OUTSIDE != 0
                events.append(
                    Event(
                        type,
                        _text(payload, pos + 2, key_end),
                        payload[key_end:value_end],
                        value_flags,
                    )
                )
                pos = value_end
                _check_count(events, limits)
        elif type in _WITH_KEYS:
            while pos < end:
                key_end = _string_end(payload, pos, end)
                events.append(Event(type, _text(payload, pos + 2, key_end)))
                pos = key_end
                _check_count(events, limits)
        elif type == SO_SEND:
            value_flags = _scan_values(payload, pos, end, context, limits)
            if first_values:  # what its values refer to is among them
                value_flags &= ~amf0.REFERS_OUTSIDE
            first_values = False
            entangled = entangled or value_flags & amf0.REFERS_OUTSIDE != 0
            events.append(Event(type, "", payload[pos:end], value_flags))
        elif type == SO_STATUS:
            code_end = _string_end(payload, pos, end)
            level_end = _string_end(payload, code_end, end)
            code = _text(payload, pos + 2, code_end)
            events.append(Event(type, code, level=_text(payload, code_end + 2, level_end)))
        else:
            events.append(Event(type, "", b"" if type in _EMPTY else payload[pos:end]))
        pos = end
        _check_count(events, limits)
    if entangled:
        _untangle(events, limits)
    return SharedObjectMessage(name, version, flags, events)


def _check_count(events: list[Event], limits: Limits) -> None:
    if len(events) > limits.max_values:
        raise RemoteProtocolError(f"more than {limits.max_values} shared object events")


def _string_end(payload: bytes, pos: int, end: int) -> int:
    """Where the u16 string at `pos` ends; it must not reach past `end`."""
    if end - pos < 2:
        raise RemoteProtocolError("a shared object message ends inside a string's length")
    string_end = pos + 2 + (payload[pos] << 8 | payload[pos + 1])
    if string_end > end:
        raise RemoteProtocolError("a name or key in a shared object message overruns its place")
    return string_end


def _text(payload: bytes, begin: int, end: int) -> str:
    try:
        return payload[begin:end].decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("a name or key in a shared object message is not UTF-8") from None


def _scan_values(
    payload: bytes, pos: int, end: int, context: amf0.ScanContext, limits: Limits
) -> int:
    """Check the values of a send event; their flags together."""
    flags = 0
    while pos < end:
        pos = amf0.scan(payload, pos, context, limits)
        flags |= context.flags
    if pos > end:
        raise RemoteProtocolError("a shared object value overruns its event")
    return flags


def _untangle(events: list[Event], limits: Limits) -> None:
    """Write every value that refers to an earlier event's so that it stands on its own.

    All values of the message are decoded back to back: that is the table they share.
    """
    with_values = [event for event in events if event.type in _WITH_PAIRS or event.type == SO_SEND]
    data = b"".join([event.value for event in with_values])
    pos = 0
    counts: list[int] = []
    context = amf0.ScanContext()
    for event in with_values:
        end = pos + len(event.value)
        count = 0
        while pos < end:
            pos = amf0.scan(data, pos, context, limits)
            count += 1
        counts.append(count)
    values = amf0.decode(data, limits)
    taken = 0
    for event, count in zip(with_values, counts, strict=True):
        own = values[taken : taken + count]
        taken += count
        if event.value_flags & amf0.REFERS_OUTSIDE:
            event.value = amf0.encode(*own)
            event.value_flags = _scan_values(
                event.value, 0, len(event.value), amf0.ScanContext(), limits
            )


# --- writing


def _string(text: str) -> bytes:
    data = text.encode()
    if len(data) > 0xFFFF:
        raise LocalProtocolError(f"a name or key of {len(data)} bytes; 65535 fit")
    return _U16.pack(len(data)) + data


def header(name: str, version: int, persistent: bool) -> bytes:
    """What a message begins with; any number of the events below follows it."""
    return _string(name) + _HEADER.pack(version, SO_PERSISTENT if persistent else 0, 0)


def _keyed(type: int, key: str, value: bytes) -> bytes:
    data = _string(key)
    return _EVENT.pack(type, len(data) + len(value)) + data + value


EVENT_USE: Final = _EVENT.pack(SO_USE, 0)
EVENT_RELEASE: Final = _EVENT.pack(SO_RELEASE, 0)
EVENT_CLEAR: Final = _EVENT.pack(SO_CLEAR, 0)
EVENT_USE_SUCCESS: Final = _EVENT.pack(SO_USE_SUCCESS, 0)
EVENT_REQUEST_CLEAR: Final = _EVENT.pack(SO_REQUEST_CLEAR, 0)


def event_change(key: str, raw: bytes) -> bytes:
    """A slot's new value, for everyone but the writer. raw: one AMF0 value with marker."""
    return _keyed(SO_CHANGE, key, raw)


def event_success(key: str) -> bytes:
    """The writer's own change took effect."""
    return _keyed(SO_SUCCESS, key, b"")


def event_remove(key: str) -> bytes:
    """A slot is gone."""
    return _keyed(SO_REMOVE, key, b"")


def event_request_change(key: str, raw: bytes) -> bytes:
    """A client's wish to set a slot."""
    return _keyed(SO_REQUEST_CHANGE, key, raw)


def event_request_remove(key: str) -> bytes:
    """A client's wish to delete a slot."""
    return _keyed(SO_REQUEST_REMOVE, key, b"")


def event_send(raw_values: bytes) -> bytes:
    """A message to all subscribers: handler name and arguments, AMF0, back to back."""
    return _EVENT.pack(SO_SEND, len(raw_values)) + raw_values


def event_status(code: str, level: str) -> bytes:
    """A refusal."""
    data = _string(code) + _string(level)
    return _EVENT.pack(SO_STATUS, len(data)) + data


def encode_event(event: Event) -> bytes:
    """Any event; those that are not known from their raw data."""
    if event.type in _WITH_PAIRS or event.type in _WITH_KEYS:
        return _keyed(event.type, event.key, event.value)
    if event.type == SO_STATUS:
        return event_status(event.key, event.level)
    return _EVENT.pack(event.type, len(event.value)) + event.value


def encode(message: SharedObjectMessage, amf3: bool = False) -> bytes:
    """The payload for type 19, or with `amf3` for type 16."""
    pieces = [b"\0" if amf3 else b"", _string(message.name)]
    pieces.append(_HEADER.pack(message.version, message.flags, 0))
    pieces.extend([encode_event(event) for event in message.events])
    return b"".join(pieces)
