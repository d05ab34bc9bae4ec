"""Players that read too slowly, or no more: what they lose, what they cost, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rtmp_sync import Origin
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server import behind, clock
from rtmp_sync.server.outbox import TRANSPORT_HIGH_WATER
from rtmp_sync.server.session import Session
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.origins import running, until
from tests.support.peer import Peer
from tests.support.slow_peer import SlowPeer

OUTBOX = 400_000
FRAME = 20_000
FRAMES = 400
SEND_BYTES = 32 * 1024  # of a player's socket here; left alone it takes some MB
BEHIND = "NetStream.Play.InsufficientBW"
UNPUBLISHED = "NetStream.Play.UnpublishNotify"
AVC, AAC = b"\x17\0\0\0\0config %d", b"\xaf\0config"
METADATA = amf0.encode("onMetaData", {"width": 320.0})


def picture(number: int, *, key: bool) -> bytes:
    return (b"\x17" if key else b"\x27") + b"\1\0\0\0" + number.to_bytes(4, "big") + bytes(FRAME)


def number_of(payload: bytes) -> int:
    return int.from_bytes(payload[5:9], "big")


@asynccontextmanager
async def serving(tmp_path: Path, **rtmp: Any) -> AsyncIterator[Origin]:
    storage = {"media": tmp_path / "media", "state": tmp_path / "state"}
    limits = {"outbox_bytes": OUTBOX, "send_timeout": 600.0, **rtmp}
    async with running(tmp_path / "state", storage=storage, rtmp=limits) as origin:
        yield origin


async def join(origin: Origin, peer: Peer) -> Session:
    """Its session."""
    known = set(origin.sessions._all)
    await peer.join(origin.rtmp_port)
    (session,) = {one for one in origin.sessions._all if one.joined} - known
    assert session._transport is not None
    end = session._transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return session


async def play(peer: Peer) -> None:
    peer.tell("play", "s")
    await peer.status("NetStream.Play.Start")


def buffered(session: Session) -> int:
    assert session._transport is not None
    return session.outbox.size + session._transport.get_write_buffer_size()


def frames(peer: Peer) -> list[MediaReceived]:
    return [one for one in peer.media() if one.type == VIDEO and one.payload[1] == 1]


def headers(peer: Peer) -> list[bytes]:
    """What a player must not miss: configuration, metadata, data messages."""
    needed = {b"\x17\0", b"\xaf\0"}
    return [one.payload for one in peer.media() if one.type == DATA or one.payload[:2] in needed]


def decodable(payloads: list[bytes]) -> bool:
    """Each picture builds on the one before, or on none."""
    pairs = pairwise(payloads)
    return payloads[0][0] == 0x17 and all(
        one[0] == 0x17 or number_of(one) == number_of(before) + 1 for before, one in pairs
    )


class Show:
    """A publisher, a player that keeps up, and one that reads a tenth of what is sent."""

    def __init__(self) -> None:
        self.publisher, self.fast, self.slow = Peer(), Peer(), SlowPeer()
        self.most_buffered = 0

    async def begin(self, origin: Origin) -> None:
        await join(origin, self.publisher)
        await join(origin, self.fast)
        self.session = await join(origin, self.slow)
        self.publisher.tell("publish", "s", "live")
        await self.publisher.status("NetStream.Publish.Start")
        await play(self.fast)
        await play(self.slow)
        self.slow.hold()
        self.publisher.push(DATA, 0, amf0.encode("@setDataFrame") + METADATA)
        self.publisher.push(VIDEO, 0, AVC % 0)
        self.publisher.push(AUDIO, 0, AAC)

    async def send(self, number: int, *, key: bool) -> None:
        self.publisher.push(VIDEO, 40 * number, picture(number, key=key))
        self.publisher.push(AUDIO, 40 * number, b"\xaf\1" + number.to_bytes(4, "big"))
        await self.fast.until(lambda: len(frames(self.fast)) > number)
        self.slow.allow(FRAME // 10)
        self.most_buffered = max(self.most_buffered, buffered(self.session))

    async def end(self) -> None:
        self.slow.go_on()
        self.publisher.tell("closeStream")
        await self.fast.status(UNPUBLISHED)
        await self.slow.status(UNPUBLISHED)

    def close(self) -> None:
        for peer in (self.publisher, self.fast, self.slow):
            peer.close()


@pytest.fixture
async def show(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Show]:
    """Its parameter: for how long media is gathered."""
    show = Show()
    async with serving(tmp_path, media_flush_ms=getattr(request, "param", 0)) as origin:
        await show.begin(origin)
        yield show
        show.close()


@pytest.mark.parametrize("show", [0, 2], indirect=True)
async def test_a_player_at_a_tenth_of_the_rate_loses_whole_groups_of_pictures_and_nothing_else(
    show: Show,
) -> None:
    for number in range(FRAMES):
        await show.send(number, key=number % 5 == 0)
        if number % 100 == 50:
            show.publisher.push(DATA, 40 * number, amf0.encode("onCuePoint", float(number)))
        if number % 100 == 54:
            show.publisher.push(VIDEO, 40 * number, AVC % number)
    await show.end()
    sent = [picture(number, key=number % 5 == 0) for number in range(FRAMES)]
    assert [one.payload for one in frames(show.fast)] == sent
    seen = [one.payload for one in frames(show.slow)]
    assert len(seen) < FRAMES
    assert len(seen) + show.session.outbox.dropped_frames >= FRAMES
    assert decodable(seen)
    gaps = [one for one in pairwise(map(number_of, seen)) if one[1] != one[0] + 1]
    assert len(gaps) >= 3  # it was shown something now and then, and not key frames alone
    assert any(payload[0] == 0x27 and number_of(payload) > gaps[0][1] for payload in seen)
    assert headers(show.slow) == headers(show.fast)
    assert len(headers(show.slow)) == 5 + FRAMES // 100 * 2
    times = [one.timestamp for one in show.slow.media() if one.type != DATA]
    assert times == sorted(times)
    assert BEHIND in show.slow.statuses()
    assert BEHIND not in show.fast.statuses()
    assert show.most_buffered <= OUTBOX + TRANSPORT_HIGH_WATER + 2 * FRAME


async def test_without_another_key_frame_a_slow_player_goes_on_with_the_sound(show: Show) -> None:
    for number in range(FRAMES):
        await show.send(number, key=number == 0)
    await show.end()
    assert len(frames(show.fast)) == FRAMES
    seen = [one.payload for one in frames(show.slow)]
    assert [number_of(one) for one in seen] == list(range(len(seen)))
    assert len(seen) < FRAMES
    sounds = [one.timestamp for one in show.slow.media() if one.type == AUDIO]
    assert sounds == [0] + [40 * number for number in range(FRAMES)]
    assert show.most_buffered <= OUTBOX + TRANSPORT_HIGH_WATER + 2 * FRAME


async def test_a_player_is_told_once_in_a_while_that_it_is_behind(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice, outbox = show.session.outbox.on_behind, show.session.outbox
    show.slow.go_on()
    at = 1000.0
    monkeypatch.setattr(behind, "now", lambda: at)
    for msid in (1, 1, 2):
        notice(msid)
    at += behind.PERIOD_SECONDS
    notice(1)
    await show.slow.until(lambda: show.slow.statuses().count(BEHIND) == 2)
    status = await show.slow.status(BEHIND)
    assert (status.msid, status.info["level"]) == (1, "warning")
    assert not outbox.dropped_frames


async def test_what_a_late_joiner_gets_fits_into_its_outbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as origin:
        publisher, late = Peer(), Peer()
        await join(origin, publisher)
        publisher.tell("publish", "s", "live")
        publisher.push(VIDEO, 0, AVC % 0)
        for number in range(100):  # 2 MB since the key frame
            publisher.push(VIDEO, 40 * number, picture(number, key=number == 0))
        instance = next(iter(origin.instances))
        await until(lambda: instance.live.is_published("s"))
        await until(lambda: instance.live._channels["s"].stream.timestamp == 99 * 40)
        await join(origin, late)
        await play(late)
        publisher.push(VIDEO, 4000, picture(100, key=False))
        publisher.push(VIDEO, 4040, picture(101, key=True))
        await late.until(lambda: frames(late) and frames(late)[-1].timestamp == 4040)
        seen = [number_of(one.payload) for one in frames(late)]
        assert seen == [*range(len(seen) - 1), 101]
        assert 100 not in seen
        publisher.close()
        late.close()


@pytest.mark.parametrize("key", [True, False])
async def test_a_player_that_stops_reading_is_disconnected_with_the_reason_in_the_log(
    tmp_path: Path, key: bool
) -> None:
    with capture_logs() as lines:
        async with serving(tmp_path, send_timeout=0.3) as origin:
            show = Show()
            await show.begin(origin)
            number = 0
            while not show.session.ended:
                show.publisher.push(VIDEO, 40 * number, picture(number, key=key or not number))
                await show.fast.until(lambda: len(frames(show.fast)) > number)  # noqa: B023  # now
                number += 1
            await until(lambda: show.session not in origin.sessions._all)
            show.publisher.tell("closeStream")
            await show.fast.status(UNPUBLISHED)
            assert len(frames(show.fast)) == number
            show.close()
    reasons = [line["reason"] for line in lines if line["event"] == "connection_ended"]
    assert "has taken nothing of what it is sent for 0.3 s" in reasons


async def test_a_slow_player_is_not_taken_for_a_dead_one_by_a_ping(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0
    while not show.session._stall.watching:
        await show.send(number, key=True)
        number += 1
    later = clock.now() + 1000
    for seconds in (0, 1000):  # a ping is due, then its answer
        monkeypatch.setattr("rtmp_sync.server.session.now", lambda seconds=seconds: later + seconds)
        show.session._ring()
    assert not show.session.ended
    await show.end()


# -- recordings


@asynccontextmanager
async def cinema(tmp_path: Path, **rtmp: Any) -> AsyncIterator[tuple[SlowPeer, Session]]:
    """A player of a long film that has stopped reading."""
    folder = tmp_path / "media" / "probe" / "live"
    folder.mkdir(parents=True)
    tags = [encode_tag(DATA, 0, METADATA), encode_tag(VIDEO, 0, AVC % 0)]
    tags += [encode_tag(VIDEO, n, picture(n, key=n % 5 == 0)) for n in range(FRAMES)]
    (folder / "s.flv").write_bytes(encode_file_header() + b"".join(tags))
    async with serving(tmp_path, **rtmp) as origin:
        peer = SlowPeer()
        session = await join(origin, peer)
        await play(peer)
        peer.hold()
        yield peer, session
        peer.close()


async def test_of_a_recording_a_slow_player_misses_nothing_and_the_rest_waits_on_the_disk(
    tmp_path: Path,
) -> None:
    async with cinema(tmp_path) as (peer, session):
        await until(lambda: session._stall.watching)
        while len(frames(peer)) < 150:
            seen, read = len(frames(peer)), peer.bytes_read
            peer.allow(FRAME)
            await peer.until(lambda: peer.bytes_read >= read + FRAME)  # noqa: B023  # now
            assert len(frames(peer)) >= seen
            assert buffered(session) <= OUTBOX + TRANSPORT_HIGH_WATER
        peer.go_on()
        await peer.status("NetStream.Play.Stop")
        assert [number_of(one.payload) for one in frames(peer)] == list(range(FRAMES))
        assert not session.outbox.dropped_frames


async def test_a_player_of_a_recording_that_stops_reading_is_disconnected(tmp_path: Path) -> None:
    async with cinema(tmp_path, send_timeout=0.3) as (_, session):
        await until(lambda: session.ended)
        assert session.ended == "has taken nothing of what it is sent for 0.3 s"
        await until(lambda: not session.instance.recorded.is_playing(session, 1))
