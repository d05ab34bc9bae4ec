"""Shared object messages: values as bytes, and what they may refer to."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import amf0
from rtmp_sync.wire import constants as c
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.limits import Limits

HEADER = so.header("board", 7, True)
SHARED = {"k": 1.0}


def changes(*values: bytes) -> bytes:
    return HEADER + b"".join(so.event_change(f"s{i}", raw) for i, raw in enumerate(values))


def test_values_come_out_as_the_bytes_that_came_in() -> None:
    values = [amf0.encode(value) for value in ("text", 1.0, None, [1.0, "x"], SHARED)]
    message = so.decode(changes(*values))
    assert (message.name, message.version, message.persistent) == ("board", 7, True)
    assert [event.value for event in message.events] == values
    assert [event.value_flags for event in message.events] == [0] * 5


def test_a_value_says_that_it_refers_into_itself() -> None:
    inside = amf0.encode([SHARED, SHARED])
    (event,) = so.decode(changes(inside)).events
    assert event.value == inside
    assert event.value_flags & amf0.HAS_REFERENCE
    assert not event.value_flags & amf0.REFERS_OUTSIDE


def test_a_value_that_refers_to_an_earlier_event_comes_out_on_its_own() -> None:
    both = amf0.encode(SHARED, SHARED)
    first, second = both[:-3], both[-3:]
    assert second == b"\x07\0\0"
    events = so.decode(changes(first, second)).events
    assert events[0].value == first
    assert amf0.decode(events[1].value) == [SHARED]
    assert not events[1].value_flags & amf0.REFERS_OUTSIDE


def test_only_what_refers_outside_is_written_anew() -> None:
    alone = amf0.encode({"a": 1.0})
    both = amf0.encode(SHARED, [SHARED, 2.0])
    first, second = both[: len(amf0.encode(SHARED))], both[len(amf0.encode(SHARED)) :]
    # the reference counts from the start of the message, so it must come first
    events = so.decode(changes(first, second, alone)).events
    assert [amf0.decode(event.value)[0] for event in events] == [SHARED, [SHARED, 2.0], {"a": 1.0}]
    assert (events[0].value, events[2].value) == (first, alone)


def test_references_between_the_values_of_a_send_stay_inside_it() -> None:
    raw = amf0.encode("handler", SHARED, SHARED)
    (event,) = so.decode(HEADER + so.event_send(raw)).events
    assert amf0.decode(event.value) == ["handler", SHARED, SHARED]
    assert event.value_flags & amf0.HAS_REFERENCE
    assert not event.value_flags & amf0.REFERS_OUTSIDE


def test_the_pieces_that_fan_out_joins_are_what_decode_reads() -> None:
    payload = (
        so.header("a/b", 3, False)
        + so.EVENT_USE_SUCCESS
        + so.EVENT_CLEAR
        + so.event_change("k", amf0.encode(1.0))
        + so.event_success("k")
        + so.event_remove("gone")
        + so.event_status(c.SO_NO_WRITE_ACCESS, "error")
        + so.event_send(amf0.encode("h", 1.0))
        + so.EVENT_USE
        + so.EVENT_RELEASE
        + so.EVENT_REQUEST_CLEAR
        + so.event_request_change("k", amf0.encode(2.0))
        + so.event_request_remove("k")
    )
    for amf3 in (False, True):
        message = so.decode(b"\0" * amf3 + payload, amf3)
        assert [event.type for event in message.events] == [11, 8, 4, 5, 9, 7, 6, 1, 2, 14, 3, 10]
        assert so.encode(message, amf3) == b"\0" * amf3 + payload


@pytest.mark.parametrize("make", [so.event_success, so.event_remove, so.event_request_remove])
def test_a_key_that_does_not_fit_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(LocalProtocolError, match="65535"):
        make("x" * 70_000)


def test_ten_thousand_nested_arrays_are_refused_in_flat_memory() -> None:
    deep = b"\x0a\0\0\0\x01" * 10_000 + b"\x05"
    payload = changes(deep)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            so.decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()


def test_the_number_of_events_has_a_limit() -> None:
    limits = Limits(max_values=100)
    for payload in (
        HEADER + so.EVENT_USE * 101,
        HEADER + b"\x05\0\0\0\xca" + b"\0\0" * 101,
        HEADER + b"\x04\0\0\1\x2f" + b"\0\0\x05" * 101,
    ):
        with pytest.raises(RemoteProtocolError, match=r"more than 100|too many"):
            so.decode(payload, limits=limits)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_message_or_refused(payload: bytes, amf3: bool) -> None:
    try:
        message = so.decode(payload, amf3)
    except RemoteProtocolError:
        return
    again = so.decode(so.encode(message, amf3), amf3)
    assert repr(again) == repr(message)


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_events_are_a_message_or_refused(events: bytes, kind: int) -> None:
    kinds = (b"\x03", b"\x04", b"\x05", b"\x06", b"\x07", b"\x0d")
    body = kinds[kind] + len(events).to_bytes(4, "big") + events
    try:
        message = so.decode(HEADER + body)
    except RemoteProtocolError:
        return
    assert repr(so.decode(so.encode(message))) == repr(message)
