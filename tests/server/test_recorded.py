"""Playing recordings over real sockets: what comes, in which order, from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered, MediaReceived, StatusReceived, StreamSignalled
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import (
    AUDIO,
    DATA,
    SET_BUFFER_LENGTH,
    STREAM_BEGIN,
    STREAM_EOF,
    STREAM_IS_RECORDED,
    VIDEO,
)
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.origins import running
from tests.support.peer import Peer

LONG_MS = 50_000_000  # fourteen hours
AVC, SOUND = b"\x17\0\0\0\0config", b"\xaf\1sound"
COMPLETE = "NetStream.Play.Complete"


def film(frames: int = 50, *, wide: float = 320.0, begin_ms: int = 0) -> bytes:
    tags = [encode_tag(DATA, 0, amf0.encode("onMetaData", {"width": wide}))]
    tags.append(encode_tag(VIDEO, 0, AVC))
    for number in range(frames):
        tags.append(encode_tag(VIDEO, begin_ms + 40 * number, picture(number)))
        tags.append(encode_tag(AUDIO, begin_ms + 40 * number + 1, SOUND))
    return encode_file_header() + b"".join(tags)


def picture(number: int) -> bytes:
    return (b"\x27" if number % 5 else b"\x17") + b"\1\0\0\0%d" % number


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    folder = tmp_path / "media" / "probe" / "live"
    folder.mkdir(parents=True)  # nothing runs yet
    (folder / "film.flv").write_bytes(film())
    (folder / "other.flv").write_bytes(film(10, wide=64.0))
    (folder / "broken.flv").write_bytes(b"no film at all")
    (folder / "dump.flv").write_bytes(film(10, begin_ms=LONG_MS))
    storage = {"media": tmp_path / "media", "state": tmp_path / "state"}
    async with running(tmp_path / "state", storage=storage) as origin:
        yield origin


async def player(origin: Origin, *play: object, buffer_ms: int = 36_000_000) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, buffer_ms))
    peer.tell("play", *play)
    return peer


def pictures(peer: Peer) -> list[tuple[int, bytes]]:
    return [
        (one.timestamp, one.payload)
        for one in peer.events
        if isinstance(one, MediaReceived) and one.type == VIDEO and one.payload[1] == 1
    ]


def play_statuses(peer: Peer) -> list[str]:
    """Codes of onPlayStatus."""
    found = []
    for one in peer.events:
        if isinstance(one, MediaReceived) and one.type == DATA:
            values: Any = amf0.decode(one.payload)
            if values[0] == "onPlayStatus":
                found.append(values[1]["code"])
    return found


def story(peer: Peer) -> list[object]:
    """What came, without the media's payloads."""
    told: list[object] = []
    for one in peer.events:
        if isinstance(one, StreamSignalled):
            told.append(one.event)
        elif isinstance(one, StatusReceived):
            told.append(str(one.info["code"]))
        elif isinstance(one, MediaReceived) and one.type == DATA:
            told.append(amf0.decode(one.payload)[0])
    return told


async def complete(peer: Peer) -> None:
    await peer.until(lambda: COMPLETE in play_statuses(peer))
    await peer.until(lambda: "NetStream.Play.Stop" in peer.statuses())


