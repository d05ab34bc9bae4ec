"""Live streams over real sockets: who is told what, in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered, MediaReceived, StatusReceived, StreamSignalled
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import STREAM_BEGIN, STREAM_EOF
from tests.support.origins import until
from tests.support.peer import Peer

AVC_HEADER = b"\x17\0\0\0\0config"
AAC_HEADER = b"\xaf\0\x12\x10"
METADATA = amf0.encode("onMetaData", {"width": 320.0})
SET_METADATA = amf0.encode("@setDataFrame") + METADATA


def key(text: bytes = b"") -> bytes:
    return b"\x17\1\0\0\0" + text


def inter(text: bytes = b"") -> bytes:
    return b"\x27\1\0\0\0" + text


class Studio:
    """Clients of one instance, each with message stream 1."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.peers: list[Peer] = []

    async def join(self, name: str = "", **params: Any) -> Peer:
        peer = Peer()
        self.peers.append(peer)
        return await peer.join(self.origin.rtmp_port, name=name, **params)

    async def publisher(self, stream: str = "s") -> Peer:
        peer = await self.join()
        peer.tell("publish", stream, "live")
        await peer.status("NetStream.Publish.Start")
        return peer

    async def player(self, stream: str = "s") -> Peer:
        peer = await self.join()
        peer.tell("play", stream)
        await peer.status("NetStream.Play.Start")
        return peer


@pytest.fixture
async def studio(origin: Origin) -> AsyncIterator[Studio]:
    studio = Studio(origin)
    yield studio
    for peer in studio.peers:
        peer.close()


def frames(peer: Peer) -> list[tuple[int, int, bytes]]:
    """Audio and video that came."""
    return [(one.type, one.timestamp, one.payload) for one in peer.media() if one.type in (8, 9)]


def signals(peer: Peer) -> list[int]:
    return [one.event for one in peer.events if isinstance(one, StreamSignalled)]


def data(peer: Peer) -> list[bytes]:
    return [one.payload for one in peer.media() if one.type == 18]


async def test_play_is_answered_in_the_order_of_fms(studio: Studio) -> None:
    publisher = await studio.publisher()
    publisher.push(18, 0, SET_METADATA)
    publisher.push(9, 0, AVC_HEADER)
    publisher.push(9, 40, key())
    await until(lambda: next(iter(studio.origin.instances)).live.names == ["s"])
    player = await studio.player()
    await player.until(lambda: len(frames(player)) == 2)
    told: list[object] = []
    for event in player.events:
        if isinstance(event, StreamSignalled):
            told.append((event.event, event.msid))
        elif isinstance(event, StatusReceived):
            told.append(event.info["code"])
        elif isinstance(event, MediaReceived):
            told.append(event.payload if event.type == 9 else amf0.decode(event.payload)[0])
    assert told == [
        (STREAM_BEGIN, 1),
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "|RtmpSampleAccess",
        "onStatus",
        "onMetaData",
        AVC_HEADER,
        key(),
    ]


async def test_a_late_joiner_starts_at_the_last_key_frame(studio: Studio) -> None:
    publisher, early = await studio.publisher(), await studio.player()
    sent = [
        (9, 0, AVC_HEADER),
        (8, 0, AAC_HEADER),
        (9, 0, key(b"1")),
        (9, 40, inter(b"2")),
        (9, 80, key(b"3")),
        (8, 90, b"\xaf\1a"),
        (9, 120, inter(b"4")),
    ]
    for type, timestamp, payload in sent:
        publisher.push(type, timestamp, payload)
    await early.until(lambda: len(frames(early)) == len(sent))
    assert frames(early) == sent
    late = await studio.player()
    publisher.push(9, 160, inter(b"5"))
    await late.until(lambda: len(frames(late)) == 6)
    assert frames(late) == [
        (9, 80, AVC_HEADER),
        (8, 80, AAC_HEADER),
        (9, 80, key(b"3")),
        (8, 90, b"\xaf\1a"),
        (9, 120, inter(b"4")),
        (9, 160, inter(b"5")),
    ]


async def test_who_waits_for_a_stream_is_told_when_it_begins_and_ends(studio: Studio) -> None:
    player = await studio.player()
    publisher = await studio.publisher()
    await player.status("NetStream.Play.PublishNotify")
    publisher.push(9, 0, key())
    await player.until(lambda: frames(player))
    assert signals(player) == [STREAM_BEGIN, STREAM_BEGIN]  # of who waits, and of the stream
    publisher.send(publisher.rtmp.command("deleteStream", 0, None, 1))
    await player.status("NetStream.Play.UnpublishNotify")
    assert signals(player) == [STREAM_BEGIN, STREAM_BEGIN, STREAM_EOF]
    await publisher.status("NetStream.Unpublish.Success")


