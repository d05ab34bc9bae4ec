"""A client and a server joined in memory."""

from __future__ import annotations

import pytest

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.protocol import events, replies
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.wire import amf0
from rtmp_sync.wire import constants as c
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.values import VectorInt
from tests.support.rtmp_peer import Joined, counting_bytes, only


@pytest.fixture
def joined() -> Joined:
    joined = Joined()
    joined.connect("Ann", "Type1")
    return joined


# --- connect


@pytest.mark.parametrize("scheme", [-1, 0, 1])
def test_the_two_shake_hands_and_connect(scheme: int) -> None:
    joined = Joined(digest_scheme=scheme)
    joined.connect("Ann", "Type1", pageUrl="http://x/")
    assert joined.server_events[0] == events.HandshakeCompleted(scheme)
    request = only(joined.server_events, events.ConnectRequested)
    assert request.app == "text/room"
    assert request.arguments == ["Ann", "Type1"]
    assert request.params["pageUrl"] == "http://x/"
    answer = only(joined.client_events, events.ConnectAnswered)
    assert answer.ok
    assert answer.info["code"] == c.CONNECT_SUCCESS
    assert answer.properties["fmsVer"] == replies.FMS_VERSION
    told = [e.name for e in joined.client_events if isinstance(e, events.CommandReceived)]
    assert told == ["onBWDone"]


@pytest.mark.parametrize("object_encoding", [0, 3])
def test_the_object_encoding_is_agreed_on(object_encoding: int) -> None:
    joined = Joined()
    joined.connect(object_encoding=object_encoding)
    assert joined.server.object_encoding == joined.client.object_encoding == object_encoding


def test_the_server_announces_its_sizes_when_connect_comes() -> None:
    joined = Joined(chunk_size=8192)
    joined.settle()
    assert joined.server.chunk_size == 128
    joined.to_server(joined.client.connect({"app": "live"}))
    assert joined.server.chunk_size == 8192
    assert len(joined.server.data_to_send()) == 16 + 17 + 16


def test_enhanced_capabilities_are_answered_as_they_were_asked() -> None:
    joined = Joined()
    joined.connect(
        fourCcList=["*"], capsEx=3, videoFourCcInfoMap={"hvc1": 1}, audioFourCcInfoMap={"*": 1}
    )
    properties = only(joined.client_events, events.ConnectAnswered).properties
    assert properties["fourCcList"] == ["*"]
    assert properties["videoFourCcInfoMap"] == {"*": float(c.CAN_FORWARD)}
    assert properties["audioFourCcInfoMap"] == {"*": float(c.CAN_FORWARD)}
    assert properties["capsEx"] == float(c.CAPS_RECONNECT | c.CAPS_MULTITRACK | c.CAPS_MODEX)


def test_a_client_that_does_not_ask_hears_nothing_of_them(joined: Joined) -> None:
    assert "capsEx" not in only(joined.client_events, events.ConnectAnswered).properties


def test_a_refusal_carries_its_information_and_redirect() -> None:
    joined = Joined()
    joined.settle()
    request = only(joined.to_server(joined.client.connect({"app": "x"})), events.ConnectRequested)
    values = replies.connect_rejected("no", application=[1], redirect="rtmp://b/x")
    joined.settle()
    answer = only(
        joined.to_client(joined.server.reject_connect(request, values)), events.ConnectAnswered
    )
    assert not answer.ok
    assert answer.info["ex"] == {"code": 302.0, "redirect": "rtmp://b/x"}
    assert answer.info["application"] == [1.0]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("connect", 1.0), "command object"),
        (("connect", 1.0, None), "command object"),
        (("connect", 1.0, {}), "name of an application"),
        (("connect", 1.0, {"app": 7}), "name of an application"),
        (("setText", 2.0, None), "before connect"),
        (("createStream", 2.0, None), "before connect"),
    ],
)
def test_what_comes_in_place_of_connect_is_refused(values: tuple[object, ...], why: str) -> None:
    joined = Joined()
    joined.settle()
    with pytest.raises(RemoteProtocolError, match=why):
        joined.to_server(encode_message(c.COMMAND, 0, 0, amf0.encode(*values), 3, 128))


@pytest.mark.parametrize("type", [c.AUDIO, c.DATA, c.SHARED_OBJECT, c.AGGREGATE, c.REPLICATION])
def test_messages_before_connect_are_refused(type: int) -> None:
    joined = Joined()
    joined.settle()
    with pytest.raises(RemoteProtocolError, match="before connect"):
        joined.to_server(joined.client.message(type, b"\0\0"))


def test_a_second_connect_is_refused(joined: Joined) -> None:
    with pytest.raises(RemoteProtocolError, match="second connect"):
        joined.to_server(joined.client.connect({"app": "live"}))


