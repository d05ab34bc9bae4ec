"""Two versions of the link side by side, over real sockets: a pair is upgraded node by node."""

from __future__ import annotations

import asyncio

import pytest

from rtmp_sync.cluster.link import Protocols
from rtmp_sync.wire.records import Media, Replay, Switchover
from tests.server.test_replication import Pair
from tests.support.nodes import SCOPE, same, until

OLD, NEW = Protocols(1, 1), Protocols(1, 2)


def call(seq: int, method: str = "setText") -> Replay:
    return Replay(seq, SCOPE, b"who", method, b"\x02\x00\x02hi")


@pytest.fixture
async def started():
    """Starts pairs with versions; stops them."""
    pairs: list[Pair] = []

    async def start(a: Protocols, b: Protocols) -> Pair:
        pair = Pair()
        pairs.append(pair)
        await pair.start(a, b)
        return pair

    yield start
    for pair in pairs:
        await pair.stop()


@pytest.mark.parametrize(("a", "b"), [(OLD, NEW), (NEW, OLD)], ids=["older-newer", "newer-older"])
async def test_an_older_and_a_newer_node_are_a_pair(started, a, b):
    pair = await started(a, b)
    pair.a.write(50)
    await pair.connect()
    assert pair.a.replication.peer.protocol == pair.b.replication.peer.protocol == 1
    assert pair.b.log.installed == 1
    pair.a.write(3)
    pair.a.replication.send_replay(call(pair.a.state.journal.head))
    assert pair.a.replication.replays_left_out == 1
    assert not pair.a.replication.send_media(Media(SCOPE, "s", 9, 0, b"\x17\x01"))
    pair.a.replication.switchover("prepare", switch_id="s", final_seq=3, deadline_seconds=2)
    pair.b.replication.switchover("ready", switch_id="s", final_seq=3)
    await until(lambda: same(pair.a, pair.b) and bool(pair.a.log.steps and pair.b.log.steps))
    assert pair.b.log.steps == [Switchover("prepare", "s", 3, 2.0, 0)]
    assert await pair.a.replication.digest_agrees()
    pair.a.stand_by(1, "A")
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    pair.b.serve(2)
    pair.a.stand_by(2, "B")
    pair.b.write(7)
    await until(lambda: pair.a.replication.in_sync and same(pair.a, pair.b))
    assert pair.b.log.replays == []
    assert pair.a.log.links == pair.b.log.links == [True]


@pytest.mark.parametrize(("a", "b"), [(OLD, Protocols(2, 3)), (Protocols(2, 3), OLD)])
async def test_two_nodes_without_a_common_version_both_name_it(started, a, b):
    pair = await started(a, b)
    await until(
        lambda: all(
            any("protocol here is" in why for why in node.replication._reasons)
            for node in (pair.a, pair.b)
        )
    )
    assert pair.a.log.links == pair.b.log.links == []


async def test_a_replayed_call_comes_after_its_changes_are_applied_and_acknowledged(started):
    pair = await started(NEW, NEW)
    await pair.connect()
    assert pair.a.replication.peer.protocol == 2
    heads: list[int] = []
    pair.b.replication.exchange._hooks.on_replay = lambda replay: heads.append(
        replay.seq - pair.b.state.journal.head
    )
    for _ in range(20):
        head = pair.a.state.journal.head
        pair.a.replication.send_replay(call(head + 2))  # it waits for what it speaks of
        pair.a.write(2)
    await until(lambda: len(heads) == 20)
    assert max(heads) <= 0
    assert pair.a.replication.replays_left_out == 0


async def test_calls_wait_for_a_standby_that_copies_and_are_left_out_without_one(started):
    pair = await started(NEW, NEW)
    pair.a.write(300, value=bytes(5000))
    pair.a.replication.send_replay(call(1))
    assert pair.a.replication.replays_left_out == 1
    pair.a.serve(1)
    pair.b.stand_by(1, "A")

    def copies() -> bool:
        exchange = pair.a.replication.exchange
        return exchange is not None and exchange.source.has_bulk

    while not copies():  # noqa: ASYNC110 - looked at in each turn of the loop: a copy is short
        await asyncio.sleep(0)
    pair.a.write(1)
    pair.a.replication.send_replay(call(pair.a.state.journal.head, "first"))
    pair.a.replication.send_replay(call(pair.a.state.journal.head, "second"))
    await until(lambda: len(pair.b.log.replays) == 2)
    assert [replay.method for replay in pair.b.log.replays] == ["first", "second"]
    assert pair.b.log.installed == 1


async def test_a_call_above_the_longest_message_is_left_out_and_the_link_goes_on(started):
    pair = await started(NEW, NEW)
    await pair.connect()
    pair.a.replication.send_replay(call(0)._replace(arguments=bytes(1024 * 1024)))
    assert pair.a.replication.replays_left_out == 1
    pair.a.write(1)
    await until(lambda: same(pair.a, pair.b))
    assert pair.a.log.links == [True]


async def test_what_is_in_the_store_is_named_to_a_node_that_knows_of_that(started):
    pair = await started(Protocols(1, 3), Protocols(1, 3))
    await pair.connect()
    pair.a.replication.name_nonce("1 abc", stale=True)
    await until(lambda: pair.b.log.nonces == [("1 abc", True)])


async def test_an_older_node_is_named_nothing(started):
    pair = await started(Protocols(1, 3), NEW)
    await pair.connect()
    pair.a.replication.name_nonce("1 abc", stale=False)
    pair.a.write(3)
    await until(lambda: same(pair.a, pair.b))
    assert pair.b.log.nonces == []
    assert pair.b.log.links == [True]
