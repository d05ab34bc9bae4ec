"""Ending an instance that is in use, beneath whoever uses it and whoever comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.errors import ConnectError
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.unload import unload
from rtmp_sync.wire.constants import CONNECT_APP_SHUTDOWN
from tests.server.conftest import probe
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until, url

ROOM = "probe/room"


async def test_who_comes_while_it_ends_gets_the_next_one(origin: Origin) -> None:
    said = probe(origin).said
    async with NetConnection(reconnect=False) as first, NetConnection(reconnect=False) as second:
        await first.connect(url(origin, ROOM), "first", "User")
        await first.shared_object("cursor")
        instance = origin.instances.running(ROOM)
        assert instance is not None
        ending = asyncio.create_task(unload(origin.instances, origin.sessions, instance))
        await asyncio.sleep(0)
        assert origin.instances.running(ROOM) is None
        await second.connect(url(origin, ROOM), "second", "User")
        assert await ending == 1
        following = origin.instances.running(ROOM)
        assert following is not None
        assert following is not instance
        assert [client.user_name for client in following.clients.values()] == ["second"]
        assert said.index(("disconnect", "first", "lost")) < said.index(("connect", "second"))
        assert said.count(("start", "room")) == 2
        assert "T:cursor" not in origin.state.instances[ROOM].objects


async def test_who_is_being_admitted_to_it_does_not_get_in(origin: Origin) -> None:
    """Its on_connect was still running."""
    async with NetConnection(reconnect=False) as client:
        await client.connect(url(origin, ROOM), "ann", "User")
    instance = origin.instances.running(ROOM)
    assert instance is not None
    await until(lambda: not instance.clients)
    async with NetConnection(reconnect=False) as late:
        connecting = asyncio.create_task(late.connect(url(origin, ROOM), "waits", "User"))
        await until(lambda: ("connect", "waits") in probe(origin).said)
        assert await unload(origin.instances, origin.sessions, instance) == 0
        with pytest.raises(ConnectError) as refused:
            await connecting
        info = refused.value.info
        assert isinstance(info, dict)
        assert info["code"] == CONNECT_APP_SHUTDOWN
        assert not instance.clients


@pytest.fixture
async def viewed(tmp_path: Path) -> AsyncIterator[tuple[Origin, Instance]]:
    """One for browsers, that wait for a publisher for long, and an instance that runs there."""
    http = {"listen": "127.0.0.1:0", "publisher_wait": 600}
    async with running(tmp_path / "viewed", http=http) as origin:
        probe(origin).release = asyncio.Event()
        serving = origin.instances.serving("probe")
        assert serving is not None
        instance = origin.instances.get(serving, "room")
        assert instance is not None
        assert await instance.ready
        probe(origin).said.clear()
        yield origin, instance


async def test_a_browser_that_waits_for_its_stream_is_sent_away(
    viewed: tuple[Origin, Instance],
) -> None:
    origin, instance = viewed
    async with HttpPlayer(f"http://127.0.0.1:{origin.http_port}/{ROOM}/s.flv") as player:
        await until(lambda: ("play", "s", "") in probe(origin).said)
        assert await unload(origin.instances, origin.sessions, instance) == 1
        await player.over()
        assert player.status == 403
    assert ("disconnect", "", "closed") in probe(origin).said


async def test_a_browser_that_was_sent_away_before_it_plays_is_never_one_of_the_pairs_clients(
    viewed: tuple[Origin, Instance],
) -> None:
    origin, instance = viewed
    async with HttpPlayer(f"http://127.0.0.1:{origin.http_port}/{ROOM}/slow.flv") as player:
        await until(lambda: ("play", "slow", "") in probe(origin).said)
        (browser,) = (one for one in instance.clients.values() if one.transport == "http")
        head = origin.state.journal.head
        browser.disconnect()
        probe(origin).release.set()
        await player.over()
        assert player.status == 403
        assert origin.state.journal.head == head


async def test_a_browser_that_is_being_admitted_to_it_does_not_get_in(
    viewed: tuple[Origin, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, instance = viewed
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def on_connect(*_: object) -> None:
        asked.set()
        await go_on.wait()

    monkeypatch.setattr(instance.application, "on_connect", on_connect)
    async with HttpPlayer(f"http://127.0.0.1:{origin.http_port}/{ROOM}/s.flv") as player:
        await asked.wait()
        assert await unload(origin.instances, origin.sessions, instance) == 0
        go_on.set()
        await player.over()
        assert player.status == 503
    assert not instance.clients


async def test_two_at_once_end_it_once(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as client:
        await client.connect(url(origin, ROOM), "ann", "User")
        instance = origin.instances.running(ROOM)
        assert instance is not None
        ends = [unload(origin.instances, origin.sessions, instance) for _ in range(2)]
        assert sorted(await asyncio.gather(*ends)) == [0, 1]


async def test_an_origin_that_serves_no_longer_lets_go_of_it(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as client:
        await client.connect(url(origin, ROOM), "ann", "User")
        instance = origin.instances.running(ROOM)
        assert instance is not None
        ending = asyncio.create_task(unload(origin.instances, origin.sessions, instance))
        await asyncio.sleep(0)
        await origin.close_gate()
        await origin.demote()
        await ending
        assert instance.stopped
        assert ("stop", "room") not in probe(origin).said
