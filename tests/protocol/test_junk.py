"""Hostile peers: a readable refusal, and memory stays flat."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol import events
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.wire import amf0
from rtmp_sync.wire import constants as c
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.chunk import encode_message
from tests.support.rtmp_peer import Joined

FLAT = 4_000_000  # bytes: small beside what the junk announces


def connected(limits: ConnectionLimits | None = None) -> Joined:
    joined = Joined(server_limits=limits)
    joined.connect()
    return joined


def decode_all(found: list[events.Event], limits: ConnectionLimits) -> None:
    """What a server does with commands that its whitelist allows."""
    for event in found:
        if isinstance(event, events.CommandReceived):
            event.command_object_and_arguments(limits.values)


def command(values: bytes, name: str = "setText") -> bytes:
    return encode_message(c.COMMAND, 0, 0, amf0.encode(name, 2.0, None) + values, 3, 4096)


def announced(csids: range) -> bytes:
    """Sixteen megabytes announced on each, and a chunk of it."""
    return b"".join(
        bytes((csid,)) + b"\0\0\0\xff\xff\xff\x09\1\0\0\0" + bytes(4096) for csid in csids
    )


JUNK = {
    "ten thousand nested arrays": command(b"\x0a\0\0\0\1" * 10_000),
    "ten thousand nested objects": command(b"\3\0\1a" * 10_000),
    "an array of two billion": command(b"\x0a\x7f\xff\xff\xff"),
    "a text of two billion bytes": command(b"\x0c\x80\0\0\0abc"),
    "a shared object value nested deep": encode_message(
        c.SHARED_OBJECT,
        0,
        0,
        so.header("x", 0, False) + so.event_request_change("k", b"\x0a\0\0\0\1" * 10_000),
        4,
        4096,
    ),
    "a million tiny values": command(b"\x05" * 1_000_000),
    "sixteen megabytes on sixty chunk streams": announced(range(3, 63)),
    "a message over the limit": encode_message(c.DATA, 1, 0, bytes(5_000_000), 3, 4096),
    "nested arrays in publish": command(b"\x0a\0\0\0\1" * 10_000, "connect"),
    "a format byte that is none": encode_message(c.COMMAND_AMF3, 0, 0, b"\x07\2\0", 3, 4096),
    "a set chunk size of nothing": encode_message(c.SET_CHUNK_SIZE, 0, 0, bytes(4), 2, 4096),
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_refused_with_a_reason_and_flat_memory(name: str) -> None:
    joined = connected()
    junk = JUNK[name]
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError) as caught:
            feed(joined, junk)
        assert tracemalloc.get_traced_memory()[1] < FLAT + len(junk)
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) > 10


def feed(joined: Joined, junk: bytes) -> None:
    """As a socket would: in pieces."""
    for pos in range(0, len(junk), 65536):
        joined.server.receive_data(junk[pos : pos + 65536], joined.now)
        decode_all(joined.server.events_received(), joined.server.limits)


def test_big_messages_on_many_streams_stop_at_the_limit_over_all() -> None:
    limits = ConnectionLimits(max_message_bytes=0xFFFFFF, max_partial_bytes=100_000)
    with pytest.raises(RemoteProtocolError, match="100000 bytes of unfinished messages"):
        feed(connected(limits), announced(range(3, 63)))


def test_more_unfinished_messages_than_allowed_are_refused() -> None:
    limits = ConnectionLimits(max_message_bytes=0xFFFFFF, max_chunk_streams=10)
    with pytest.raises(RemoteProtocolError, match="more than 10 unfinished"):
        feed(connected(limits), announced(range(3, 63)))


def test_plain_text_in_place_of_a_handshake_is_named() -> None:
    with pytest.raises(RemoteProtocolError, match="not RTMP"):
        Joined().to_server(b"GET / HTTP/1.1\r\n")


def test_pings_that_nobody_sends_on_have_a_limit() -> None:
    joined = connected(ConnectionLimits(max_protocol_bytes=10_000))
    ping = joined.client.user_control(c.PING_REQUEST, 1)
    with pytest.raises(RemoteProtocolError, match="too many control messages"):
        joined.to_server(ping * 1000)


def test_arguments_that_nobody_asks_for_are_never_decoded() -> None:
    joined = connected()
    (call,) = joined.to_server(command(b"\xff\xff not AMF at all"))
    assert isinstance(call, events.CommandReceived)
    assert call.name == "setText"


@given(st.data())
def test_a_conversation_with_bytes_changed_is_understood_or_refused(data: st.DataObject) -> None:
    joined = connected()
    talk = bytearray(
        joined.client.call("setText", {"a": [1, "x", None]}, "hello")[1]
        + joined.client.call("createStream")[1]
        + joined.client.command("publish", 0, None, "cam", "live", msid=1)
        + joined.client.message(c.VIDEO, b"\x17\x00abc", msid=1, timestamp=5)
        + joined.client.message(
            c.SHARED_OBJECT,
            so.header("x", 0, False) + so.event_request_change("k", amf0.encode({"a": 1.0})),
        )
        + joined.client.user_control(c.PING_REQUEST, 5)
    )
    for _ in range(data.draw(st.integers(1, 6))):
        talk[data.draw(st.integers(0, len(talk) - 1))] = data.draw(st.integers(0, 255))
    try:
        feed(joined, bytes(talk))
    except RemoteProtocolError:
        return
    joined.server.data_to_send()


@given(st.binary(max_size=400))
def test_any_bytes_behind_connect_are_understood_or_refused(junk: bytes) -> None:
    joined = connected()
    try:
        feed(joined, junk)
    except RemoteProtocolError:
        return


@given(
    st.sampled_from(
        [c.USER_CONTROL, 5, 6, 3, c.DATA_AMF3, 16, 17, c.DATA, 19, c.COMMAND, c.AGGREGATE]
    ),
    st.binary(max_size=200),
    st.integers(0, 2),
)
def test_any_payload_of_any_type_is_understood_or_refused(
    type: int, payload: bytes, msid: int
) -> None:
    joined = connected()
    try:
        feed(joined, encode_message(type, msid, 0, payload, 3, 4096))
    except RemoteProtocolError:
        return


@given(st.binary(max_size=200), st.sampled_from(["_result", "_error", "onStatus", "show"]))
def test_a_client_understands_or_refuses_any_answer(values: bytes, name: str) -> None:
    joined = connected()
    joined.client.call("setText")
    payload = amf0.encode(name, 2.0) + values
    try:
        joined.client.receive_data(encode_message(c.COMMAND, 0, 0, payload, 3, 4096), joined.now)
        decode_all(joined.client.events_received(), joined.client.limits)
    except RemoteProtocolError:
        return
