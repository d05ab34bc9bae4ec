"""The client against a real origin that keeps cutting everyone off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.server.remote_object import RemoteSharedObject
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as wire
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


def shared_value() -> object:
    """One that has AMF references inside itself, so it gets a message of its own."""
    part = {"a": 1.0}
    return [part, part]


@pytest.mark.parametrize(
    "values",
    [["x" * 600_000] * 4, [shared_value()] * 3, ["x", shared_value()], []],
    ids=["long", "alone", "one alone", "none"],
)
async def test_a_shared_object_is_complete_when_it_is_handed_over(
    origin: Origin, values: list[object]
) -> None:
    """However many messages its dump takes."""
    writer, late = await connected(origin), await connected(origin)
    board = await writer.shared_object("board")
    for number, value in enumerate(values):
        await board.set(f"k{number}", value)
    complete = {f"k{number}": value for number, value in enumerate(values)}
    again = await late.shared_object("board")
    assert dict(again) == complete
    assert again.version == board.version
    await writer.close()
    await late.close()


async def test_a_client_that_returns_is_in_sync_when_it_has_all_that_it_missed(
    origin: Origin,
) -> None:
    writer, other = await connected(origin), await connected(origin)
    board, copy = await writer.shared_object("board"), await other.shared_object("board")
    await board.set("k", 1)
    await until(lambda: copy.version == board.version)
    (session,) = [one for one in origin.sessions._all if one.client.id == "1-2"]
    session.end("a test")
    for number in range(3):
        await board.set(f"long{number}", "x" * 600_000)
    await board.set("shared", shared_value())
    await copy.set("mine", 2)  # goes out when the copy is in sync
    assert (len(copy), copy.version) == (6, board.version)
    await writer.close()
    await other.close()


def message(version: int, *events: bytes) -> wire.SharedObjectMessage:
    return wire.decode(wire.header("board", version, False) + b"".join(events), False)


async def test_an_empty_object_of_a_server_that_counts_from_zero_is_complete() -> None:
    remote = RemoteSharedObject("board", False)
    remote.receive(message(0, wire.EVENT_USE_SUCCESS, wire.EVENT_CLEAR))
    await remote.used


async def test_a_dump_that_breaks_off_is_not_complete() -> None:
    remote = RemoteSharedObject("board", False)
    one = wire.event_change("k", amf0.encode(1))
    remote.receive(message(0, wire.EVENT_USE_SUCCESS, wire.EVENT_CLEAR, one))
    remote.link_lost("a test", for_good=False)
    assert not remote.used.done()
    remote.receive(message(7, wire.EVENT_USE_SUCCESS, wire.EVENT_CLEAR, one))
    await remote.used
