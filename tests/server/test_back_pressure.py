"""A peer that does not acknowledge for a while: memory stays bounded, and nobody is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.commit import MAX_WAITING_BYTES, MAX_WAITING_CHANGES
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import SO_SUCCESS
from tests.support.origins import freeze, running, until
from tests.support.peer import Peer
from tests.support.standby import paired

WRITERS = 20
ONE_READ = 256 * 1024 + 20_000  # what the loop takes of a socket, after a message half read


@asynccontextmanager
async def connected(origin: Origin, count: int) -> AsyncIterator[list[Peer]]:
    """Clients that each use an object of their own and one together."""
    peers = [Peer() for _ in range(count)]
    for number, peer in enumerate(peers):
        await peer.connect(origin.rtmp_port, "probe/room", f"u{number}", "User")
        for name in ("board", f"own{number}"):
            peer.so(name, so.EVENT_USE)
            await peer.so_until(2)
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()


async def settled(origin: Origin) -> None:
    """Let everything under way arrive."""
    quiet, before = 0, (-1, -1)
    while quiet < 200:
        await asyncio.sleep(0)
        now = (origin.state.journal.head, origin.commit.waiting_bytes)
        quiet = quiet + 1 if now == before else 0
        before = now


def successes(peer: Peer) -> int:
    return sum(kind == SO_SUCCESS for kind, _, _ in peer.so_events())


@pytest.mark.parametrize(
    ("value", "count"),
    [(amf0.encode("x" * 16_000), 100), (amf0.encode(1), 1000)],
    ids=["long values", "many values"],
)
async def test_twenty_greedy_writers_are_held_back_and_all_go_on(
    origin: Origin, value: bytes, count: int
) -> None:
    async with connected(origin, WRITERS) as peers:
        sessions = list(origin.sessions._all)
        freeze(origin)
        before = origin.state.journal.head
        for number, peer in enumerate(peers):
            for key in range(count):
                peer.so(f"own{number}", so.event_request_change(f"k{key}", value))
        await until(lambda: origin.commit.congested)
        await settled(origin)
        changes = origin.state.journal.head - before
        assert changes < count * WRITERS
        assert changes <= MAX_WAITING_CHANGES + WRITERS
        bound = MAX_WAITING_BYTES + WRITERS * ONE_READ
        assert origin.commit.waiting_bytes <= bound
        assert sum(session.outbox.size for session in sessions) <= bound
        while origin.state.journal.head - before < count * WRITERS:
            origin.commit.peer_acked(origin.state.journal.head)
            await asyncio.sleep(0)
        origin.commit.peer_acked(origin.state.journal.head)
        for peer in peers:
            await peer.until(lambda peer=peer: successes(peer) == count)  # type: ignore[misc]  # the default is the loop's
        assert list(origin.sessions._all) == sessions
        assert not any(origin.sessions.holds(session) for session in sessions)


async def test_who_reads_well_is_not_lost_for_what_waits_for_the_peer(tmp_path: Path) -> None:
    """More waits for them than a client may leave unread."""
    async with (
        running(tmp_path, rtmp={"outbox_bytes": 65536}) as origin,
        connected(origin, 3) as (
            writer,
            *readers,
        ),
    ):
        freeze(origin)
        value = amf0.encode("x" * 16_000)
        for number in range(100):
            writer.so("board", so.event_request_change(f"k{number}", value))
        before = origin.state.journal.head
        await until(lambda: origin.state.journal.head - before == 100)
        await settled(origin)
        assert [reader.events for reader in readers] == [[], []]
        origin.commit.peer_acked(origin.state.journal.head)
        for reader in readers:
            assert len(await reader.so_until(100)) == 100


async def test_who_sends_to_all_is_held_back_too(origin: Origin) -> None:
    async with connected(origin, 2) as (sender, reader):
        freeze(origin)
        sender.so("board", so.event_request_change("k", amf0.encode(1)))
        await until(lambda: origin.commit.head > origin.commit.level)
        message = so.event_send(amf0.encode("hello", "x" * 64_000))
        count = 2 * MAX_WAITING_BYTES // 64_000
        for _ in range(count):
            sender.so("board", message)
        await until(lambda: any(map(origin.sessions.holds, origin.sessions._all)))
        await settled(origin)
        assert origin.commit.waiting_bytes <= MAX_WAITING_BYTES + 2 * ONE_READ
        origin.commit.peer_acked(origin.state.journal.head)
        assert len(await reader.so_until(1 + count)) == 1 + count


async def test_a_client_that_is_not_read_for_long_is_not_taken_for_dead(tmp_path: Path) -> None:
    rtmp = {"ping_interval": 0.02, "ping_timeout": 0.02, "message_timeout": 0.02}
    async with running(tmp_path, rtmp=rtmp) as origin, connected(origin, 1) as (writer,):
        (session,) = origin.sessions._all
        freeze(origin)
        before = origin.state.journal.head
        count = MAX_WAITING_CHANGES + 1
        value = amf0.encode(1)
        writer.so("board", *(so.event_request_change(f"k{n}", value) for n in range(count)))
        await until(lambda: origin.state.journal.head - before == count)
        writer.send(writer.rtmp.call("echo", 1)[1])
        await until(lambda: origin.sessions.holds(session))
        await asyncio.sleep(0.1)  # the deadlines themselves are what is tried here
        assert not session.closing
        origin.commit.peer_acked(origin.state.journal.head)
        assert (await writer.event(CallAnswered)).result == 1.0


async def test_a_real_standby_that_takes_nothing_for_a_while_costs_nobody_anything(
    tmp_path: Path,
) -> None:
    count = 60
    async with paired(tmp_path) as (origin, standby), connected(origin, WRITERS) as peers:
        replication = origin.replication
        assert replication is not None
        sessions = list(origin.sessions._all)
        standby.hold_back()
        value = amf0.encode("x" * 16_000)
        for number, peer in enumerate(peers):
            for key in range(count):
                peer.so(f"own{number}", so.event_request_change(f"k{key}", value))
        await until(lambda: origin.commit.congested)
        await settled(origin)
        bound = MAX_WAITING_BYTES + WRITERS * ONE_READ
        assert origin.commit.waiting_bytes <= bound
        assert replication.queued_bytes <= bound
        assert origin.sessions.waiting_bytes <= bound
        standby.take_all()
        for peer in peers:
            await peer.until(lambda peer=peer: successes(peer) == count)  # type: ignore[misc]  # the default is the loop's
        assert list(origin.sessions._all) == sessions
        assert not any(map(origin.sessions.holds, sessions))
        assert replication.links_lost == 0
        assert standby.state.digest() == origin.state.digest()
