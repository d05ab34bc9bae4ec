"""The client against a real origin that keeps cutting everyone off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from tests.support.origins import running, until, url


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with running(tmp_path) as origin:
        yield origin


async def connected(origin: Origin, *, object_encoding: int = 0) -> NetConnection:
    client = NetConnection()
    await client.connect(url(origin, "probe"), "Ann", "User", object_encoding=object_encoding)
    return client


async def cut_often(
    origin: Origin, clients: list[NetConnection], writing: asyncio.Task[None]
) -> None:
    """Cut everyone off, each time as soon as all are back, until the writing is done."""
    cuts = 0

    def back() -> bool:
        return writing.done() or all(client.reconnects >= cuts for client in clients)

    while not writing.done():
        origin.cut_sessions("a test")
        cuts += 1
        await until(back)
        for _ in range(50):
            await asyncio.sleep(0)
    await writing


async def test_calls_run_once_however_often_the_connection_is_lost(origin: Origin) -> None:
    async with await connected(origin) as client:
        numbers: list[float] = []

        async def call(times: int) -> None:
            numbers.extend([await client.call("count") for _ in range(times)])

        async def write() -> None:
            await asyncio.gather(*(call(50) for _ in range(20)))

        await cut_often(origin, [client], asyncio.create_task(write()))
        assert sorted(numbers) == list(range(1, 1001)), "no count is missing or came twice"
        assert client.reconnects > 1


@pytest.mark.parametrize("object_encoding", [0, 3])
async def test_confirmed_slots_are_there_however_often_the_connection_is_lost(
    origin: Origin, object_encoding: int
) -> None:
    async with (
        await connected(origin, object_encoding=object_encoding) as writer,
        await connected(origin) as reader,
    ):
        mine = await writer.shared_object("board", persistent=True)
        theirs = await reader.shared_object("board", persistent=True)

        async def write() -> None:
            for number in range(50):
                versions = await asyncio.gather(
                    *(mine.set(f"slot{slot}", number) for slot in range(20))
                )
                assert all(version > 0 for version in versions)

        await cut_often(origin, [writer, reader], asyncio.create_task(write()))
        expected = {f"slot{slot}": 49.0 for slot in range(20)}
        assert dict(mine) == expected
        await until(lambda: dict(theirs) == expected)
        assert mine.version == theirs.version


async def test_deleting_and_clearing_reach_the_others(origin: Origin) -> None:
    async with await connected(origin) as writer, await connected(origin) as reader:
        mine = await writer.shared_object("board")
        theirs = await reader.shared_object("board")
        await mine.set("a", [{"x": 1}, None])
        await mine.set("b", 2)
        await until(lambda: dict(theirs) == {"a": [{"x": 1.0}, None], "b": 2.0})
        await mine.delete("a")
        await mine.delete("never there")
        await until(lambda: dict(theirs) == {"b": 2.0})
        await mine.clear()
        await until(lambda: dict(theirs) == {})