async def test_a_recording_is_played_whole_and_told_as_players_expect(origin: Origin) -> None:
    peer = await player(origin, "film")
    await complete(peer)
    assert pictures(peer) == [(40 * number, picture(number)) for number in range(50)]
    assert story(peer) == [
        STREAM_IS_RECORDED,
        STREAM_BEGIN,
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "|RtmpSampleAccess",
        "onStatus",
        "onMetaData",
        STREAM_EOF,
        "onPlayStatus",
        "NetStream.Play.Stop",
    ]
    metadata: Any = next(
        amf0.decode(one.payload)[1]
        for one in peer.events
        if isinstance(one, MediaReceived) and one.payload.startswith(b"\x02\0\x0aonMetaData")
    )
    assert (metadata["width"], metadata["duration"]) == (320.0, 1.961)
    peer.close()


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        (("film", 0.0), range(0, 2000, 40)),
        (("film", 1000.0), range(1000, 2000, 40)),
        (("film", 1100.0), range(1000, 2000, 40)),  # from the key frame before
        (("film", 1000.0, 200.0), range(1000, 1200, 40)),
        (("film", 1000.0, 0.0), range(1000, 1001)),  # one picture
        (("film", -2.0), range(0, 2000, 40)),
        (("film", -2000.0, -1.0), range(0, 2000, 40)),
        (("flv:film", 0.0), range(0, 2000, 40)),
    ],
)
async def test_what_part_is_played(origin: Origin, asked: tuple[object, ...], times: range) -> None:
    peer = await player(origin, *asked)
    await complete(peer)
    begin = max(0, int(asked[1])) if len(asked) > 1 and isinstance(asked[1], float) else 0
    assert pictures(peer) == [(max(0, at - begin), picture(at // 40)) for at in times]
    sounds = [
        one.timestamp for one in peer.events if isinstance(one, MediaReceived) and one.type == AUDIO
    ]
    wanted = [at + 1 - begin for at in times if at + 1 >= begin]
    assert sounds == (wanted if times != range(1000, 1001) else [])
    peer.close()


async def test_a_file_whose_times_begin_late_is_played_at_once(origin: Origin) -> None:
    peer = await player(origin, "dump", buffer_ms=1000)
    await complete(peer)
    assert [at for at, _ in pictures(peer)] == list(range(LONG_MS, LONG_MS + 400, 40))
    peer.close()


async def test_a_client_is_not_left_hanging_by_a_mistake_of_ours(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(LiveStreams, "play", fails)
    peer = await player(origin, "what is not there")
    await peer.ended()
    peer.close()


async def test_times_are_the_recordings_own_after_a_seek(origin: Origin) -> None:
    peer = await player(origin, "film", 1000.0)
    await complete(peer)
    peer.events.clear()
    peer.tell("seek", 1800.0)
    await complete(peer)
    assert [at for at, _ in pictures(peer)] == list(range(1800, 2000, 40))
    peer.close()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("nothing", 0.0), "NetStream.Play.StreamNotFound"),
        (("../film", 0.0), "NetStream.Play.StreamNotFound"),
        (("broken", -2.0), "NetStream.Play.Failed"),
    ],
)
async def test_what_cannot_be_played_is_told(
    origin: Origin, asked: tuple[object, ...], code: str
) -> None:
    peer = await player(origin, *asked)
    await peer.until(lambda: code in peer.statuses())
    peer.close()


@pytest.mark.parametrize("start", [-1.0, -1000.0])
async def test_live_only_waits_for_a_publisher_though_there_is_a_recording(
    origin: Origin, start: float
) -> None:
    peer = await player(origin, "film", start)
    await peer.until(lambda: "NetStream.Play.Start" in peer.statuses())
    assert STREAM_IS_RECORDED not in story(peer)
    peer.close()


async def test_it_is_sent_ahead_by_the_players_buffer_and_no_more(origin: Origin) -> None:
    peer = await player(origin, "film", buffer_ms=200)
    await peer.until(lambda: pictures(peer))
    first = pictures(peer)[-1][0]
    assert first < 1900  # it is nearly two seconds long
    await complete(peer)  # in time
    peer.close()


async def test_seeking_starts_at_the_key_frame_with_the_decoders_configuration(
    origin: Origin,
) -> None:
    peer = await player(origin, "film")
    await complete(peer)
    peer.events.clear()
    peer.tell("seek", 1100.0)
    await complete(peer)
    assert story(peer)[:5] == [
        STREAM_EOF,
        STREAM_IS_RECORDED,
        STREAM_BEGIN,
        "NetStream.Seek.Notify",
        "NetStream.Play.Start",
    ]
    media = [one.payload for one in peer.events if isinstance(one, MediaReceived)]
    assert media[0] == AVC
    assert pictures(peer)[0] == (1000, picture(25))
    peer.events.clear()
    peer.tell("seek", 5000.0)
    await peer.until(lambda: "NetStream.Seek.InvalidTime" in peer.statuses())
    peer.close()


async def test_nothing_comes_while_it_is_paused(origin: Origin) -> None:
    peer = await player(origin, "film", buffer_ms=100)
    await peer.until(lambda: pictures(peer))
    peer.tell("pause", True, 100.0)
    await peer.until(lambda: "NetStream.Pause.Notify" in peer.statuses())
    seen = len(pictures(peer))
    peer.send(peer.rtmp.call("getStreamLength", "film")[1])
    await peer.event(CallAnswered)
    assert len(pictures(peer)) == seen
    peer.tell("pause", False, 100.0)
    await complete(peer)
    assert pictures(peer) == [(40 * number, picture(number)) for number in range(50)]
    peer.close()


async def test_a_playlist_goes_on_with_the_next_one(origin: Origin) -> None:
    peer = await player(origin, "film", 0.0, -1.0, True, buffer_ms=100)
    peer.tell("play", "other", 0.0, -1.0, False)
    await complete(peer)
    assert play_statuses(peer) == ["NetStream.Play.Switch", COMPLETE]
    assert len(pictures(peer)) == 60
    peer.close()


async def test_another_play_ends_the_first(origin: Origin) -> None:
    peer = await player(origin, "film", buffer_ms=100)
    await peer.until(lambda: pictures(peer))
    peer.tell("play", "other", 0.0, -1.0, True)
    await complete(peer)
    assert pictures(peer)[-10:] == [(40 * number, picture(number)) for number in range(10)]
    assert play_statuses(peer) == [COMPLETE]
    peer.close()


@pytest.mark.parametrize(("name", "seconds"), [("film", 1.961), ("other", 0.361), ("nothing", 0.0)])
async def test_the_length_of_a_stream(origin: Origin, name: str, seconds: float) -> None:
    peer = await player(origin, "film")
    peer.send(peer.rtmp.call("getStreamLength", name)[1])
    answer = await peer.event(CallAnswered)
    assert answer.result == seconds
    peer.close()


async def test_sound_or_pictures_can_be_left_out(origin: Origin) -> None:
    peer = await player(origin, "film", buffer_ms=100)
    peer.tell("receiveVideo", False)
    await complete(peer)
    assert len(pictures(peer)) < 50
    peer.close()
