"""What players ask beside playing from beginning to end, of streams of either kind."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered, MediaReceived, StatusReceived, StreamSignalled
from rtmp_sync.storage.recording import Recording
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, SET_BUFFER_LENGTH, STREAM_EOF, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.origins import running, until
from tests.support.peer import Peer

AVC = b"\x17\0\0\0\0config"
START, STOP = "NetStream.Play.Start", "NetStream.Play.Stop"


def picture(number: int, *, every: int = 5) -> bytes:
    return (b"\x27" if number % every else b"\x17") + b"\1\0\0\0%d" % number


@asynccontextmanager
async def filming(tmp_path: Path, **config: dict[str, Any]) -> AsyncIterator[Origin]:
    folder = tmp_path / "media" / "probe" / "live"
    folder.mkdir(parents=True)  # nothing runs yet
    tags = [encode_tag(VIDEO, 0, AVC)]
    tags += [encode_tag(VIDEO, 40 * number, picture(number)) for number in range(50)]
    (folder / "film.flv").write_bytes(encode_file_header() + b"".join(tags))
    storage = {"media": tmp_path / "media", "state": tmp_path / "state"}
    async with running(tmp_path / "state", storage=storage, **config) as origin:
        yield origin


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with filming(tmp_path) as origin:
        yield origin


async def publisher(origin: Origin, name: str = "s") -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("publish", name, "live")
    await peer.status("NetStream.Publish.Start")
    peer.push(VIDEO, 0, AVC)
    return peer


async def player(origin: Origin, *play: object, buffer_ms: int = 36_000_000) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, buffer_ms))
    peer.tell("play", *play)
    await peer.status(START)
    return peer


def pictures(peer: Peer) -> list[int]:
    """Their times."""
    return [one.timestamp for one in peer.media() if one.type == VIDEO and one.payload[1] == 1]


async def answered(peer: Peer) -> None:
    """What it has asked for was decided."""
    peer.send(peer.rtmp.call("getStreamLength", "film")[1])
    await peer.event(CallAnswered)


def ends(peer: Peer) -> list[object]:
    """What was told of the end, in its order."""
    told: list[object] = []
    for one in peer.events:
        if isinstance(one, StreamSignalled) and one.event == STREAM_EOF:
            told.append(STREAM_EOF)
        elif isinstance(one, StatusReceived) and one.info["code"] == STOP:
            told.append(STOP)
        elif isinstance(one, MediaReceived) and one.type == DATA:
            values: Any = amf0.decode(one.payload)
            if values[0] == "onPlayStatus":
                told.append(values[1]["code"])
    return told


# -- a part of what is live


@pytest.mark.parametrize("joins_late", [False, True])
@pytest.mark.parametrize(
    ("duration", "times"), [(200, [0, 40, 80, 120, 160]), (0, [0]), (100, [0, 40, 80])]
)
async def test_of_a_live_stream_as_much_is_played_as_was_asked_for(
    origin: Origin, duration: int, times: list[int], joins_late: bool
) -> None:
    source, witness = await publisher(origin), await player(origin, "s", -1)
    peers = [] if joins_late else [await player(origin, "s", -1, duration)]
    for number in range(10):
        source.push(VIDEO, 40 * number, picture(number, every=100))
        source.push(AUDIO, 40 * number, b"\xaf\1sound")
    await witness.until(lambda: len(pictures(witness)) == 10)
    peer = peers[0] if peers else await player(origin, "s", -1, duration)
    await peer.status(STOP)
    source.push(VIDEO, 400, picture(0))
    await witness.until(lambda: len(pictures(witness)) == 11)
    assert pictures(peer) == times
    assert ends(peer) == [STREAM_EOF, "NetStream.Play.Complete", STOP]
    peer.tell("play", "s", -1)  # it may play again
    await peer.until(lambda: len(pictures(peer)) > len(times))
    for one in (source, witness, peer):
        one.close()


@pytest.mark.parametrize("duration", [80, -1])
async def test_what_is_appended_to_a_live_stream_begins_at_its_end(
    origin: Origin, duration: int
) -> None:
    source, peer = await publisher(origin), await player(origin, "s", -1, duration)
    peer.tell("play", "film", 0, 200, False)
    peer.tell("play", "s", -1, 40, False)  # of two kinds
    peer.tell("play", "film", 1800, 40, False)
    await answered(peer)
    for number in range(2):
        source.push(VIDEO, 40 * number, picture(number))
    await peer.until(lambda: pictures(peer) == [0, 40])
    if duration < 0:
        source.tell("closeStream")
        await source.status("NetStream.Unpublish.Success")
        source.tell("publish", "s", "live")
    source.push(VIDEO, 80, picture(5))
    await peer.until(lambda: pictures(peer)[:7] == [0, 40, 0, 40, 80, 120, 160])
    await peer.until(lambda: pictures(peer)[7:] == [80])
    source.push(VIDEO, 120, picture(6))
    await peer.status(STOP)
    assert pictures(peer)[7:] == [80, 0]
    switch = "NetStream.Play.Switch"
    assert [one for one in ends(peer) if one != STREAM_EOF] == [
        *(switch, switch, switch),
        *("NetStream.Play.Complete", STOP),
    ]
    source.close()
    peer.close()


async def test_what_is_appended_to_a_stream_that_was_lost_begins_when_nobody_comes_back_to_it(
    tmp_path: Path,
) -> None:
    async with filming(tmp_path, replication={"reconnect_grace": 0.2}) as origin:
        source, peer = await publisher(origin), await player(origin, "s", -1)
        source.push(VIDEO, 0, picture(0))
        await peer.until(lambda: pictures(peer) == [0])
        peer.tell("play", "film", 1800, 40, False)
        await answered(peer)
        source.close()
        await peer.status(STOP)
        assert pictures(peer) == [0, 0]
        assert "NetStream.Play.Switch" in ends(peer)
        peer.close()


async def test_what_is_appended_to_a_live_stream_stays_when_it_goes_over_to_another(
    origin: Origin,
) -> None:
    source, other = await publisher(origin), await publisher(origin, "t")
    peer = await player(origin, "s", -1)
    source.push(VIDEO, 0, picture(0))
    await peer.until(lambda: pictures(peer) == [0])
    peer.tell("play", "film", 1800, 40, False)
    peer.tell("play2", {"streamName": "t", "oldStreamName": "s", "transition": "switch"})
    await peer.status("NetStream.Play.Transition")
    other.push(VIDEO, 0, picture(0))
    await peer.until(lambda: len(pictures(peer)) == 2)
    other.tell("closeStream")
    await peer.status(STOP)
    assert len(pictures(peer)) == 3
    for one in (source, other, peer):
        one.close()


async def test_what_is_played_instead_ends_what_was_appended(origin: Origin) -> None:
    source, peer = await publisher(origin), await player(origin, "s", -1, 80)
    peer.tell("play", "film", 0, -1, False)
    peer.tell("play", "s", -1, 80, True)
    await answered(peer)
    for number in range(3):
        source.push(VIDEO, 40 * number, picture(number))
    await peer.status(STOP)
    assert pictures(peer) == [0, 40]
    source.close()
    peer.close()


async def test_nothing_waits_for_the_end_of_what_nobody_publishes(origin: Origin) -> None:
    peer = await player(origin, "s", -1)
    peer.tell("play", "film", 0, 40, False)
    await peer.status(STOP)
    assert pictures(peer) == [0]
    peer.close()


async def test_time_that_wraps_ends_nothing(origin: Origin) -> None:
    source, peer = await publisher(origin), await player(origin, "s", -1, 1000)
    source.push(VIDEO, 0xFFFFFFF0, picture(0))
    source.push(VIDEO, 0x18, picture(1))
    await peer.until(lambda: pictures(peer) == [0xFFFFFFF0, 0x18])
    source.push(VIDEO, 1000, picture(2))
    await peer.status(STOP)
    source.close()
    peer.close()


# -- names


@pytest.mark.parametrize("name", ["", "?key=x"])
async def test_a_stream_needs_a_name(origin: Origin, name: str) -> None:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", name)
    assert "name" in str((await peer.status("NetStream.Play.Failed")).info["description"])
    peer.tell("publish", name, "live")
    await peer.status("NetStream.Publish.BadName")
    peer.close()


async def test_the_length_of_what_a_client_may_not_read_is_not_told(origin: Origin) -> None:
    lengths = []
    for user in ("", "blind"):
        peer = await Peer().join(origin.rtmp_port, name=user)
        peer.send(peer.rtmp.call("getStreamLength", "film")[1])
        lengths.append((await peer.event(CallAnswered)).result)
        peer.close()
    assert lengths == [1.96, 0.0]


# -- recordings


async def test_how_much_a_player_takes_ahead_holds_for_all_that_it_plays(origin: Origin) -> None:
    peer = await player(origin, "film", 0)
    await peer.status(STOP)
    peer.events.clear()
    peer.tell("play", "film", 0)
    await peer.status(STOP)
    assert len(pictures(peer)) == 50
    peer.events.clear()
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 100))
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 99, 100))  # there is no such stream
    peer.tell("play", "film", 0)
    await peer.until(lambda: pictures(peer))
    recorded = next(iter(origin.instances)).recorded
    (playing,) = recorded._players.values()
    assert playing._buffer_ms == 100
    assert list(recorded._buffers_ms.values()) == [100]
    peer.close()
    await until(lambda: not recorded._buffers_ms)


async def test_a_place_sought_while_paused_is_shown_with_one_picture(origin: Origin) -> None:
    peer = await player(origin, "film", 0, buffer_ms=100)
    await peer.until(lambda: pictures(peer))
    peer.tell("pause", True, 0)
    await peer.status("NetStream.Pause.Notify")
    for ms in (1000, 1300):
        peer.events.clear()
        peer.tell("seek", ms)
        await peer.until(lambda: pictures(peer))
    peer.send(peer.rtmp.call("getStreamLength", "film")[1])
    await peer.event(CallAnswered)
    assert pictures(peer) == [1200]
    peer.tell("pauseRaw", False, 1300)
    await peer.status(STOP)
    assert pictures(peer) == list(range(1200, 2000, 40))
    peer.close()


@pytest.mark.parametrize("end", ["closeStream", "play", "deleteStream"])
async def test_a_player_that_stops_while_the_disk_reads_leaves_no_file_open(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    read = Recording._read

    def slowly(recording: Recording, *arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(10)
        return read(recording, *arguments)

    monkeypatch.setattr(Recording, "_read", slowly)
    peer = await player(origin, "film", 0)
    await until(reading.is_set)
    if end == "deleteStream":
        peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
    else:
        peer.tell(end, *([False] if end == "play" else []))
    instance = next(iter(origin.instances))
    await until(lambda: not instance.recorded._players)
    go_on.set()
    await until(lambda: not open_films())
    peer.close()


async def test_a_recording_that_was_closed_opens_no_file_again(origin: Origin) -> None:
    peer = await player(origin, "film", 0)
    recordings = next(iter(origin.instances)).serving.recordings
    recording = await recordings.find("probe", "live", "film")
    assert recording is not None
    await recording.read(recording.begin, 1000)
    await recording.close()
    with pytest.raises(OSError, match="closed"):
        await recording.read(recording.begin, 1000)
    peer.close()
    await until(lambda: not open_films())


def open_films() -> list[str]:
    files = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            files.append(str(one.readlink()))
        except FileNotFoundError:  # it was the one that lists them
            continue
    return [name for name in files if name.endswith("film.flv")]
