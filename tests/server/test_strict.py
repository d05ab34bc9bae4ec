"""`strict`: with the standby away nothing is acknowledged, and nobody sees what is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtmp_sync import CallError, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import SO_CHANGE, SO_SUCCESS
from tests.server.conftest import probe
from tests.support.origins import until, url
from tests.support.peer import Peer
from tests.support.standby import Standby, paired

KEY = bytes(range(16))
UNKNOWN = r"NetConnection\.Call\.Failed: outcome unknown"


def answer_within(origin: Origin, seconds: float) -> None:
    """After which an outcome is unknown; by default the link's own `ack_timeout`."""
    origin.instances._overdue._timeout = seconds


@asynccontextmanager
async def alone(tmp_path: Path) -> AsyncIterator[tuple[Origin, Standby, Peer, Peer]]:
    """A strict origin with a writer and a reader of `board`, whose standby has gone away."""
    async with paired(tmp_path, mode="strict") as (origin, standby):
        answer_within(origin, 0.1)
        probe(origin).release = asyncio.Event()
        peers = [Peer(), Peer()]
        for number, peer in enumerate(peers):
            key = {"sessionKey": KEY.hex()} if number == 0 else {}
            await peer.connect(origin.rtmp_port, "probe/room", f"u{number}", "User", **key)
            peer.so("board", so.EVENT_USE)
            await peer.so_until(2)
        await standby.go_away()
        try:
            yield origin, standby, peers[0], peers[1]
        finally:
            probe(origin).release.set()
            for peer in peers:
                peer.close()


def call(peer: Peer, name: str, *arguments: object, number: int = 0) -> None:
    numbers = {"callNumber": float(number), "lowestOpen": 1.0} if number else None
    peer.send(peer.rtmp.call(name, *arguments, command_object=numbers)[1])


def unknown(answer: CallAnswered) -> bool:
    return (
        not answer.ok
        and isinstance(answer.result, dict)
        and answer.result["code"] == "NetConnection.Call.Failed"
        and "outcome unknown" in answer.result["description"]
    )


@pytest.mark.parametrize("name", ["count", "safe", "slow", "who.am.i"])
async def test_a_call_gets_outcome_unknown_and_what_it_did_is_seen_by_nobody(
    tmp_path: Path, name: str
) -> None:
    """Whether it has ended, waits for the commit, runs on or only reads what is held."""
    async with alone(tmp_path) as (origin, _, writer, reader):
        writer.send(writer.rtmp.command("put", 0, None, "board", "k", 1))
        call(writer, name)
        assert unknown(await writer.event(CallAnswered))
        assert reader.events == []
        assert origin.state.find("probe/room", "board", "T") is not None
        assert origin.commit.level < origin.state.journal.head


async def test_what_was_held_is_seen_when_the_standby_is_back(tmp_path: Path) -> None:
    async with alone(tmp_path) as (_, standby, writer, reader):
        call(writer, "put", "board", "k", 1)
        assert unknown(await writer.event(CallAnswered))
        assert not reader.events
        await standby.come_back()
        assert await reader.so_until(1) == [(SO_CHANGE, "k", 1.0)]
        await writer.until(lambda: writer.so_events())
        assert sum(isinstance(event, CallAnswered) for event in writer.events) == 1


async def test_a_repeat_gets_the_result_that_was_held(tmp_path: Path) -> None:
    async with alone(tmp_path) as (origin, standby, writer, _):
        call(writer, "count", number=1)
        assert unknown(await writer.event(CallAnswered))
        call(writer, "count", number=1)
        assert unknown(await writer.event(CallAnswered, 2))
        answer_within(origin, 60)
        call(writer, "count", number=1)
        await until(lambda: origin.state.call_outcome(KEY, 1) is not None)
        await standby.come_back()
        assert (await writer.event(CallAnswered, 3)).result == 1.0


async def test_a_repeat_joins_a_call_that_still_runs(tmp_path: Path) -> None:
    async with alone(tmp_path) as (origin, standby, writer, _):
        call(writer, "slow", number=1)
        assert unknown(await writer.event(CallAnswered))
        answer_within(origin, 60)
        call(writer, "slow", number=1)
        probe(origin).release.set()
        await standby.come_back()
        assert (await writer.event(CallAnswered, 2)).result == 1.0


async def test_a_slot_that_a_client_sets_is_neither_refused_nor_confirmed(tmp_path: Path) -> None:
    """Shared objects have no word for "unknown": `success` comes when it is true."""
    async with alone(tmp_path) as (_, standby, writer, reader):
        writer.so("board", so.event_request_change("k", amf0.encode(1)))
        call(writer, "echo", 1)
        assert unknown(await writer.event(CallAnswered))
        assert writer.so_events() == reader.events == []
        await standby.come_back()
        assert await writer.so_until(1) == [(SO_SUCCESS, "k", None)]
        assert await reader.so_until(1) == [(SO_CHANGE, "k", 1.0)]


async def test_nothing_is_unknown_while_the_standby_is_there(tmp_path: Path) -> None:
    async with paired(tmp_path, mode="strict") as (origin, _):
        answer_within(origin, 1.0)
        probe(origin).release = asyncio.Event()
        async with NetConnection() as connection:
            await connection.connect(url(origin, "probe/room"), "ann", "User")
            slow = asyncio.ensure_future(connection.call("slow"))
            await asyncio.sleep(1.5)  # longer than that: what is tried here
            assert await connection.call("safe") == "safe"
            assert not slow.done()
            probe(origin).release.set()
            assert await slow == 1.0


async def test_the_client_says_so(tmp_path: Path) -> None:
    async with (
        paired(tmp_path, mode="strict") as (origin, standby),
        NetConnection() as connection,
    ):
        await connection.connect(url(origin, "probe/room"), "ann", "User")
        answer_within(origin, 0.1)
        await standby.go_away()
        with pytest.raises(CallError, match=UNKNOWN):
            await connection.call("count")
        answer_within(origin, 60)
        await standby.come_back()
        assert await connection.call("count") == 2.0


async def test_the_time_is_that_after_which_the_link_counts_as_silent(tmp_path: Path) -> None:
    async with paired(tmp_path, mode="strict") as (origin, _):
        assert origin.instances._overdue._timeout == origin.config.timing().ack_timeout
    async with paired(tmp_path / "semi") as (origin, _):
        assert origin.instances._overdue._timeout is None
