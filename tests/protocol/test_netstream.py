"""Message streams: what peers ask of them, and which media gets through."""

from __future__ import annotations

from typing import Any

import pytest

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.protocol import events, netstream
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.protocol.netstream import IDLE, PLAYING, PUBLISHING, StreamTable
from rtmp_sync.protocol.play_range import PlayRange, PlaySource
from rtmp_sync.wire import amf0
from rtmp_sync.wire import constants as c
from tests.support.rtmp_peer import Joined


@pytest.fixture
def joined() -> Joined:
    joined = Joined()
    joined.connect()
    return joined


def create(joined: Joined) -> int:
    (event,) = joined.to_server(joined.client.call("createStream")[1])
    assert isinstance(event, events.StreamCreateRequested)
    return event.msid


def say(joined: Joined, msid: int, name: str, *arguments: object) -> list[events.Event]:
    return joined.to_server(joined.client.command(name, 4, None, *arguments, msid=msid))


# --- the table


def test_every_state_knows_every_act() -> None:
    states = (IDLE, PUBLISHING, PLAYING)
    acts = (netstream.PUBLISH, netstream.PLAY, netstream.CLOSE)
    assert set(netstream._NEXT) == {(state, act) for state in states for act in acts}


def test_ids_are_used_again_from_the_lowest() -> None:
    table = StreamTable(3)
    assert [table.create() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(LocalProtocolError, match="all 3"):
        table.create()
    assert table.delete(2) == IDLE
    assert table.delete(2) is None
    assert table.create() == 2
    assert len(table) == 3
    table.stop(99)
    assert table.doing(99) == IDLE


# --- publish


def test_publish_is_asked_with_name_and_kind(joined: Joined) -> None:
    msid = create(joined)
    assert say(joined, msid, "publish", "cam?token=1", "record") == [
        events.PublishRequested(msid, 4.0, "cam?token=1", "record")
    ]
    assert joined.server.streams.doing(msid) == PUBLISHING


@pytest.mark.parametrize("arguments", [("cam",), ("cam", "live"), ("cam", "myapp"), ("cam", None)])
def test_any_other_kind_is_live(joined: Joined, arguments: tuple[object, ...]) -> None:
    msid = create(joined)
    assert say(joined, msid, "publish", *arguments) == [
        events.PublishRequested(msid, 4.0, "cam", "live")
    ]


def test_publish_false_ends_publishing(joined: Joined) -> None:
    msid = create(joined)
    say(joined, msid, "publish", "cam")
    assert say(joined, msid, "publish", False) == [events.StreamClosed(msid, PUBLISHING)]
    assert joined.server.streams.doing(msid) == IDLE


def test_a_second_publish_closes_the_first(joined: Joined) -> None:
    msid = create(joined)
    say(joined, msid, "publish", "cam")
    assert say(joined, msid, "publish", "other") == [
        events.StreamClosed(msid, PUBLISHING),
        events.PublishRequested(msid, 4.0, "other", "live"),
    ]


@pytest.mark.parametrize("name", ["publish", "play"])
@pytest.mark.parametrize("arguments", [(), (None,), (7,), ({},)])
def test_a_name_that_is_no_text_is_refused(
    joined: Joined, name: str, arguments: tuple[object, ...]
) -> None:
    msid = create(joined)
    with pytest.raises(RemoteProtocolError, match=f"{name} of"):
        say(joined, msid, name, *arguments)


# --- play


ANY, LIVE, RECORDED = PlaySource.ANY, PlaySource.LIVE, PlaySource.RECORDED


@pytest.mark.parametrize(
    ("arguments", "part", "reset"),
    [
        ((), PlayRange(ANY, 0, None), 1),
        ((-1,), PlayRange(LIVE, 0, None), 1),
        ((-1000,), PlayRange(LIVE, 0, None), 1),
        ((-2000, 10, False), PlayRange(ANY, 0, 10), 0),
        ((-5,), PlayRange(ANY, 0, None), 1),
        ((0, -1, 3), PlayRange(RECORDED, 0, None), 3),
        ((1500, 0), PlayRange(RECORDED, 1500, 0), 1),
        ((None, "x", "y"), PlayRange(ANY, 0, None), 1),
        ((float("nan"), float("inf"), 99), PlayRange(ANY, 0, None), 1),
    ],
)
def test_play_has_its_usual_arguments(
    joined: Joined, arguments: tuple[object, ...], part: PlayRange, reset: int
) -> None:
    msid = create(joined)
    assert say(joined, msid, "play", "cam", *arguments) == [
        events.PlayRequested(msid, 4.0, "cam", part, reset)
    ]


WHOLE = PlayRange(ANY, 0, None)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, (WHOLE, 1)),
        ({"transition": "reset", "start": 1.5, "len": 2.0}, (PlayRange(RECORDED, 1500, 2000), 1)),
        ({"transition": "append", "start": -1.0}, (PlayRange(LIVE, 0, None), 0)),
        ({"transition": "appendAndWait"}, (WHOLE, 0, True)),
        ({"transition": "resume", "offset": 7.5}, (PlayRange(ANY, 7500, None), 0, False, True)),
        ({"transition": "switch"}, (WHOLE, 1)),  # nothing plays
        ({"transition": 7, "len": "x"}, (WHOLE, 1)),
    ],
)
def test_play2_is_a_play_with_options_in_seconds(
    joined: Joined, options: dict[str, object], asked: tuple[Any, ...]
) -> None:
    msid = create(joined)
    assert say(joined, msid, "play2", {"streamName": "cam", **options}) == [
        events.PlayRequested(msid, 4.0, "cam", *asked)
    ]


