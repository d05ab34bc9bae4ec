"""Two nodes over real sockets: the link comes up, breaks, and loses nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.cluster.link import PROTOCOLS, Protocols
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.replication import Replication
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import Switchover
from tests.support.changes import change_something, new_state
from tests.support.chaos import ChaosProxy
from tests.support.nodes import SCOPE, Node, same, until


class Pair:
    """A dials B through a proxy that tests can break; A serves unless told otherwise."""

    def __init__(self) -> None:
        self.a = Node("A", new_state())
        self.b = Node("B", ReplicatedState())
        self.proxy = ChaosProxy()

    async def start(self, a: Protocols = PROTOCOLS, b: Protocols = PROTOCOLS) -> None:
        self.a.state.journal.take_batch()
        await self.b.start(("127.0.0.1", 1), dials=False, protocols=b)
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True, protocols=a)

    async def connect(self) -> None:
        """A serves epoch 1 and B follows."""
        self.a.serve(1)
        self.b.stand_by(1, "A")
        await until(lambda: self.b.replication.in_sync and self.a.replication.peer_caught_up)

    async def stop(self) -> None:
        await self.a.replication.stop()
        await self.b.replication.stop()
        await self.proxy.stop()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    both = Pair()
    await both.start()
    yield both
    await both.stop()


async def test_an_empty_standby_gets_a_full_copy_and_then_follows_turn_by_turn(pair):
    pair.a.write(5)
    await pair.connect()
    assert pair.b.log.installed == 1
    for _ in range(20):
        pair.a.write(3)
    await until(lambda: pair.a.replication.acked == pair.a.state.journal.head)
    assert same(pair.a, pair.b)
    assert pair.a.log.acked == pair.a.state.journal.head
    assert pair.a.replication.oldest_unacked_at is None
    assert pair.b.replication.peer.serving
    assert pair.b.replication.peer.hb_age(pair.b.replication.peer.heartbeat_at) == 0
    assert await pair.a.replication.digest_agrees()


async def test_a_broken_link_is_reported_and_continues_where_it_broke(pair):
    await pair.connect()
    pair.a.write(5)
    await until(lambda: same(pair.a, pair.b))
    pair.proxy.cut()
    await until(lambda: not pair.a.replication.connected and not pair.b.replication.connected)
    pair.a.write(50)
    pair.a.write(50)
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))
    assert pair.a.log.links[:3] == [True, False, True]
    assert pair.b.replication.full_copies == 1
    assert pair.b.replication.partial_copies == 1
    assert pair.a.replication.links_lost == 1


async def test_a_link_that_breaks_within_a_snapshot_leaves_the_old_copy_and_begins_again(pair):
    for _ in range(40):
        pair.a.write(64, value=bytes(1500))
        obj = pair.a.state.shared_object(SCOPE, f"y{pair.a.state.journal.head}", "P")
        for number in range(64):
            pair.a.state.set_slot(obj, f"k{number}", bytes(1500), pair.a.state.next_version(obj))
    pair.a.turn()
    pair.proxy.cut_after_bytes = 500_000
    pair.a.serve(1)
    pair.b.stand_by(1, "A")
    await until(lambda: pair.a.log.links[:2] == [True, False])
    assert pair.b.log.installed == 0
    assert pair.b.state.empty
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))
    assert pair.b.log.installed == 1


async def test_writes_during_a_snapshot_arrive_after_it(pair):
    obj = pair.a.state.shared_object(SCOPE, "big", "P")
    for number in range(3000):
        pair.a.state.set_slot(obj, f"k{number}", bytes(1500), pair.a.state.next_version(obj))
    pair.a.turn()
    pair.a.serve(1)
    pair.b.stand_by(1, "A")
    rng = random.Random(1)
    while not pair.a.replication.peer_caught_up:
        change_something(pair.a.state, rng)
        pair.a.turn()
        await asyncio.sleep(0)
    await until(lambda: same(pair.a, pair.b))
    assert pair.b.state.recompute_digest() == pair.a.state.recompute_digest()


async def test_a_corrupted_byte_drops_the_link_and_changes_nothing(pair):
    await pair.connect()
    pair.proxy.corrupt_next(b"secret value")
    pair.a.write(1, value=b"\x02\x00\x0csecret value")
    await until(lambda: pair.b.log.links[:2] == [True, False])
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))
    assert pair.b.replication.refusals["bad_mac"] == 1
    assert pair.b.log.refused == ["bad_mac"]
    assert pair.b.replication.full_copies == 1


async def test_the_direction_turns_with_the_roles(pair):
    await pair.connect()
    pair.a.write(4)
    await until(lambda: same(pair.a, pair.b))
    pair.a.stand_by(1, "A")
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    pair.b.serve(2)
    pair.a.stand_by(2, "B")
    pair.b.write(7)
    await until(lambda: pair.a.replication.in_sync and same(pair.a, pair.b))
    assert pair.a.replication.partial_copies == 1
    assert pair.a.state.journal.position == pair.b.state.journal.position
    assert pair.b.replication.acked == pair.b.state.journal.head


async def test_what_a_deposed_node_had_beyond_the_pair_is_handed_out_and_dropped(pair):
    await pair.connect()
    pair.proxy.cut()
    pair.proxy.refuse = True
    await until(lambda: not pair.a.replication.connected)
    pair.a.write(9)
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    shared = pair.b.state.journal.head - 1
    lost_until = pair.a.state.journal.head
    pair.b.serve(2)
    pair.a.stand_by(2, "B")
    pair.proxy.refuse = False
    await until(lambda: pair.a.replication.in_sync and same(pair.a, pair.b))
    assert pair.a.log.divergent == [[shared + 1, lost_until]]


async def test_a_node_that_restarted_empty_cannot_wipe_its_peer(pair):
    await pair.connect()
    pair.a.write(9)
    await until(lambda: same(pair.a, pair.b))
    before = pair.b.state.digest()
    await pair.a.replication.stop()
    pair.a = Node("A", new_state(), boot_id="boot2")
    pair.a.state.journal.take_batch()
    await pair.a.start(pair.proxy.address, dials=True)
    pair.a.serve(1)
    pair.b.stand_by(1, "B")
    await until(lambda: "refused_regressing_snapshot" in pair.b.log.events)
    assert pair.b.state.digest() == before
    assert not pair.b.replication.in_sync
    pair.b.stand_by(1, "A")  # the record confirms that it is right
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))


async def test_a_node_of_an_older_epoch_is_fenced(pair):
    pair.b.stand_by(5, "B")
    pair.a.serve(1)
    await until(lambda: pair.a.log.fences == [(5, "B")])
    assert pair.b.state.empty


async def test_a_promise_is_given_or_refused(pair):
    await pair.connect()
    assert await pair.a.replication.promise(1) is None
    pair.b.log.promise_seconds = 3.5
    sent_at = await pair.a.replication.promise(1)
    assert sent_at is not None


async def test_without_a_link_nothing_is_promised_and_no_digest_agrees(pair):
    pair.proxy.refuse = True
    pair.proxy.cut()
    await until(lambda: not pair.a.replication.connected)
    assert await pair.a.replication.promise(1) is None
    assert not await pair.a.replication.digest_agrees()


async def test_steps_of_a_switchover_reach_the_peer(pair):
    await pair.connect()
    pair.a.replication.switchover("prepare", switch_id="s1", final_seq=7, deadline_seconds=2)
    await until(lambda: pair.b.log.steps == [Switchover("prepare", "s1", 7, 2.0, 0)])


async def test_a_peer_that_says_nothing_is_lost_after_the_ack_timeout(pair):
    await pair.connect()
    pair.proxy.freeze()
    await until(lambda: pair.a.log.links[:2] == [True, False])
    await until(lambda: pair.b.log.links[:2] == [True, False])
    pair.proxy.thaw()
    await until(lambda: pair.b.replication.in_sync)


async def test_a_wrong_copy_is_found_and_repaired(pair):
    await pair.connect()
    pair.a.write(3)
    await until(lambda: same(pair.a, pair.b))
    pair.b.state.instances[SCOPE].objects["T:x"].set("k0", b"wrong", 1)
    pair.b.state._dirty_objects.add(pair.b.state.instances[SCOPE].objects["T:x"])
    pair.b.state._dirty_instances.add(pair.b.state.instances[SCOPE])
    assert not await pair.a.replication.digest_agrees()
    pair.a.replication.repair()
    await until(lambda: pair.b.log.installed == 2)
    await until(lambda: pair.a.replication.peer_caught_up)
    assert await pair.a.replication.digest_agrees()


async def test_a_backlog_that_was_dropped_means_a_full_copy(pair):
    await pair.connect()
    pair.proxy.cut()
    await until(lambda: not pair.a.replication.connected)
    pair.a.write(3)
    pair.a.state.journal.drop_backlog()
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))
    assert pair.b.replication.full_copies == 2


async def test_two_nodes_with_one_id_both_hear_of_it():
    one, other = Node("A", new_state()), Node("A", ReplicatedState(), boot_id="boot2")
    await other.start(("127.0.0.1", 1), dials=True)
    await one.start(("127.0.0.1", other.replication.port), dials=True)
    await until(lambda: True in one.log.same_id and False in other.log.same_id)
    assert not one.replication.connected
    await one.replication.stop()
    await other.replication.stop()


@pytest.mark.parametrize("wrong", [{"secret": b"other"}, {"pair_id": "A+C"}])
async def test_another_secret_or_another_pair_never_gets_a_link(wrong):
    a, b = Node("A", new_state()), Node("B", ReplicatedState())
    await b.start(("127.0.0.1", 1), dials=False)
    await a.start(("127.0.0.1", b.replication.port), dials=True, **wrong)
    await until(lambda: bool(a.replication._reasons and b.replication._reasons))
    assert not a.replication.connected
    assert not b.replication.connected
    await a.replication.stop()
    await b.replication.stop()


async def test_garbage_on_the_port_ends_that_connection_only(pair):
    await pair.connect()
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.b.replication.port)
    writer.write(bytes(range(256)) * 20)
    assert await reader.read() is not None
    writer.close()
    await writer.wait_closed()
    pair.a.write(1)
    await until(lambda: same(pair.a, pair.b))
    assert pair.b.log.links == [True]


async def test_a_peer_that_takes_nothing_is_dropped_before_memory_fills(pair, monkeypatch):
    monkeypatch.setattr("rtmp_sync.server.replication_link.HARD_QUEUE_BYTES", 1024 * 1024)
    await pair.connect()
    pair.proxy.stall()
    while pair.a.replication.connected:
        pair.a.write(8, value=bytes(64 * 1024))
        assert pair.a.replication.queued_bytes < 4 * 1024 * 1024
        await asyncio.sleep(0)
    pair.proxy.cut()
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))


async def test_a_stopped_node_ends_its_link_at_once(pair):
    await pair.connect()
    await pair.b.replication.stop()
    await until(lambda: not pair.a.replication.connected)
    assert pair.a.log.links == [True, False]


async def test_how_far_the_peer_was_ahead_is_known_after_the_link_has_gone(pair):
    await pair.connect()
    pair.a.write(3)
    await until(lambda: pair.b.replication.peer.head_seq == pair.a.state.journal.head)
    pair.proxy.refuse = True
    pair.proxy.cut()
    await until(lambda: not pair.b.replication.connected)
    assert pair.b.replication.lag_changes == 0
    pair.b.replication.peer.head_seq += 5
    assert pair.b.replication.lag_changes == 5


async def test_a_port_in_use_is_named():
    one = Node("A", new_state())
    await one.start(("127.0.0.1", 1), dials=False)
    taken = ("127.0.0.1", one.replication.port)
    other = Replication(
        ReplicatedState(),
        node_id="B",
        pair_id="A+B",
        boot_id="boot",
        secret=b"secret",
        listen=taken,
        peer=("127.0.0.1", 1),
        dials=False,
        timing=DEFAULT,
    )
    with pytest.raises(ConfigError, match=r"replication\.listen"):
        await other.start()
    await one.replication.stop()


async def test_connections_without_proof_do_not_pile_up(pair):
    await pair.connect()
    address = ("127.0.0.1", pair.b.replication.port)
    idle = [await asyncio.open_connection(*address) for _ in range(20)]
    ends = [asyncio.ensure_future(reader.read()) for reader, _ in idle]
    await asyncio.wait(ends, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert sum(end.done() for end in ends) > 0
    pair.a.write(1)
    await until(lambda: same(pair.a, pair.b))
    for _, writer in idle:
        writer.close()
    await asyncio.gather(*ends)
    assert pair.b.log.links == [True]


async def test_of_two_nodes_that_both_dial_only_the_first_ones_call_counts():
    a, b = Node("A", new_state()), Node("B", ReplicatedState())
    await b.start(("127.0.0.1", 1), dials=True)
    await a.start(("127.0.0.1", b.replication.port), dials=True)
    await until(lambda: any("this node that dials" in why for why in b.replication._reasons))
    assert not a.log.links
    assert not b.log.links
    await a.replication.stop()
    await b.replication.stop()


@pytest.mark.parametrize(
    "scenario",
    [
        test_an_empty_standby_gets_a_full_copy_and_then_follows_turn_by_turn,
        test_a_broken_link_is_reported_and_continues_where_it_broke,
        test_a_link_that_breaks_within_a_snapshot_leaves_the_old_copy_and_begins_again,
        test_writes_during_a_snapshot_arrive_after_it,
        test_a_corrupted_byte_drops_the_link_and_changes_nothing,
        test_a_wrong_copy_is_found_and_repaired,
        test_a_stopped_node_ends_its_link_at_once,
    ],
    ids=lambda scenario: scenario.__name__.removeprefix("test_"),
)
def test_on_uvloop_too(scenario):
    """It flushes and closes in its own way."""
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        both = Pair()
        await both.start()
        try:
            await scenario(both)
        finally:
            await both.stop()

    uvloop.run(run())