async def test_who_waits_for_a_stream_gets_it_from_its_first_key_frame_on(studio: Studio) -> None:
    player, publisher = await studio.player(), await studio.publisher()
    unknown = b"\x98what"  # a packet type that no specification has
    for timestamp, frame in enumerate([AVC_HEADER, inter(), unknown, key(), inter()]):
        publisher.push(9, timestamp, frame)
    await player.until(lambda: len(frames(player)) == 4)
    assert [frame for _, _, frame in frames(player)] == [AVC_HEADER, unknown, key(), inter()]


async def test_a_player_that_left_out_audio_misses_no_video(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    publisher.push(9, 0, key())
    await player.until(lambda: frames(player))
    player.tell("receiveAudio", False)
    player.tell("receiveAudio", True)
    await player.status("NetStream.Seek.Notify")
    publisher.push(9, 40, inter())
    publisher.push(8, 50, b"\xaf\1a")
    await player.until(lambda: len(frames(player)) == 3)
    assert frames(player)[1:] == [(9, 40, inter()), (8, 50, b"\xaf\1a")]


async def test_players_of_a_lost_publisher_are_told_and_the_name_is_free(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    publisher.writer.transport.abort()
    await player.status("NetStream.Play.UnpublishNotify")
    assert STREAM_EOF not in signals(player)  # it may come back, and they wait for it
    await studio.publisher()


async def test_a_name_in_use_is_refused_and_its_media_goes_nowhere(studio: Studio) -> None:
    first, player = await studio.publisher(), await studio.player()
    second = await studio.join()
    second.tell("publish", "s?x=1", "live")
    refused = await second.status("NetStream.Publish.BadName")
    assert refused.info["level"] == "error"
    second.push(9, 0, key(b"second"))
    first.push(9, 0, key(b"first"))
    await player.until(lambda: frames(player))
    assert frames(player) == [(9, 0, key(b"first"))]


async def test_a_publisher_that_comes_back_under_its_session_key_takes_its_name(
    studio: Studio,
) -> None:
    old = await studio.join(sessionKey="ab" * 16)
    old.tell("publish", "s", "live")
    await old.status("NetStream.Publish.Start")
    new = await studio.join(sessionKey="ab" * 16)
    new.tell("publish", "s", "live")
    await new.status("NetStream.Publish.Start")


@pytest.mark.parametrize("kind", ["record", "append"])
async def test_recording_is_refused(studio: Studio, kind: str) -> None:
    peer = await studio.join()
    peer.tell("publish", "s", kind)
    await peer.status("NetStream.Record.NoAccess")


async def test_what_is_not_recorded_cannot_be_played_from_a_position(studio: Studio) -> None:
    peer = await studio.join()
    peer.tell("play", "s", 0)
    await peer.status("NetStream.Play.StreamNotFound")


async def test_what_is_live_is_played_for_a_client_that_asks_for_its_beginning(
    studio: Studio,
) -> None:
    publisher, player = await studio.publisher(), await studio.join()
    player.tell("play", "s", 0)
    await player.status("NetStream.Play.Start")
    publisher.push(9, 0, key())
    await player.until(lambda: frames(player))


async def test_a_refused_play_ends_what_the_stream_played(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    player.tell("play", "other", 10)
    await player.status("NetStream.Play.StreamNotFound")
    publisher.push(9, 0, key())
    other = await studio.player()
    await other.until(lambda: frames(other))
    player.send(player.rtmp.call("_checkbw")[1])
    await player.event(CallAnswered)
    assert frames(player) == []


async def test_timestamps_of_32_bits_pass_through_their_wrap(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    times = [0xFFFFFE, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0, 5]
    for timestamp in times:
        publisher.push(9, timestamp, key(bytes(10_000)))
    await player.until(lambda: len(frames(player)) == len(times))
    assert frames(player) == [(9, timestamp, key(bytes(10_000))) for timestamp in times]


async def test_enhanced_streams_start_late_joiners_at_each_tracks_header_and_a_key_frame(
    studio: Studio,
) -> None:
    publisher = await studio.publisher()
    headers = [
        (9, b"\x90hvc1config"),
        (9, b"\x96\x00hvc1\x01second track"),
        (8, b"\x90OpusOpusHead"),
    ]
    for type, header in headers:
        publisher.push(type, 0, header)
    modex_key = b"\x97\x02\0\0\1\x01hvc1\0\0\0key"  # nanoseconds, then coded frames
    publisher.push(9, 0, b"\x91hvc1\0\0\0old key")
    publisher.push(9, 40, modex_key)
    publisher.push(9, 80, b"\xa3hvc1inter")
    publisher.push(8, 90, b"\x91Opussound")
    await until(lambda: next(iter(studio.origin.instances)).live.names == ["s"])
    early = await studio.player()
    await early.until(lambda: (8, 90, b"\x91Opussound") in frames(early))
    late = await studio.player()
    await late.until(lambda: len(frames(late)) == 6)
    assert frames(late) == [
        *[(type, 40, header) for type, header in headers],
        (9, 40, modex_key),
        (9, 80, b"\xa3hvc1inter"),
        (8, 90, b"\x91Opussound"),
    ]


async def test_publishing_needs_write_access_and_playing_read_access(studio: Studio) -> None:
    reader, blind = await studio.join("reader"), await studio.join("blind")
    reader.tell("publish", "s", "live")
    await reader.status("NetStream.Publish.BadName")
    blind.tell("play", "s")
    await blind.status("NetStream.Play.Failed")


async def test_metadata_loses_its_verb_and_other_data_passes_unchanged(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    cue = amf0.encode("onCuePoint", {"name": "x"})
    publisher.push(18, 0, SET_METADATA)
    publisher.push(18, 10, cue)
    publisher.push(15, 20, b"\0" + cue)
    await player.until(lambda: len(data(player)) == 5)
    assert data(player)[2:] == [METADATA, cue, cue]
    publisher.push(18, 30, amf0.encode("@clearDataFrame", "onMetaData"))
    publisher.push(9, 40, key())
    await player.until(lambda: frames(player))
    late = await studio.player()
    await late.until(lambda: frames(late))
    assert METADATA not in data(late)


async def test_a_player_may_leave_out_video_and_come_back_at_a_key_frame(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    publisher.push(9, 0, AVC_HEADER)
    publisher.push(9, 0, key())
    await player.until(lambda: len(frames(player)) == 2)
    player.tell("receiveVideo", False)
    player.send(player.rtmp.call("_checkbw")[1])
    await player.event(CallAnswered)
    publisher.push(9, 40, inter())
    publisher.push(8, 50, b"\xaf\1a")
    await player.until(lambda: len(frames(player)) == 3)
    player.events.clear()
    player.tell("receiveVideo", True)
    await player.status("NetStream.Seek.Notify")
    await player.status("NetStream.Play.Start")
    publisher.push(9, 80, inter())
    publisher.push(9, 120, key())
    await player.until(lambda: len(frames(player)) == 2)
    assert frames(player) == [(9, 50, AVC_HEADER), (9, 120, key())]  # time never goes back


async def test_a_paused_player_gets_nothing_until_it_goes_on(studio: Studio) -> None:
    publisher, player = await studio.publisher(), await studio.player()
    player.tell("pause", True, 0)
    await player.status("NetStream.Pause.Notify")
    publisher.push(9, 0, key(b"1"))
    publisher.push(9, 40, inter(b"2"))
    other = await studio.player()
    await other.until(lambda: len(frames(other)) == 2)
    player.tell("pause", False, 0)
    await player.status("NetStream.Unpause.Notify")
    publisher.push(9, 80, inter(b"3"))
    publisher.push(9, 120, key(b"4"))
    await player.until(lambda: frames(player))
    assert frames(player) == [(9, 120, key(b"4"))]


async def test_encoders_get_the_answers_that_they_wait_for(studio: Studio) -> None:
    peer = await studio.join()
    for name in ("releaseStream", "FCPublish", "FCUnpublish", "getStreamLength", "_checkbw"):
        peer.send(peer.rtmp.call(name, "s")[1])
    peer.send(peer.rtmp.command("FCSubscribe", 0, None, "s"))
    assert (await peer.event(CallAnswered, 5)).ok
    (published,) = await peer.command("onFCPublish")
    assert published == {"code": "NetStream.Publish.Start", "description": "s"}
    await peer.command("onFCUnpublish")
    await peer.command("onFCSubscribe")


async def test_one_connection_may_publish_and_play_on_its_streams(studio: Studio) -> None:
    peer = await studio.publisher()
    peer.send(peer.rtmp.call("createStream")[1])
    assert (await peer.event(CallAnswered)).result == 2.0
    peer.send(peer.rtmp.command("play", 0, None, "s", msid=2))
    await peer.status("NetStream.Play.Start")
    peer.push(8, 0, b"\xaf\1a")
    await peer.until(lambda: frames(peer))
    assert [one.msid for one in peer.media() if one.type == 8] == [2]
