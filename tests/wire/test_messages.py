"""Payloads of messages, the forms that encoders and players really send among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import amf0, amf3, messages
from rtmp_sync.wire import constants as c
from rtmp_sync.wire.values import VectorInt


@pytest.mark.parametrize(
    ("event", "value", "extra"),
    [
        (c.STREAM_BEGIN, 1, 0),
        (c.STREAM_EOF, 1, 0),
        (c.SET_BUFFER_LENGTH, 1, 3000),
        (c.PING_REQUEST, 0xFFFFFFFF, 0),
        (c.BUFFER_READY, 1, 0),
    ],
)
def test_user_control_is_read_as_it_was_written(event: int, value: int, extra: int) -> None:
    found = messages.decode_user_control(
        messages.encode_user_control(event, value, extra) + b"appended"
    )
    assert (found.event, found.value, found.extra) == (event, value, extra)


def test_a_swf_verify_request_has_no_data() -> None:
    assert messages.decode_user_control(b"\0\x1a").event == c.SWF_VERIFY_REQUEST


def test_peer_bandwidth_is_read_as_it_was_written() -> None:
    payload = messages.encode_peer_bandwidth(2_500_000, c.LIMIT_SOFT)
    assert messages.decode_peer_bandwidth(payload) == (2_500_000, c.LIMIT_SOFT)


# --- commands


def command(name: object, transaction: object, *rest: object) -> bytes:
    return amf0.encode(name, transaction, *rest)


def test_a_command_is_split_before_its_object() -> None:
    payload = command("play", 4.0, None, "cam")
    header = messages.split_command(c.COMMAND, payload)
    assert (header.name, header.transaction) == ("play", 4.0)
    assert amf0.decode(payload[header.offset :]) == [None, "cam"]


@pytest.mark.parametrize("format_byte", [b"\0", b""])
def test_the_format_byte_of_type_17_may_be_missing(format_byte: bytes) -> None:
    payload = format_byte + command("play", 4.0, None)
    header = messages.split_command(c.COMMAND_AMF3, payload)
    assert header.name == "play"
    assert payload[header.offset :] == b"\x05"


def test_names_and_numbers_may_come_in_their_rare_forms() -> None:
    long_string = b"\x0c\0\0\0\4play" + command(1.0, None)
    in_amf3 = b"\x11" + amf3.encode("play") + b"\x11" + amf3.encode(1) + b"\x05"
    for payload in (long_string, in_amf3):
        header = messages.split_command(c.COMMAND, payload)
        assert (header.name, header.transaction) == ("play", 1.0)
        assert payload[header.offset :] == b"\x05"


def test_a_command_may_end_after_its_name() -> None:
    header = messages.split_command(c.COMMAND, command("close", 0.0)[:-9])
    assert (header.name, header.transaction) == ("close", 0.0)


def test_values_are_written_for_those_who_cannot_read_amf3() -> None:
    vector = VectorInt([1, 2])
    assert b"\x11" in amf0.encode_for(vector, avmplus=True)
    assert amf0.decode(amf0.encode_for(vector, avmplus=False)) == [[1.0, 2.0]]
    with pytest.raises(LocalProtocolError):
        amf0.encode_for(object(), avmplus=False)


def test_a_container_that_comes_twice_is_one_context() -> None:
    shared = {"a": 1.0}
    first, second = amf0.decode(amf0.encode_for(shared, shared, avmplus=False))
    assert first == second == shared
    assert first is second


# --- data


def test_the_verb_before_metadata_is_split_off() -> None:
    rest = amf0.encode("onMetaData", {"width": 640.0})
    assert messages.split_data(amf0.encode("@setDataFrame") + rest) == (
        messages.SET_DATA_FRAME,
        rest,
    )
    assert messages.split_data(amf0.encode("@clearDataFrame") + rest) == (
        messages.CLEAR_DATA_FRAME,
        rest,
    )
    assert messages.split_data(rest) == (b"", rest)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (amf0.encode("onMetaData", 1.0), "onMetaData"),
        (amf0.encode(1.0), ""),
        (b"\2\0\x09cut", ""),
        (b"", ""),
    ],
)
def test_data_is_known_by_the_name_it_begins_with(payload: bytes, name: str) -> None:
    assert messages.data_name(payload) == name


# --- aggregates


def part(type: int, timestamp: int, data: bytes) -> bytes:
    """A message inside an aggregate."""
    return (
        bytes((type,))
        + len(data).to_bytes(3, "big")
        + (timestamp & 0xFFFFFF).to_bytes(3, "big")
        + bytes((timestamp >> 24,))
        + bytes(3)
        + data
        + (11 + len(data)).to_bytes(4, "big")
    )


def test_parts_of_an_aggregate_keep_their_distance() -> None:
    payload = part(8, 100, b"a") + part(9, 120, b"bb") + part(8, 123, b"")
    assert messages.split_aggregate(payload, 5000) == [
        (8, 5000, b"a"),
        (9, 5020, b"bb"),
        (8, 5023, b""),
    ]


def test_timestamps_of_parts_have_32_bits_and_wrap() -> None:
    payload = part(8, 0x01000000, b"a") + part(8, 0x01000010, b"b")
    assert [t for _, t, _ in messages.split_aggregate(payload, 0xFFFFFFF8)] == [0xFFFFFFF8, 8]


def test_a_part_that_overruns_is_dropped_and_the_last_pointer_may_be_missing() -> None:
    payload = part(8, 0, b"a") + part(9, 0, b"bbbb")
    assert messages.split_aggregate(payload[:-5], 0) == [(8, 0, b"a")]
    assert len(messages.split_aggregate(payload[:-4], 0)) == 2


@given(st.binary(max_size=200), st.sampled_from([c.COMMAND, c.COMMAND_AMF3]))
def test_any_bytes_are_a_command_or_refused(payload: bytes, type: int) -> None:
    try:
        header = messages.split_command(type, payload)
    except RemoteProtocolError:
        return
    assert 0 < header.offset <= len(payload)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_aggregate_of_something(payload: bytes) -> None:
    assert sum(len(data) for _, _, data in messages.split_aggregate(payload, 0)) <= len(payload)


@given(st.binary(max_size=20))
def test_any_bytes_are_user_control_or_refused(payload: bytes) -> None:
    try:
        messages.decode_user_control(payload)
    except RemoteProtocolError:
        assert len(payload) < 10
