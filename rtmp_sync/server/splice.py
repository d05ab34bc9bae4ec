"""Shared-object messages put together from event bytes, without decoding a value.

An item is one event and whether it must be alone: a value with AMF references inside itself
counts its reference slots from the start of its message. AMF0 clients cannot read what
stands behind the AMF3 switch (0x11), so such a value is written again for them.
"""

from __future__ import annotations

from typing import Final

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as wire
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import CSID_SHARED_OBJECT, SHARED_OBJECT, SHARED_OBJECT_AMF3
from rtmp_sync.wire.limits import STORED

__all__ = ["Item", "change_item", "pack", "plain_item", "send_item"]

# A longer message is cut between events: well inside what clients accept (ours: 4 MiB).
MESSAGE_BYTES: Final = 1024 * 1024

_UNSUPPORTED: Final = b"\x0d"

Item = tuple[bytes, bool]  # an event's bytes, whether it must have a message of its own


def plain_item(event: bytes) -> Item:
    """An event that holds no value."""
    return event, False


def change_item(key: str, raw: bytes, flags: int | None, amf3: bool) -> Item:
    """A slot's value. flags: amf0's scan flags of `raw`, None: scan it now."""
    raw, alone = _fit(raw, flags, amf3)
    return wire.event_change(key, raw), alone


def send_item(raw: bytes, flags: int | None, amf3: bool) -> Item:
    """A `send`: handler name and arguments back to back."""
    raw, alone = _fit(raw, flags, amf3)
    return wire.event_send(raw), alone


def pack(
    header: bytes, items: list[Item], *, amf3: bool, chunk_size: int, not_last: bytes | None = None
) -> bytes:
    """One message with all items, or as many as they need, as chunk stream bytes.

    not_last: the header of all messages but the last, if it is another.
    """
    kind = SHARED_OBJECT
    prefix = b""
    if amf3:
        kind = SHARED_OBJECT_AMF3
        prefix = b"\0"
    bodies: list[list[bytes]] = []
    room = 0
    for event, alone in items:
        if alone or len(event) > room:
            bodies.append([prefix, header if not_last is None else not_last])
            room = MESSAGE_BYTES
        bodies[-1].append(event)
        room = 0 if alone else room - len(event)
    bodies[-1][1] = header
    return b"".join(
        [
            encode_message(kind, 0, 0, b"".join(body), CSID_SHARED_OBJECT, chunk_size)
            for body in bodies
        ]
    )


def _fit(raw: bytes, flags: int | None, amf3: bool) -> tuple[bytes, bool]:
    """Value bytes for this kind of client, and whether they must be alone."""
    if flags is None:
        flags = _scan(raw)
    if flags & amf0.HAS_AMF3 and not amf3:
        raw = _without_amf3(raw)
        flags = _scan(raw)
    return raw, bool(flags & amf0.HAS_REFERENCE)


def _without_amf3(raw: bytes) -> bytes:
    """The nearest AMF0 to each value; a value that has none (such as one with a property name
    of more than 65,535 bytes) is "unsupported", so that one value never stops a whole turn."""
    nearest: list[bytes] = []
    for value in amf0.decode(raw, STORED):
        try:
            nearest.append(amf0.encode_for(value, avmplus=False))
        except LocalProtocolError:
            nearest.append(_UNSUPPORTED)
    return b"".join(nearest)


def _scan(raw: bytes) -> int:
    """The flags of self-contained values back to back."""
    context = amf0.ScanContext()
    flags = 0
    offset = 0
    while offset < len(raw):
        offset = amf0.scan(raw, offset, context, STORED)
        flags |= context.flags
    return flags