def test_a_dead_connection_takes_nothing_more(joined: Joined) -> None:
    with pytest.raises(RemoteProtocolError):
        joined.to_server(b"\xc9rubbish")
    assert joined.server.next_deadline() is None
    with pytest.raises(LocalProtocolError):
        joined.to_server(b"more")


# --- calls


@pytest.mark.parametrize("object_encoding", [0, 3])
def test_a_call_arrives_undecoded_and_is_answered(object_encoding: int) -> None:
    joined = Joined()
    joined.connect(object_encoding=object_encoding)
    transaction, data = joined.client.call("setText", {"a": [1]}, command_object={"n": 1})
    assert joined.client.open_calls == 1
    call = only(joined.to_server(data), events.CommandReceived)
    assert (call.name, call.transaction) == ("setText", transaction)
    limits = joined.server.limits.values
    assert call.command_object_and_arguments(limits) == ({"n": 1.0}, [{"a": [1.0]}])
    answer = only(
        joined.to_client(joined.server.command("_result", transaction, *replies.result("ok"))),
        events.CallAnswered,
    )
    assert (answer.transaction, answer.ok, answer.result) == (transaction, True, "ok")
    assert joined.client.open_calls == 0


def test_a_stored_result_is_spliced_into_an_answer(joined: Joined) -> None:
    transaction, data = joined.client.call("setText")
    joined.to_server(data)
    raw = amf0.encode(None, {"a": 1.0})
    answer = only(
        joined.to_client(joined.server.raw_command("_result", transaction, raw)),
        events.CallAnswered,
    )
    assert answer.result == {"a": 1.0}


def test_the_server_calls_and_the_client_refuses(joined: Joined) -> None:
    transaction, data = joined.server.call("show", "hi")
    assert only(joined.to_client(data), events.CommandReceived).name == "show"
    refusal = joined.client.command("_error", transaction, *replies.call_failed("show"))
    answer = only(joined.to_server(refusal), events.CallAnswered)
    assert not answer.ok
    assert isinstance(answer.result, dict)
    assert answer.result["code"] == c.CALL_FAILED


def test_a_call_that_cannot_be_said_is_not_open(joined: Joined) -> None:
    with pytest.raises(LocalProtocolError):
        joined.server.call("told", object())
    assert joined.server.open_calls == 0


def test_answers_to_nothing_are_ignored(joined: Joined) -> None:
    transaction, data = joined.client.call("setText")
    joined.to_server(data)
    joined.client.forget_call(transaction)
    for number in (transaction, 0, 99, 2.5, float("nan"), float("inf"), -1):
        assert joined.to_client(joined.server.command("_result", number, None, 1)) == []


def test_values_are_written_for_what_the_peer_can_read() -> None:
    for object_encoding, amf3 in ((0, False), (3, True)):
        joined = Joined()
        joined.connect(object_encoding=object_encoding)
        data = joined.server.command("show", 0, None, VectorInt([1]))
        assert (b"\x11" in data[12:]) == amf3


def test_a_command_without_arguments_has_none(joined: Joined) -> None:
    payload = amf0.encode("close", 0.0)
    call = only(joined.to_server(joined.client.message(c.COMMAND, payload)), events.CommandReceived)
    assert call.command_object_and_arguments(joined.server.limits.values) == (None, [])


# --- control


def test_both_sides_acknowledge_at_half_the_others_window() -> None:
    joined = Joined(window=1000)
    joined.connect()
    joined.to_server(joined.client.message(c.SHARED_OBJECT, so.header("x" * 600, 0, False)))
    joined.settle()
    (acknowledged, *_) = [
        event for event in joined.client_events if isinstance(event, events.Acknowledged)
    ][::-1]
    assert acknowledged.bytes_received == joined.server.bytes_in - 3073
    assert joined.client.acknowledged_bytes == acknowledged.bytes_received
    joined.to_client(joined.server.message(c.SHARED_OBJECT, so.header("x" * 600, 0, False)))
    joined.settle()
    assert joined.server.acknowledged_bytes > 600


def test_without_a_window_nothing_is_acknowledged_unless_the_peer_is_asked_to_keep_to_one() -> None:
    server = Connection(Role.SERVER, now=0, random_bytes=counting_bytes)
    client = Connection(Role.CLIENT, now=0, random_bytes=counting_bytes)
    server.receive_data(client.data_to_send(), 0)
    client.receive_data(server.data_to_send(), 0)
    second = client.data_to_send()[:1536]  # its second packet, without what it announces
    server.receive_data(second, 0)
    server.receive_data(
        encode_message(c.COMMAND, 0, 0, amf0.encode("connect", 1.0, {"app": "x"}), 3, 128), 0
    )
    server.data_to_send()
    server.receive_data(
        encode_message(c.SHARED_OBJECT, 0, 0, so.header("x" * 9000, 0, False), 3, 128), 0
    )
    assert server.data_to_send() == b""
    server.limit_peer(4000)  # a peer that keeps to it has to hear what has come
    assert server.data_to_send()
    server.receive_data(
        encode_message(c.SHARED_OBJECT, 0, 0, so.header("x" * 2000, 0, False), 3, 128), 0
    )
    assert server.data_to_send()


