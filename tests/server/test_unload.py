"""Ending an instance that is in use, beneath whoever uses it and whoever comes."""

from __future__ import annotations

import asyncio

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.errors import ConnectError
from rtmp_sync.server.unload import unload
from rtmp_sync.wire.constants import CONNECT_APP_SHUTDOWN
from tests.server.conftest import probe
from tests.support.origins import until, url

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
        assert refused.value.info["code"] == CONNECT_APP_SHUTDOWN
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
