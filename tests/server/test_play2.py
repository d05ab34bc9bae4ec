"""Going over from one stream to another while it plays (`play2`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import CallError, NetConnection, Origin
from rtmp_sync.protocol.events import MediaReceived, StatusReceived
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, SET_BUFFER_LENGTH, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.origins import running, url
from tests.support.peer import Peer

AVC = b"\x17\0\0\0\0"
TRANSITION, COMPLETE = "NetStream.Play.Transition", "NetStream.Play.TransitionComplete"
FAILED, ENDED = "NetStream.Play.Failed", "NetStream.Play.Stop"


def picture(text: str, *, key: bool = False) -> bytes:
    return (b"\x17" if key else b"\x27") + b"\1\0\0\0" + text.encode()


def film(name: str, *, every: int, frames: int = 50) -> bytes:
    """25 pictures a second, a key frame `every` so many."""
    tags = [encode_tag(DATA, 0, amf0.encode("onMetaData", {"title": name}))]
    tags.append(encode_tag(VIDEO, 0, AVC + name.encode()))
    for number in range(frames):
        payload = picture(f"{name}{number}", key=number % every == 0)
        tags.append(encode_tag(VIDEO, 40 * number, payload))
    return encode_file_header() + b"".join(tags)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    folder = tmp_path / "media" / "probe" / "live"
    folder.mkdir(parents=True)  # nothing runs yet
    (folder / "low.flv").write_bytes(film("low", every=5))
    (folder / "high.flv").write_bytes(film("high", every=7))
    (folder / "short.flv").write_bytes(film("short", every=5, frames=5))
    storage = {"media": tmp_path / "media", "state": tmp_path / "state"}
    async with running(tmp_path / "state", storage=storage) as origin:
        yield origin


async def publisher(origin: Origin, name: str) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("publish", name, "live")
    await peer.status("NetStream.Publish.Start")
    peer.push(DATA, 0, amf0.encode("@setDataFrame", "onMetaData", {"title": name}))
    peer.push(VIDEO, 0, AVC + name.encode())
    return peer


async def player(origin: Origin, *play: object) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", *play)
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 36_000_000))
    await peer.status("NetStream.Play.Start")
    return peer


async def paused_at(origin: Origin, name: str, ms: int) -> Peer:
    """A player of a recording that shows one picture of it: no test waits for its time."""
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", name, 0.0)
    peer.tell("pause", True, 0.0)
    await peer.status("NetStream.Pause.Notify")
    peer.events.clear()
    peer.tell("seek", float(ms))
    await peer.until(lambda: shown(peer)[-1:] not in ([], ["config " + name]))
    return peer


def go_on(peer: Peer) -> None:
    """Play all that is left, at once."""
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 36_000_000))
    peer.tell("pause", False, 0.0)


def play2(peer: Peer, name: str, transition: str = "switch", **options: object) -> None:
    peer.tell("play2", {"streamName": name, "transition": transition, **options})


def told(peer: Peer) -> list[dict[str, Any]]:
    """Information objects of onStatus and onPlayStatus."""
    found: list[dict[str, Any]] = []
    for one in peer.events:
        if isinstance(one, StatusReceived):
            found.append(one.info)
        elif isinstance(one, MediaReceived) and one.type == DATA:
            values: Any = amf0.decode(one.payload)
            if values[0] == "onPlayStatus":
                found.append(values[1])
    return found


async def until_told(peer: Peer, code: str) -> dict[str, Any]:
    found = await peer.until(lambda: [one for one in told(peer) if one["code"] == code])
    return found[0]


def shown(peer: Peer) -> list[str]:
    """What came, in order: pictures and configurations, titles, and where one ended."""
    found: list[str] = []
    for one in peer.media():
        if one.type == VIDEO:
            found.append(("config " if one.payload[1] == 0 else "") + one.payload[5:].decode())
        elif one.type == AUDIO:
            found.append("sound")
        else:
            values: Any = amf0.decode(one.payload)
            if values[0] == "onMetaData":
                found.append("title " + values[1]["title"])
            elif values[0] == "onPlayStatus":
                found.append(values[1]["code"])
    return found


def times(peer: Peer) -> list[int]:
    return [one.timestamp for one in peer.media() if one.type != DATA]


# -- live


async def test_a_player_goes_over_to_another_live_stream_at_its_next_key_frame(
    origin: Origin,
) -> None:
    low, high = await publisher(origin, "low"), await publisher(origin, "high")
    high.push(VIDEO, 0, picture("H0", key=True))
    peer, witness = await player(origin, "low"), await player(origin, "high")
    low.push(VIDEO, 0, picture("l0", key=True))
    await peer.until(lambda: "l0" in shown(peer))
    play2(peer, "high", oldStreamName="low")
    status = await until_told(peer, TRANSITION)
    assert (status["details"], status["reason"]) == ("high", "NetStream.Transition.Success")
    high.push(VIDEO, 40, picture("h1"))
    await witness.until(lambda: "h1" in shown(witness))
    low.push(VIDEO, 40, picture("l1"))
    await peer.until(lambda: "l1" in shown(peer))
    high.push(VIDEO, 80, picture("H2", key=True))
    complete = await until_told(peer, COMPLETE)
    assert (complete["level"], complete["details"]) == ("status", "high")
    low.push(VIDEO, 120, picture("L3", key=True))
    high.push(VIDEO, 120, picture("h3"))
    await peer.until(lambda: "h3" in shown(peer))
    assert shown(peer) == [
        *("title low", "config low", "l0", "l1"),
        *(COMPLETE, "title high", "config high", "H2", "h3"),
    ]
    assert times(peer) == [0, 0, 40, 80, 80, 120]
    for one in (low, high, peer, witness):
        one.close()


async def test_a_stream_of_sound_alone_is_gone_over_to_within_a_second_of_it(
    origin: Origin,
) -> None:
    low, radio = await publisher(origin, "low"), await Peer().join(origin.rtmp_port)
    radio.tell("publish", "radio", "live")
    await radio.status("NetStream.Publish.Start")
    peer = await player(origin, "low")
    play2(peer, "radio")
    await until_told(peer, TRANSITION)
    for ms in range(0, 1200, 100):
        radio.push(AUDIO, ms, b"\xaf\1sound")
    await peer.until(lambda: shown(peer).count("sound") == 2)
    assert times(peer)[-2:] == [1000, 1100]
    for one in (low, radio, peer):
        one.close()


async def test_what_a_player_left_out_stays_out_and_another_play_takes_the_transition_back(
    origin: Origin,
) -> None:
    low, high = await publisher(origin, "low"), await publisher(origin, "high")
    peer, other = await player(origin, "low"), await player(origin, "low")
    peer.tell("receiveAudio", False)
    for one in (peer, other):
        play2(one, "high")
        await until_told(one, TRANSITION)
    other.tell("play", "low")
    await other.until(lambda: other.statuses().count("NetStream.Play.Start") == 2)
    high.push(VIDEO, 0, picture("H0", key=True))
    high.push(AUDIO, 0, b"\xaf\1sound")
    high.push(VIDEO, 40, picture("h1"))
    await peer.until(lambda: "h1" in shown(peer))
    assert "sound" not in shown(peer)
    low.push(VIDEO, 0, picture("L0", key=True))
    await other.until(lambda: "L0" in shown(other))
    assert COMPLETE not in shown(other)
    for one in (low, high, peer, other):
        one.close()


@pytest.mark.parametrize("name", ["nothing", "refused", ""])
async def test_what_cannot_be_gone_over_to_leaves_the_player_where_it_is(
    origin: Origin, name: str
) -> None:
    low = await publisher(origin, "low")
    peer = await player(origin, "low")
    play2(peer, name)
    assert (await until_told(peer, FAILED))["level"] == "error"
    low.push(VIDEO, 0, picture("L0", key=True))
    await peer.until(lambda: "L0" in shown(peer))
    low.close()
    peer.close()


# -- recorded


async def test_a_player_goes_over_to_another_recording_at_its_next_key_frame(
    origin: Origin,
) -> None:
    peer = await paused_at(origin, "low", 200)
    play2(peer, "high", oldStreamName="low")
    assert (await until_told(peer, TRANSITION))["details"] == "high"
    go_on(peer)
    complete = await until_told(peer, COMPLETE)
    assert (complete["details"], complete["duration"]) == ("high", 1.96)
    await until_told(peer, ENDED)
    assert shown(peer) == [
        *("config low", "low5", "low6", COMPLETE, "title high", "config high"),
        *(f"high{one}" for one in range(7, 50)),
        "NetStream.Play.Complete",
    ]
    assert times(peer) == [200, 200, 240, 280, *range(280, 2000, 40)]
    peer.close()


async def test_an_offset_takes_back_what_was_sent_ahead(origin: Origin) -> None:
    peer = await player(origin, "low", 0.0)
    await until_told(peer, ENDED)  # all of it is in the player's buffer
    play2(peer, "high", offset=0.5)
    await until_told(peer, COMPLETE)
    await peer.until(lambda: peer.statuses().count(ENDED) == 2)
    seen = shown(peer)
    assert seen[seen.index(COMPLETE) + 3 : -1] == [f"high{one}" for one in range(14, 50)]
    peer.close()


async def test_a_recording_without_a_later_key_frame_is_not_gone_over_to(origin: Origin) -> None:
    peer = await paused_at(origin, "low", 400)
    play2(peer, "short")
    await until_told(peer, FAILED)
    go_on(peer)
    await until_told(peer, ENDED)
    assert shown(peer)[1:-1] == [f"low{one}" for one in range(10, 50)]
    peer.close()


async def test_other_content_is_swapped_in_from_its_beginning_and_time_goes_on(
    origin: Origin,
) -> None:
    peer = await paused_at(origin, "low", 400)
    play2(peer, "short", "swap", oldStreamName="low")
    go_on(peer)
    await until_told(peer, ENDED)
    assert shown(peer) == [
        *("config low", "low10", COMPLETE, "title short", "config short"),
        *(f"short{one}" for one in range(5)),
        "NetStream.Play.Complete",
    ]
    assert times(peer) == [400, 400, 400, *range(400, 600, 40)]
    peer.close()


async def test_other_content_takes_its_place_in_the_playlist(origin: Origin) -> None:
    peer = await paused_at(origin, "low", 1800)
    peer.tell("play", "high", 0.0, -1.0, False)
    play2(peer, "short", "swap", oldStreamName="high")
    await until_told(peer, TRANSITION)
    go_on(peer)
    await until_told(peer, ENDED)
    assert shown(peer)[1:] == [
        *(f"low{one}" for one in range(45, 50)),
        *("NetStream.Play.Switch", "title short", "config short"),
        *(f"short{one}" for one in range(5)),
        "NetStream.Play.Complete",
    ]
    peer.close()


async def test_a_playlist_waits_until_something_is_appended_that_does_not_wait(
    origin: Origin,
) -> None:
    peer = await Peer().join(origin.rtmp_port)
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 36_000_000))
    for name in ("short", "short"):
        play2(peer, name, "appendAndWait")
    peer.send(peer.rtmp.call("getStreamLength", "low")[1])
    await peer.until(lambda: any(hasattr(one, "result") for one in peer.events))
    assert shown(peer) == []
    play2(peer, "short", "append")
    await until_told(peer, ENDED)
    assert len([one for one in shown(peer) if one.startswith("short")]) == 15
    assert "NetStream.Play.Reset" not in peer.statuses()
    peer.close()


async def test_playing_is_resumed_on_another_connection_with_its_own_time(origin: Origin) -> None:
    peer = await Peer().join(origin.rtmp_port)
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 36_000_000))
    play2(peer, "low", "resume", offset=1.0, start=0.0)
    await until_told(peer, ENDED)
    assert "NetStream.Play.Reset" not in peer.statuses()
    assert times(peer)[1:] == list(range(1000, 2000, 40))
    peer.close()


async def test_our_own_client_switches_and_seeks(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe/live"), "")
        stream = await connection.create_stream()
        stream.set_buffer(36_000_000)
        await stream.play("low", 0)
        await stream.seek(1000)
        with pytest.raises(CallError, match="InvalidTime"):
            await stream.seek(5000)
        stream.pause(True)
        await stream.seek(400)
        await stream.switch("high")
        with pytest.raises(CallError, match="Failed"):
            await stream.switch("nothing")
        stream.pause(False)
        async for message in stream:
            if message.payload.endswith(b"high14"):
                break


# -- from one kind to the other


async def test_a_playlist_of_recordings_ends_with_what_is_live(origin: Origin) -> None:
    live, peer = await publisher(origin, "live"), await Peer().join(origin.rtmp_port)
    live.push(VIDEO, 0, picture("E0", key=True))
    for _ in range(2):
        play2(peer, "short", "appendAndWait")
    peer.tell("play", "live", -1.0, -1.0, False)
    await peer.until(lambda: "E0" in shown(peer))
    assert shown(peer) == [
        *("title short", "config short", *(f"short{one}" for one in range(5))),
        *("NetStream.Play.Switch", "title short", "config short"),
        *(f"short{one}" for one in range(5)),
        *("NetStream.Play.Switch", "title live", "config live", "E0"),
    ]
    peer.tell("pause", True, 0)  # of what is live
    await peer.status("NetStream.Pause.Notify")
    live.close()
    peer.close()


async def test_from_a_recording_to_what_is_live_and_back(origin: Origin) -> None:
    live = await publisher(origin, "live")
    peer = await paused_at(origin, "low", 400)
    play2(peer, "live")
    await until_told(peer, TRANSITION)
    live.push(VIDEO, 5000, picture("E0", key=True))
    await peer.until(lambda: "E0" in shown(peer))
    seen = shown(peer)
    assert seen[-4:] == [COMPLETE, "title live", "config live", "E0"]
    play2(peer, "short")
    await until_told(peer, ENDED)
    live.push(VIDEO, 5040, picture("e1"))
    assert [one for one in shown(peer) if one.startswith("short")] == [
        f"short{one}" for one in range(5)
    ]
    assert "e1" not in shown(peer)
    live.close()
    peer.close()


async def test_sound_alone_is_gone_over_to_at_the_end_of_32_bits_too(origin: Origin) -> None:
    low, radio = await publisher(origin, "low"), await Peer().join(origin.rtmp_port)
    radio.tell("publish", "radio", "live")
    await radio.status("NetStream.Publish.Start")
    peer = await player(origin, "low")
    play2(peer, "radio")
    await until_told(peer, TRANSITION)
    for ms in range(0xFFFFFFFF - 500, 0xFFFFFFFF + 700, 100):
        radio.push(AUDIO, ms & 0xFFFFFFFF, b"\xaf\1sound")
    await peer.until(lambda: shown(peer).count("sound") == 2)
    assert times(peer)[-2:] == [499, 599]
    for one in (low, radio, peer):
        one.close()


async def test_who_has_seen_all_of_a_recording_goes_over_to_more_of_it(origin: Origin) -> None:
    peer = await paused_at(origin, "short", 0)
    go_on(peer)
    await until_told(peer, ENDED)
    play2(peer, "high")
    await until_told(peer, COMPLETE)
    await peer.until(lambda: peer.statuses().count(ENDED) == 2)
    seen = shown(peer)
    assert seen[seen.index(COMPLETE) + 3 : -1] == [f"high{one}" for one in range(7, 50)]
    peer.close()
