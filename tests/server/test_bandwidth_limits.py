"""Clients with a limit of their own, over real sockets: what it does to each kind of message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Application, Client, ConfigError, Origin
from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.protocol.events import CallAnswered, MediaReceived, PeerBandwidthSet, PingAnswered
from rtmp_sync.server.session import Session
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, CONNECT_CLOSED, DATA, SET_BUFFER_LENGTH, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.http_player import HttpPlayer
from tests.support.joined import instance
from tests.support.origins import config_of, running, take_over, until
from tests.support.peer import Peer

RATE = 100_000
FRAME = 20_000
FRAMES = 60
APP = """
from rtmp_sync import Application, allow

class Metered(Application):
    public_types = frozenset({"User"})

    async def on_connect(self, client, user_name, user_type):
        self.before = client.bandwidth_limit
        if user_name:
            client.set_bandwidth_limit(to_client=int(user_name))

    @allow("User")
    def echo(self, client, value):
        return value
"""


@contextlib.asynccontextmanager
async def metered(tmp_path: Path, **limits: Any) -> AsyncIterator[Origin]:
    """An application that limits who names a number; limits: of its configuration."""
    for folder in ("apps", "media/metered/live"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "apps" / "metered.py").write_text(APP)
    apps = {"directory": tmp_path / "apps", "metered": limits.pop("metered", {})}
    rtmp = limits.pop("rtmp", {})
    storage = {"media": tmp_path / "media", "state": tmp_path / "state"}
    http = {"listen": "127.0.0.1:0"}
    async with running(
        tmp_path / "state", apps=apps | limits, rtmp=rtmp, storage=storage, http=http
    ) as origin:
        yield origin


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with metered(tmp_path) as origin:
        yield origin


async def join(origin: Origin, name: str = "") -> tuple[Peer, Client, Session]:
    known = set(origin.sessions._all)
    peer = Peer()
    await peer.connect(origin.rtmp_port, "metered/live", name, "User")
    peer.send(peer.rtmp.call("createStream")[1])
    await peer.event(CallAnswered)
    peer.events.clear()
    (session,) = {one for one in origin.sessions._all if one.joined} - known
    return peer, session.client, session


def picture(number: int, *, key: bool) -> bytes:
    return (b"\x17" if key else b"\x27") + b"\1\0\0\0" + number.to_bytes(4, "big") + bytes(FRAME)


def frames(peer: Peer) -> list[MediaReceived]:
    return [one for one in peer.media() if one.type == VIDEO and one.payload[1] == 1]


def number_of(one: MediaReceived) -> int:
    return int.from_bytes(one.payload[5:9], "big")


def film(origin: Origin) -> None:
    tags = [encode_tag(VIDEO, n, picture(n, key=n % 5 == 0)) for n in range(FRAMES)]
    folder = origin.config.storage.media
    assert folder is not None
    (folder / "metered" / "live" / "film.flv").write_bytes(encode_file_header() + b"".join(tags))


async def test_of_a_live_stream_a_limited_player_loses_groups_of_pictures_and_others_nothing(
    origin: Origin,
) -> None:
    publisher, _, _ = await join(origin)
    slow, client, session = await join(origin, str(RATE))
    fast, _, _ = await join(origin)
    began = asyncio.get_running_loop().time()
    publisher.tell("publish", "s", "live")
    await publisher.status("NetStream.Publish.Start")
    for peer in (slow, fast):
        peer.tell("play", "s")
        await peer.status("NetStream.Play.Start")
    for number in range(FRAMES):
        if number % 10 == 0:
            publisher.push(DATA, 40 * number, amf0.encode("onCuePoint", float(number)))
        publisher.push(VIDEO, 40 * number, picture(number, key=number % 5 == 0))
        publisher.push(AUDIO, 40 * number, b"\xaf\1" + number.to_bytes(4, "big"))
        await fast.until(lambda: len(frames(fast)) > number)  # noqa: B023  # now
        assert session.outbox.size <= 2 * RATE + FRAME
        passed = asyncio.get_running_loop().time() - began
        assert session.outbox.bytes_out <= RATE * (passed + 1) + FRAME + 1000
    client.set_bandwidth_limit(to_client=None)
    publisher.tell("closeStream")
    for peer in (slow, fast):
        await peer.status("NetStream.Play.UnpublishNotify")
    assert [number_of(one) for one in frames(fast)] == list(range(FRAMES))
    seen = frames(slow)
    assert 5 <= len(seen) < FRAMES
    for before, one in pairwise(seen):  # each picture builds on the one before, or on none
        assert one.payload[0] == 0x17 or number_of(one) == number_of(before) + 1
    lost = 2 * FRAMES - len(seen) - len([one for one in slow.media() if one.type == AUDIO])
    assert session.outbox.dropped_frames == client.traffic.dropped == lost
    cues = [[one.payload for one in peer.media() if one.type == DATA] for peer in (slow, fast)]
    assert cues[0] == cues[1]
    assert "NetStream.Play.InsufficientBW" in slow.statuses()
    for peer in (publisher, slow, fast):
        peer.close()


async def test_who_comes_late_gets_one_picture_of_what_is_too_much_until_the_next_key_frame(
    origin: Origin,
) -> None:
    publisher, _, _ = await join(origin)
    publisher.tell("publish", "s", "live")
    await publisher.status("NetStream.Publish.Start")
    publisher.push(DATA, 0, amf0.encode("@setDataFrame", "onMetaData", {"width": 7.0}))
    for number in range(30):
        publisher.push(VIDEO, 40 * number, picture(number, key=not number))
    early, _, _ = await join(origin)
    early.tell("play", "s")
    await early.until(lambda: len(frames(early)) == 30)
    late, _, session = await join(origin, str(10 * FRAME))
    late.tell("play", "s")
    await late.until(lambda: frames(late))
    for number in range(30, 33):
        publisher.push(VIDEO, 40 * number, picture(number, key=number == 31))
    await late.until(lambda: len(frames(late)) == 3)
    assert [number_of(one) for one in frames(late)] == [0, 31, 32]
    assert any(b"onMetaData" in one.payload for one in late.media())
    assert late.statuses() == ["NetStream.Play.Reset", "NetStream.Play.Start"]
    assert session.outbox.dropped_frames == 0
    for peer in (publisher, early, late):
        peer.close()


async def test_of_a_recording_nothing_is_lost_and_the_rest_waits_on_the_disk(
    origin: Origin,
) -> None:
    film(origin)
    peer, client, session = await join(origin, str(RATE))
    peer.send(peer.rtmp.user_control(SET_BUFFER_LENGTH, 1, 3_600_000))
    peer.tell("play", "film")
    await peer.until(lambda: len(frames(peer)) >= 8)  # a second's worth, and some of the next
    assert len(frames(peer)) < FRAMES
    assert session.outbox.size <= RATE + FRAME + 1000
    client.set_bandwidth_limit(to_client=None)
    await peer.status("NetStream.Play.Stop")
    assert [number_of(one) for one in frames(peer)] == list(range(FRAMES))
    assert session.outbox.dropped_frames == 0
    peer.close()


async def test_a_browser_gets_a_recording_a_seconds_worth_at_a_time(tmp_path: Path) -> None:
    async with metered(tmp_path, server_to_client_rate=RATE) as origin:
        film(origin)
        began = asyncio.get_running_loop().time()
        url = f"http://127.0.0.1:{origin.http_port}/metered/live/film.flv"
        async with HttpPlayer(url) as browser:
            await browser.until(lambda: len(browser.media()) >= 2)
            (viewer,) = origin.http._viewers  # type: ignore[union-attr]  # there is one
            passed = asyncio.get_running_loop().time() - began
            assert viewer.player.bytes_out <= RATE * (passed + 1) + FRAME + 1000
            viewer.client.set_bandwidth_limit(to_client=None)
            await browser.over()
            assert len(browser.media()) == FRAMES


async def test_what_waits_for_a_limited_client_leaves_with_an_orderly_end(origin: Origin) -> None:
    peer, client, session = await join(origin, "1024")
    for number in range(20):
        client.notify("told", str(number) * 500)
    await until(lambda: session.outbox.size > 5_000)
    session.end("the origin stops", clean=True)
    await peer.command("told", 20)
    await peer.ended()
    peer.close()


async def test_calls_come_later_in_order_and_pings_at_once(origin: Origin) -> None:
    peer, client, session = await join(origin, "10000")
    text = "x" * 1000
    numbers = [peer.rtmp.call("echo", f"{number} {text}") for number in range(30)]
    peer.send(b"".join(data for _, data in numbers))
    await until(lambda: session.outbox.size > 15_000)
    assert await client.ping() >= 0
    assert session.outbox.size > 0
    client.set_bandwidth_limit(to_client=10**9)
    await peer.event(CallAnswered, 30)
    answers = [one for one in peer.events if isinstance(one, CallAnswered)]
    assert [one.transaction for one in answers] == [number for number, _ in numbers]
    assert not any(isinstance(one, PingAnswered) for one in peer.events)
    peer.close()


async def test_who_is_disconnected_is_told_at_once_whatever_waits(origin: Origin) -> None:
    peer, client, session = await join(origin, "1024")
    for number in range(100):
        client.notify("told", str(number) * 500)
    await until(lambda: session.outbox.size > 50_000)
    client.disconnect("Enough.")
    await peer.status(CONNECT_CLOSED)
    await peer.ended()
    assert len(await peer.command("told", 100)) == 1
    client.set_bandwidth_limit(to_client=2048)  # nothing is left to limit
    peer.close()


async def test_a_client_that_may_send_less_is_told_so_and_read_later(origin: Origin) -> None:
    peer, client, session = await join(origin)
    client.set_bandwidth_limit(to_server=200_000)
    assert (await peer.event(PeerBandwidthSet)).window == 200_000
    peer.flush()  # it says that it keeps to that
    client.set_bandwidth_limit(to_server=1024)
    assert (await peer.event(PeerBandwidthSet, 2)).window == 64 * 1024
    peer.send(b"".join(peer.rtmp.call("echo", "x" * 1000)[1] for _ in range(60)))
    await until(lambda: session.inflow.held)
    said = session.connection.bytes_out
    session.show_life()
    await peer.until(lambda: peer.rtmp.bytes_in >= session.traffic.bytes_out)
    assert session.connection.bytes_out == said + 16  # an acknowledgement
    client.set_bandwidth_limit(to_server=None)
    assert not session.inflow.held
    assert (await peer.event(PeerBandwidthSet, 3)).window == 2_500_000
    await peer.event(CallAnswered, 60)
    peer.close()


async def test_limits_begin_with_the_configuration_and_the_application_has_the_last_word(
    tmp_path: Path,
) -> None:
    own = {"client_to_server_rate": 50_000}
    async with metered(
        tmp_path, metered=own, client_to_server_rate=70_000, server_to_client_rate=80_000
    ) as origin:
        peer, client, session = await join(origin)
        assert client.bandwidth_limit == BandwidthLimit(50_000, 80_000)
        assert session.outbox.room == 4 * 80_000
        other, limited, _ = await join(origin, "90000")
        application: Application = instance(origin).application
        assert application.before == client.bandwidth_limit  # type: ignore[attr-defined]  # APP's
        assert limited.bandwidth_limit == BandwidthLimit(50_000, 90_000)
        await take_over(origin)
        for one in (peer, other):
            one.close()
        back, anew, _ = await join(origin)  # of before the takeover nothing is kept
        assert anew.bandwidth_limit == BandwidthLimit(50_000, 80_000)
        back.close()


@pytest.mark.parametrize("rate", [0, 1023, -5])
def test_less_than_anybody_can_use_is_refused(rate: int, tmp_path: Path) -> None:
    client = Client("1-1")
    client.set_bandwidth_limit(to_server=1024)
    with pytest.raises(ValueError, match=f"{rate} bytes a second: give a whole number from 1024"):
        client.set_bandwidth_limit(to_client=rate)
    assert client.bandwidth_limit == BandwidthLimit(to_server=1024)
    with pytest.raises((ConfigError, ValueError), match="server_to_client_rate"):
        config_of(tmp_path, apps={"x": {"server_to_client_rate": rate}})


def test_a_limit_is_a_whole_number_of_bytes() -> None:
    client = Client("1-1")
    with pytest.raises(ValueError, match="bytes a second: give a whole number"):
        client.set_bandwidth_limit(to_server=1_000_000 / 8)  # type: ignore[arg-type]  # of kbit
    assert client.bandwidth_limit == BandwidthLimit()