def test_play2_goes_over_only_from_what_plays_and_may_stop_it(joined: Joined) -> None:
    msid = create(joined)
    options = {"streamName": "high", "oldStreamName": "low", "offset": 12.195}
    say(joined, msid, "play", "low")
    assert say(joined, msid, "play2", {**options, "transition": "switch"}) == [
        events.TransitionRequested(msid, 4.0, "high", "low", WHOLE, False, 12195)
    ]
    assert say(joined, msid, "play2", {"streamName": "b", "transition": "swap"}) == [
        events.TransitionRequested(msid, 4.0, "b", "", WHOLE, True, None)
    ]
    assert say(joined, msid, "play2", {"transition": "stop"}) == [
        events.StreamClosed(msid, PLAYING)
    ]


def test_a_second_play_is_a_playlist_and_play_false_ends_it(joined: Joined) -> None:
    msid = create(joined)
    say(joined, msid, "play", "one")
    (second,) = say(joined, msid, "play", "two", -2, -1, False)
    assert isinstance(second, events.PlayRequested)
    assert say(joined, msid, "play", False) == [events.StreamClosed(msid, PLAYING)]


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (("receiveAudio", False), events.ReceiveAudio(1, False)),
        (("receiveVideo", True), events.ReceiveVideo(1, True)),
        (("pause", True, 500), events.PauseRequested(1, True, 500.0)),
        (("pauseRaw", False, 500), events.PauseRequested(1, False, 500.0)),
        (("seek", 1500), events.SeekRequested(1, 1500.0)),
    ],
)
def test_a_player_steers_only_while_it_plays(
    joined: Joined, command: tuple[str, object], event: events.Event
) -> None:
    msid = create(joined)
    assert say(joined, msid, *command) == []
    say(joined, msid, "play", "cam")
    assert say(joined, msid, *command) == [event]


# --- close and delete


def test_close_keeps_the_stream_and_delete_frees_it(joined: Joined) -> None:
    msid = create(joined)
    say(joined, msid, "publish", "cam")
    assert say(joined, msid, "closeStream") == [events.StreamClosed(msid, PUBLISHING)]
    assert say(joined, msid, "closeStream") == []
    say(joined, msid, "play", "cam")
    assert say(joined, 0, "deleteStream", msid) == [events.StreamDeleted(msid, PLAYING)]
    assert say(joined, 0, "deleteStream", msid) == []
    assert create(joined) == msid


