"""Nothing leaves before it is committed (I8), and nothing without authority."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import (
    CallAnswered,
    ConnectAnswered,
    MediaReceived,
    SharedObjectReceived,
)
from rtmp_sync.server.commit import MAX_WAITING_CHANGES
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import SO_CHANGE, SO_SUCCESS
from tests.support.origins import freeze, until
from tests.support.peer import Peer


@pytest.fixture
async def peers(origin: Origin) -> AsyncIterator[list[Peer]]:
    """Two clients that use one object."""
    peers = [Peer(), Peer()]
    for peer in peers:
        await peer.connect(origin.rtmp_port, "probe/room", "x", "User")
        peer.so("board", so.EVENT_USE)
        await peer.so_until(2)
    yield peers
    for peer in peers:
        peer.close()


async def settled(origin: Origin) -> None:
    """Let everything under way arrive: origin and peers take turns on this one loop."""
    head, quiet = -1, 0
    while quiet < 50:
        await asyncio.sleep(0)
        quiet = quiet + 1 if head == origin.state.journal.head else 0
        head = origin.state.journal.head


WRITES: dict[str, Callable[[Peer], bytes]] = {
    "a slot": lambda peer: so_request(so.event_request_change("k", amf0.encode(1))),
    "a call": lambda peer: peer.rtmp.call("put", "board", "k", 1)[1],
    "a call to another object": lambda peer: peer.rtmp.call("put", "other", "k", 1)[1],
}


def so_request(event: bytes) -> bytes:
    return encode_message(19, 0, 0, so.header("board", 0, False) + event, 4, 4096)


@pytest.mark.parametrize("name", WRITES)
async def test_with_a_commit_point_that_never_advances_nothing_leaves(
    origin: Origin, peers: list[Peer], name: str
) -> None:
    freeze(origin)
    head = origin.state.journal.head
    peers[0].send(WRITES[name](peers[0]))
    await until(lambda: origin.state.journal.head > head)
    await settled(origin)
    assert [peer.events for peer in peers] == [[], []]
    origin.commit.peer_acked(origin.state.journal.head)
    await peers[0].until(lambda: peers[0].events)


async def test_what_is_said_later_waits_behind_what_waits(
    origin: Origin, peers: list[Peer]
) -> None:
    freeze(origin)
    writer, other = peers
    writer.send(so_request(so.event_request_change("k", amf0.encode(1))))
    await until(lambda: origin.commit.head > origin.commit.level)
    other.send(other.rtmp.call("who.am.i")[1])
    other.send(so_request(so.event_send(amf0.encode("hello"))))
    await settled(origin)
    assert other.events == []
    origin.commit.peer_acked(origin.state.journal.head)
    await other.event(CallAnswered)
    assert isinstance(other.events[0], SharedObjectReceived)
    assert other.so_events()[0] == (SO_CHANGE, "k", 1.0)


async def test_a_connect_is_answered_when_the_peer_knows_of_the_client(origin: Origin) -> None:
    freeze(origin)
    peer = await Peer().open(origin.rtmp_port)
    peer.send(peer.rtmp.connect({"app": "probe"}, "new", "User"))
    await until(lambda: any(instance.clients for instance in origin.instances))
    await settled(origin)
    assert not any(isinstance(event, ConnectAnswered) for event in peer.events)
    origin.commit.peer_acked(origin.state.journal.head)
    assert (await peer.event(ConnectAnswered)).ok
    peer.close()


async def test_an_initial_dump_shows_nothing_that_is_not_committed(
    origin: Origin, peers: list[Peer]
) -> None:
    late = Peer()
    await late.connect(origin.rtmp_port, "probe/room", "late", "User")
    freeze(origin)
    peers[0].send(so_request(so.event_request_change("k", amf0.encode(1))))
    await until(lambda: origin.commit.head > origin.commit.level)
    late.so("board", so.EVENT_USE)
    await settled(origin)
    assert late.events == []
    origin.commit.peer_acked(origin.state.journal.head)
    assert (await late.so_until(3))[-1] == (SO_CHANGE, "k", 1.0)
    late.close()


async def test_media_flows_while_a_write_waits(origin: Origin, peers: list[Peer]) -> None:
    publisher, player = peers
    for peer in peers:
        peer.send(peer.rtmp.call("createStream")[1])
        await peer.event(CallAnswered)
    publisher.send(publisher.rtmp.command("publish", 0, None, "s", "live", msid=1))
    await publisher.until(lambda: "NetStream.Publish.Start" in publisher.statuses())
    player.send(player.rtmp.command("play", 0, None, "s", msid=1))
    await player.until(lambda: "NetStream.Play.Start" in player.statuses())
    freeze(origin)
    publisher.send(so_request(so.event_request_change("k", amf0.encode(1))))
    await until(lambda: origin.commit.head > origin.commit.level)
    player.events.clear()
    publisher.send(publisher.rtmp.message(8, b"\xaf\1frame", msid=1, timestamp=40))
    assert (await player.event(MediaReceived)).payload == b"\xaf\1frame"
    assert not any(isinstance(event, SharedObjectReceived) for event in player.events)


async def test_without_authority_no_write_is_applied_and_the_writer_is_cut(
    origin: Origin, peers: list[Peer]
) -> None:
    head = origin.state.journal.head
    origin.authority.deadline = -math.inf
    peers[0].send(so_request(so.event_request_change("k", amf0.encode(1))))
    await peers[0].ended()
    assert origin.state.journal.head == head
    assert peers[0].events == []


async def test_what_was_applied_does_not_leave_once_the_authority_has_run_out(
    origin: Origin, peers: list[Peer]
) -> None:
    freeze(origin)
    peers[0].send(so_request(so.event_request_change("k", amf0.encode(1))))
    await until(lambda: origin.commit.head > origin.commit.level)
    origin.authority.deadline = -math.inf
    origin.commit.peer_acked(origin.state.journal.head)
    await settled(origin)
    assert [peer.events for peer in peers] == [[], []]


async def test_writers_are_not_read_while_too_much_waits(origin: Origin, peers: list[Peer]) -> None:
    freeze(origin)
    writer = peers[0]
    count = MAX_WAITING_CHANGES * 2
    before = origin.state.journal.head
    for number in range(count):
        writer.send(so_request(so.event_request_change(f"k{number}", amf0.encode(number))))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: origin.commit.congested)
    await settled(origin)
    assert origin.state.journal.head - before < count
    while origin.state.journal.head - before < count:
        origin.commit.peer_acked(origin.state.journal.head)
        await asyncio.sleep(0)
    origin.commit.peer_acked(origin.state.journal.head)
    await writer.until(lambda: sum(event[0] == SO_SUCCESS for event in writer.so_events()) == count)


async def test_held_writes_are_applied_when_the_hold_ends(
    origin: Origin, peers: list[Peer]
) -> None:
    head = origin.hold_writes(True)
    peers[0].send(so_request(so.event_request_change("k", amf0.encode(1))))
    await settled(origin)
    assert origin.state.journal.head == head
    origin.hold_writes(False)
    assert await peers[0].so_until(1) == [(SO_SUCCESS, "k", None)]


async def test_writers_held_back_go_on_after_a_hold_in_which_everything_was_acknowledged(
    origin: Origin, peers: list[Peer]
) -> None:
    """A switchover that is aborted: what had congested the origin is gone meanwhile."""
    freeze(origin)
    value = amf0.encode(1)
    peers[0].so("board", *(so.event_request_change(f"k{i}", value) for i in range(4200)))
    await until(lambda: origin.commit.congested)
    peers[0].so("board", so.event_request_change("k", value))
    holds = origin.sessions.holds
    await until(lambda: any(holds(session) for session in origin.sessions._all))
    [held] = [session for session in origin.sessions._all if holds(session)]
    await until(lambda: origin.persistence.written_seq == origin.state.journal.head)
    origin.hold_writes(True)
    origin.commit.peer_acked(origin.state.journal.head)
    assert origin.commit.relaxed
    origin.hold_writes(False)
    assert not holds(held)


async def test_what_cannot_be_encoded_costs_the_others_of_its_turn_nothing(
    origin: Origin, peers: list[Peer]
) -> None:
    class Broken:
        def finish_turn(self) -> None:
            raise ValueError("a bug")

    board = next(iter(origin.instances)).shared_objects.fanout("board", "T")
    origin.turn.join(Broken())
    board.set(None, "k", amf0.encode(1), None, board.next_version())
    for peer in peers:
        assert await peer.so_until(1) == [(SO_CHANGE, "k", 1.0)]


async def test_a_batch_that_cannot_be_handed_on_does_not_end_the_turns(
    origin: Origin, peers: list[Peer]
) -> None:
    def broken(batch: object) -> None:
        origin.turn.on_batch.remove(broken)
        raise ValueError("a bug")

    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    origin.turn.on_batch.append(broken)
    peers[0].so("board", so.event_request_change("k", amf0.encode(1)))
    await until(lambda: bool(errors))
    peers[0].so("board", so.event_request_change("k", amf0.encode(2)))
    await peers[1].until(lambda: peers[1].events)