def test_a_peer_bandwidth_is_answered_with_a_window(joined: Joined) -> None:
    joined.to_client(encode_message(c.SET_PEER_BANDWIDTH, 0, 0, b"\0\0\x10\0\x02", 2, 4096))
    assert only(joined.client_events[-1:], events.PeerBandwidthSet).window == 4096
    assert joined.client.data_to_send()[12:] == b"\0\0\x10\0"
    joined.to_client(encode_message(c.SET_PEER_BANDWIDTH, 0, 0, b"\0\0\x10\0\x02", 2, 4096))
    assert joined.client.data_to_send() == b""


def test_a_ping_is_answered_at_once_both_ways(joined: Joined) -> None:
    ping = joined.server.user_control(c.PING_REQUEST, 1234)
    assert joined.to_client(ping) == []
    assert joined.client.data_to_send()[12:] == b"\0\x07\0\0\x04\xd2"
    assert joined.to_server(joined.client.user_control(c.PING_REQUEST, 7)) == []
    assert joined.server.data_to_send()[12:] == b"\0\x07\0\0\0\x07"


def test_a_player_tells_its_buffer_and_a_server_signals(joined: Joined) -> None:
    told = joined.to_server(joined.client.user_control(c.SET_BUFFER_LENGTH, 1, 3000))
    assert told == [events.BufferLengthSet(1, 3000)]
    signalled = joined.to_client(joined.server.user_control(c.STREAM_EOF, 1))
    assert signalled == [events.StreamSignalled(1, c.STREAM_EOF)]


def test_a_status_of_the_connection_reaches_the_client(joined: Joined) -> None:
    data = joined.server.command("onStatus", 0, *replies.reconnect_request("rtmp://b/"))
    (status,) = joined.to_client(data)
    assert isinstance(status, events.StatusReceived)
    assert status.info["code"] == c.CONNECT_RECONNECT_REQUEST
    assert status.info["tcUrl"] == "rtmp://b/"


# --- the rest


@pytest.mark.parametrize("amf3", [False, True])
def test_a_shared_object_message_arrives_with_its_form(joined: Joined, amf3: bool) -> None:
    payload = b"\0" * amf3 + so.header("text", 3, True) + so.event_request_change("k", b"\x05")
    data = joined.client.message(c.SHARED_OBJECT_AMF3 if amf3 else c.SHARED_OBJECT, payload)
    (received,) = joined.to_server(data)
    assert isinstance(received, events.SharedObjectReceived)
    assert received.amf3 == amf3
    assert received.message.name == "text"
    assert received.message.events[0].value == b"\x05"


def test_a_replication_message_passes_with_its_lane(joined: Joined) -> None:
    (received,) = joined.to_server(joined.client.message(c.REPLICATION, b"envelope", csid=10))
    assert isinstance(received, events.MessageReceived)
    assert (received.message.csid, received.message.payload) == (10, b"envelope")


def test_unknown_types_are_dropped_and_counted(joined: Joined) -> None:
    assert joined.to_server(joined.client.message(31, b"?")) == []
    assert joined.server.dropped_messages == 1


def test_bytes_are_counted_both_ways(joined: Joined) -> None:
    assert joined.client.bytes_in > 3073
    assert joined.client.bytes_out > 3073
    assert joined.server.bytes_out >= 3073


def test_everything_arrives_in_any_pieces() -> None:
    joined = Joined()
    joined.connect()
    payload = so.header("text", 3, True) + so.event_request_change("k", amf0.encode("v" * 9000))
    data = joined.client.message(c.SHARED_OBJECT, payload) + joined.client.call("x", "y" * 9000)[1]
    found = [e for pos in range(len(data)) for e in joined.to_server(data[pos : pos + 1])]
    assert [type(event).__name__ for event in found] == ["SharedObjectReceived", "CommandReceived"]


def test_limits_reach_the_chunk_reader() -> None:
    joined = Joined(server_limits=ConnectionLimits(max_message_bytes=1000))
    joined.connect()
    with pytest.raises(RemoteProtocolError, match="1000 are allowed"):
        joined.to_server(joined.client.message(c.DATA, bytes(1001)))