@pytest.mark.parametrize("target", [None, "1", float("nan"), float("inf"), -1, 1e300, True])
def test_deleting_what_is_no_stream_does_nothing(joined: Joined, target: object) -> None:
    create(joined)
    assert say(joined, 0, "deleteStream", target) == []
    assert len(joined.server.streams) == 1


def test_a_command_on_a_stream_that_does_not_exist_is_an_ordinary_one(joined: Joined) -> None:
    (event,) = say(joined, 7, "publish", "cam")
    assert isinstance(event, events.CommandReceived)
    assert (event.name, event.msid) == ("publish", 7)


def test_message_streams_have_a_limit() -> None:
    joined = Joined(server_limits=ConnectionLimits(max_streams=2))
    joined.connect()
    create(joined)
    create(joined)
    with pytest.raises(RemoteProtocolError, match="more than 2 message streams"):
        create(joined)


@pytest.mark.parametrize("name", ["FCPublish", "releaseStream", "_checkbw", "getStreamLength"])
def test_commands_that_the_server_answers_come_as_they_are(joined: Joined, name: str) -> None:
    (event,) = say(joined, 0, name, "cam")
    assert isinstance(event, events.CommandReceived)
    assert event.command_object_and_arguments(joined.server.limits.values) == (None, ["cam"])


# --- media


def test_media_gets_through_only_while_the_stream_publishes(joined: Joined) -> None:
    msid = create(joined)
    video = joined.client.message(c.VIDEO, b"\x17\x01", msid=msid, timestamp=40)
    assert joined.to_server(video) == []
    say(joined, msid, "publish", "cam")
    assert joined.to_server(video) == [events.MediaReceived(c.VIDEO, msid, 40, b"\x17\x01")]
    joined.server.streams.stop(msid)  # the host refused
    assert joined.to_server(video) == []
    assert joined.server.dropped_messages == 2


def test_data_comes_without_format_byte_and_aggregates_as_their_parts(joined: Joined) -> None:
    msid = create(joined)
    say(joined, msid, "publish", "cam")
    data = amf0.encode("onMetaData", {"width": 640.0})
    expected = events.MediaReceived(c.DATA, msid, 5, data)
    for type, payload in ((c.DATA, data), (c.DATA_AMF3, b"\0" + data), (c.DATA_AMF3, data)):
        message = joined.client.message(type, payload, msid=msid, timestamp=5)
        assert joined.to_server(message) == [expected]
    part = b"\x08\0\0\1\0\0\x64\0\0\0\0a\0\0\0\x0c\x09\0\0\1\0\0\x78\0\0\0\0b\0\0\0\x0c"
    aggregate = joined.client.message(c.AGGREGATE, part, msid=msid, timestamp=1000)
    assert joined.to_server(aggregate) == [
        events.MediaReceived(c.AUDIO, msid, 1000, b"a"),
        events.MediaReceived(c.VIDEO, msid, 1020, b"b"),
    ]


def test_a_client_takes_media_of_any_stream(joined: Joined) -> None:
    audio = joined.server.message(c.AUDIO, b"\xaf\x01", msid=1, timestamp=7)
    assert joined.to_client(audio) == [events.MediaReceived(c.AUDIO, 1, 7, b"\xaf\x01")]


def test_a_status_of_a_stream_comes_with_its_id(joined: Joined) -> None:
    (status,) = joined.to_client(
        joined.server.status(3, "error", c.PUBLISH_BAD_NAME, "taken", details="cam")
    )
    assert isinstance(status, events.StatusReceived)
    assert status.msid == 3
    assert status.info == {
        "level": "error",
        "code": c.PUBLISH_BAD_NAME,
        "description": "taken",
        "details": "cam",
    }
