"""Warm standby: after a takeover a player has a picture before the publisher is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server import warm_streams
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.warm_streams import WarmStreams
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import DATA, VIDEO
from rtmp_sync.wire.records import Media
from tests.support.origins import until
from tests.support.peer import Peer
from tests.support.standby import Standby, paired

AVC, KEY, INTER = b"\x17\0\0\0\0config", b"\x17\1\0\0\0key", b"\x27\1\0\0\0inter"
METADATA = amf0.encode("onMetaData", {"width": 320.0})
SHOWN = [METADATA, AVC, KEY, INTER, INTER]


class Source:
    """A publisher without a session."""

    id = "camera"

    def taken_over(self, reason: str) -> None:
        raise AssertionError(reason)


class Ear:
    """A tap that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[LiveMessage] = []

    def begin(self) -> None: ...

    def hear(self, message: LiveMessage) -> None:
        self.heard.append(message)

    def end(self) -> None: ...


@asynccontextmanager
async def filming(
    tmp_path: Path, **replication: object
) -> AsyncIterator[tuple[Origin, Standby, Peer]]:
    replication = {"warm_streams": True, **replication}
    async with paired(tmp_path, replication=replication) as (origin, standby):
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe/live", "")
        peer.send(peer.rtmp.call("createStream")[1])
        await peer.event(CallAnswered)
        peer.send(peer.rtmp.command("publish", 0, None, "s", "live", msid=1))
        await peer.until(lambda: "NetStream.Publish.Start" in peer.statuses())
        yield origin, standby, peer
        peer.close()


def push(peer: Peer, type: int, timestamp: int, payload: bytes) -> None:
    peer.send(peer.rtmp.message(type, payload, msid=1, timestamp=timestamp))


def film(peer: Peer, start: int = 1000) -> None:
    push(peer, DATA, start, amf0.encode("@setDataFrame") + METADATA)
    push(peer, VIDEO, start, AVC)
    for number in range(8):
        push(peer, VIDEO, start + 40 * number, INTER if number % 5 else KEY)


def kept(standby: Standby) -> list[bytes]:
    """What the standby would show of the stream."""
    known = standby.instances.warm._kept.get(("probe/live", "s"))
    return [message.payload for message in known.stream.join()] if known is not None else []


async def take_over(standby: Standby) -> Instance:
    await standby.go_away()
    await standby.promote()
    (instance,) = standby.instances
    return instance


async def test_a_player_gets_the_last_pictures_at_once_and_time_goes_on(tmp_path: Path) -> None:
    async with filming(tmp_path) as (_, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)
        instance = await take_over(standby)
        assert instance.live.is_live("s")
        assert not instance.live.is_published("s")
        channel = instance.live.channel("s")
        assert channel is not None
        assert [one.payload for one in channel.stream.join()] == SHOWN
        ear = Ear()
        instance.live.tap("s", ear)
        feed = instance.live.feed("s", Source())
        assert feed is not None
        feed.put(VIDEO, 0, KEY)  # an encoder begins at 0 again
        feed.put(VIDEO, 40, INTER)
        assert [one.timestamp for one in ear.heard] == [1281, 1321]
        feed.close()
        assert not instance.live.is_live("s")


async def test_who_does_not_come_back_is_not_shown_for_longer_than_the_grace(
    tmp_path: Path,
) -> None:
    async with filming(tmp_path, reconnect_grace=0.2) as (_, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)
        instance = await take_over(standby)
        await until(lambda: not instance.live.is_live("s"))
        assert instance.live.channel("s") is None


async def test_a_stream_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    async with filming(tmp_path) as (_, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)
        peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
        await until(lambda: not standby.instances.warm._kept)


async def test_a_standby_that_comes_back_gets_what_is_shown_now(tmp_path: Path) -> None:
    async with filming(tmp_path) as (_, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)
        await standby.go_away()
        standby.instances.warm._kept.clear()
        push(peer, VIDEO, 2000, KEY + b"2")
        await standby.come_back()
        await until(lambda: kept(standby) == [METADATA, AVC, KEY + b"2"])


async def test_a_link_that_is_behind_begins_anew_at_a_key_frame(tmp_path: Path) -> None:
    async with filming(tmp_path) as (origin, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)
        standby.hold_back()
        (instance,) = origin.instances
        channel = instance.live.channel("s")
        assert channel is not None
        seen = channel.messages_in
        for number in range(40):
            push(peer, VIDEO, 2000 + number, INTER + bytes(500_000))
        await until(lambda: channel.messages_in == seen + 40)
        assert origin.replication is not None
        assert origin.replication.queued_bytes < 8 * 1024 * 1024
        standby.take_all()
        at = 3000

        def caught_up() -> bool:
            nonlocal at
            at += 40
            push(peer, VIDEO, at, KEY + b"new")
            return kept(standby) == [METADATA, AVC, KEY + b"new"]

        await until(caught_up)


async def test_it_is_off_unless_it_was_asked_for(tmp_path: Path) -> None:
    async with filming(tmp_path, warm_streams=False) as (origin, standby, peer):
        film(peer)
        await until(lambda: any(instance.live.names for instance in origin.instances))
        (instance,) = origin.instances
        channel = instance.live.channel("s")
        assert channel is not None
        await until(lambda: channel.messages_in == 10)
        assert channel.listeners == 0
        assert not standby.instances.warm._kept


def test_streams_that_ended_unheard_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    time = 100.0
    monkeypatch.setattr(warm_streams, "now", lambda: time)
    warm = WarmStreams(enabled=True, gop_cache_bytes=1 << 20)

    def hear(name: str) -> None:
        warm.receive(Media("probe/live", name, VIDEO, 0, KEY))

    for number in range(100):
        hear(f"old-{number}")
    hear("one too many")
    time += 20.0
    hear("old-0")
    for number in range(99):
        hear(f"new-{number}")
    names = {stream.name for stream in warm.take("probe/live")}
    assert names == {"old-0", *(f"new-{number}" for number in range(99))}


async def test_what_the_application_hears_again_at_once_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filming(tmp_path) as (_, standby, peer):
        film(peer)
        await until(lambda: kept(standby) == SHOWN)

        async def records_it(application: Any) -> None:
            application.stream("s").record("append")

        monkeypatch.setattr(standby.applications["probe"], "on_promote", records_it)
        instance = await take_over(standby)
        assert instance.live.audience("s")
        channel = instance.live.channel("s")
        assert channel is not None
        assert [one.payload for one in channel.stream.join()] == SHOWN
