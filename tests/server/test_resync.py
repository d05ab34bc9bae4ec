"""How a standby that was away gets what it missed: over real sockets, counted exactly.

The arithmetic is written down here a second time, from the turns that were made, and the
numbers of full and partial resyncs must be what it says.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from rtmp_sync.cluster.peer_status import ReplicationHooks
from rtmp_sync.state.change import MAX_VALUE_BYTES
from rtmp_sync.state.journal import Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from tests.support.changes import new_state
from tests.support.chaos import ChaosProxy
from tests.support.nodes import SCOPE, Node, same, until

BATCH_COST = 32  # bytes that the backlog counts for a turn beside its data
OUTAGES = 2  # of each length in a cell


def part_is_enough(
    turns: list[tuple[int, int]], seq: int, max_bytes: int, max_changes: int
) -> bool:
    """Whether a backlog still has everything after `seq`.

    turns: (Changes, bytes) of every turn so far. The backlog keeps the last turns, whole, as
    long as they fit: all their bytes with BATCH_COST each, and all their Changes.
    """
    first = sum(changes for changes, _ in turns)
    kept_bytes = kept_changes = 0
    for changes, size in reversed(turns):
        kept_bytes += size + BATCH_COST
        kept_changes += changes
        if kept_bytes > max_bytes or kept_changes > max_changes:
            break
        first -= changes
    return first <= seq


class RecordingNode(Node):
    """Also keeps what is told about resyncs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.resyncs: list[dict[str, Any]] = []

    def hooks(self) -> ReplicationHooks:
        hooks = super().hooks()
        tell = hooks.history

        def history(event: str, **fields: Any) -> None:
            tell(event, **fields)
            if event == "resync":
                self.resyncs.append(fields)

        hooks.history = history
        return hooks


class Resyncing:
    """A serves, B follows through a proxy; A's turns are noted for the arithmetic."""

    def __init__(self, max_bytes: int = 1 << 24, max_changes: int = 200_000) -> None:
        self.max_bytes, self.max_changes = max_bytes, max_changes
        journal = Journal(max_bytes=max_bytes, max_changes=max_changes)
        state = ReplicatedState(journal)
        state.start_epoch(1, "boot", "h1", lossy=False)
        self.a: RecordingNode = RecordingNode("A", state)
        self.b: RecordingNode = RecordingNode("B", ReplicatedState())
        self.proxy = ChaosProxy()
        self.turns: list[tuple[int, int]] = []
        self._number = 0

    async def start(self) -> None:
        self.note(self.a.state.journal.take_batch())
        await self.b.start(("127.0.0.1", 1), dials=False)
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True)
        self.a.serve(1)
        self.b.stand_by(1, "A")
        await self.in_sync()

    async def stop(self) -> None:
        await self.a.replication.stop()
        await self.b.replication.stop()
        await self.proxy.stop()

    def note(self, batch: Any) -> None:
        members = [tuple(change) for change in batch.changes()]
        self.turns.append((len(members), len(msgpack.packb(members))))

    def write(self, changes: int, per_turn: int, value: bytes = b"\x05") -> None:
        """Exactly so many Changes, in turns of so many."""
        while changes > 0:
            obj = self.a.state.shared_object(SCOPE, "x", "T")
            head = self.a.state.journal.taken
            while self.a.state.journal.head < head + min(changes, per_turn):
                self._number += 1
                version = self.a.state.next_version(obj)
                self.a.state.set_slot(obj, f"k{self._number % 50}", value, version)
            changes -= self.a.state.journal.head - head
            batch = self.a.state.journal.take_batch()
            assert batch is not None
            self.note(batch)
            self.a.replication.send_batch(batch)

    async def part(self) -> None:
        """The link goes and stays away."""
        self.proxy.refuse = True
        self.proxy.cut()
        await until(lambda: not (self.a.replication.connected or self.b.replication.connected))

    def expects_part(self) -> bool:
        seq = self.b.state.journal.head
        return part_is_enough(self.turns, seq, self.max_bytes, self.max_changes)

    async def meet(self) -> None:
        """The link returns, up to the answer to the standby's request."""
        asked = len(self.a.resyncs)
        self.proxy.refuse = False
        await until(lambda: len(self.a.resyncs) > asked)

    async def in_sync(self) -> None:
        await until(lambda: self.b.replication.in_sync and same(self.a, self.b))
        assert self.a.state.digest() == self.b.state.recompute_digest()

    @property
    def counts(self) -> list[tuple[int, int]]:
        """(full, partial) as both nodes count them."""
        links = (self.a.replication, self.b.replication)
        return [(link.full_copies, link.partial_copies) for link in links]


@pytest.fixture(autouse=True)
def _redials_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmp_sync.server.replication_dialer.REDIAL_SECONDS", 0.01)


@pytest.fixture
async def pair() -> AsyncIterator[Resyncing]:
    both = Resyncing()
    await both.start()
    yield both
    await both.stop()


BACKLOGS = {
    "none": (0, 0),
    "1,000 bytes": (1000, 200_000),
    "60 Changes": (1 << 24, 60),
    "20,000 bytes": (20_000, 200_000),
    "default": (1 << 24, 200_000),
}
LENGTHS = (0, 1, 12, 60, 61, 700)
RATES = (1, 7, 60)  # Changes a turn


@pytest.mark.parametrize("per_turn", RATES, ids=lambda rate: f"{rate} a turn")
@pytest.mark.parametrize("length", LENGTHS, ids=lambda length: f"{length} missed")
@pytest.mark.parametrize("backlog", BACKLOGS)
async def test_a_resync_is_partial_exactly_when_the_backlog_has_what_was_missed(
    backlog, length, per_turn
):
    pair = Resyncing(*BACKLOGS[backlog])
    await pair.start()
    full, partial = 1, 0  # B began empty
    assert pair.counts == [(full, partial)] * 2
    for _ in range(OUTAGES):
        pair.write(5, 5)
        await pair.in_sync()
        await pair.part()
        pair.write(length, per_turn)
        if pair.expects_part():
            partial += 1
        else:
            full += 1
        await pair.meet()
        pair.write(3 * per_turn, per_turn)  # while it catches up
        await pair.in_sync()
        assert pair.counts == [(full, partial)] * 2
        kinds = [told["kind"] for told in pair.a.resyncs]
        assert (kinds.count("full"), kinds.count("partial")) == (full, partial)
    await pair.stop()


def test_the_matrix_has_cells_on_both_sides_of_every_bound():
    found = set()
    for (name, bounds), length, per_turn in itertools.product(BACKLOGS.items(), LENGTHS, RATES):
        size = 35  # about what such a Change takes
        turns = [(5, 5 * size)]
        turns += [(per_turn, per_turn * size)] * (length // per_turn)
        turns += [(length % per_turn, (length % per_turn) * size)] * bool(length % per_turn)
        found.add((name, part_is_enough(turns, 5, *bounds)))
    assert found >= {(name, True) for name in BACKLOGS}
    assert found >= {(name, False) for name in BACKLOGS if name != "default"}


async def test_after_a_promotion_the_old_active_goes_on_from_its_seq_under_the_new_history(pair):
    pair.write(40, 4)
    await pair.in_sync()
    await pair.part()
    seq = pair.a.state.journal.head
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    pair.b.serve(2)
    pair.b.write(30)
    pair.a.stand_by(2, "B")
    pair.proxy.refuse = False
    await until(lambda: pair.a.replication.in_sync and same(pair.a, pair.b))
    assert [(told["kind"], told["from_seq"]) for told in pair.b.resyncs] == [("partial", seq)]
    assert pair.a.state.journal.history_id == "h2"
    assert pair.a.log.divergent == []
    # and back again: B's Changes of the new history are in A's backlog too
    await pair.part()
    pair.a.state.start_epoch(3, "boot", "h3", lossy=False)
    pair.a.turn()
    pair.a.serve(3)
    pair.b.stand_by(3, "A")
    pair.proxy.refuse = False
    await until(lambda: pair.b.replication.in_sync and same(pair.a, pair.b))
    assert pair.a.resyncs[-1]["kind"] == "partial"
    assert (pair.a.replication.full_copies, pair.b.replication.full_copies) == (1, 1)


async def test_right_after_its_promotion_a_node_serves_the_backlog_it_kept_as_standby(pair):
    """The old active comes back from its disk with less than it had."""
    behind = Node("A", ReplicatedState(), boot_id="boot2")
    behind.state.install(_copy_of(pair.a.state))
    seq = behind.state.journal.head
    pair.write(40, 4)
    await pair.in_sync()
    await pair.a.replication.stop()
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    pair.b.serve(2)
    pair.a = behind  # type: ignore[assignment]  # what it tells is of no interest here
    await behind.start(pair.proxy.address, dials=True)
    behind.stand_by(2, "B")
    await until(lambda: behind.replication.in_sync and same(behind, pair.b))
    assert [(told["kind"], told["from_seq"]) for told in pair.b.resyncs] == [("partial", seq)]


async def test_a_second_life_of_the_standby_goes_on_from_what_it_kept(pair):
    pair.write(20, 2)
    await pair.in_sync()
    await pair.b.replication.stop()
    second = RecordingNode("B", pair.b.state, boot_id="boot2")
    await second.start(("127.0.0.1", 1), dials=False)
    pair.proxy._target = ("127.0.0.1", second.replication.port)
    pair.write(30, 3)
    pair.b = second
    second.stand_by(1, "A")
    await pair.in_sync()
    assert (second.replication.full_copies, second.replication.partial_copies) == (0, 1)
    assert pair.a.replication.peer.boot_id == "boot2"


async def test_a_standby_that_knows_no_history_gets_everything_though_the_backlog_has_it(pair):
    pair.write(20, 2)
    await pair.in_sync()
    await pair.b.replication.stop()
    empty = RecordingNode("B", ReplicatedState(), boot_id="boot2")
    await empty.start(("127.0.0.1", 1), dials=False)
    pair.proxy._target = ("127.0.0.1", empty.replication.port)
    pair.b = empty
    empty.stand_by(1, "A")
    await pair.in_sync()
    assert pair.a.resyncs[-1]["from_seq"] == 0
    assert pair.a.resyncs[-1]["kind"] == "full"
    assert pair.a.state.journal.backlog_start == 0


async def test_a_standby_ahead_of_the_active_gets_everything_and_that_is_told(pair):
    pair.write(20, 2)
    await pair.in_sync()
    await pair.part()
    await pair.a.replication.stop()
    older = RecordingNode("A", ReplicatedState(), boot_id="boot2")
    older.state.install(_copy_of(new_state()))
    await older.start(pair.proxy.address, dials=True)
    pair.a = older
    older.serve(1)
    pair.b.stand_by(1, "A")  # the record confirms that A is right
    pair.proxy.refuse = False
    await pair.in_sync()
    assert older.resyncs == [
        {"kind": "full", "peer": "B", "from_seq": 21, "peer_is_ahead": True},
    ]
    assert len(pair.b.log.divergent) == 1


async def test_a_backlog_is_kept_for_an_hour_after_the_link_went(pair, monkeypatch):
    monkeypatch.setattr("rtmp_sync.server.replication.BACKLOG_SECONDS", 0.3)
    await pair.part()
    pair.write(3, 1)
    assert pair.expects_part()
    await until(lambda: pair.a.state.journal.backlog_bytes == 0)
    pair.write(3, 1)
    await pair.meet()
    await pair.in_sync()
    assert pair.counts == [(2, 0)] * 2


async def test_a_link_that_returned_in_time_keeps_the_backlog(pair, monkeypatch):
    monkeypatch.setattr("rtmp_sync.server.replication.BACKLOG_SECONDS", 0.5)
    await pair.part()
    timer = pair.a.replication._backlog_timer
    await pair.meet()
    await pair.in_sync()
    assert timer is not None
    assert timer.cancelled()


async def test_a_link_cut_within_a_turn_goes_on_within_it(pair):
    """A turn above 1 MiB leaves in parts, each of which is applied as it comes."""
    pair.write(1, 1)
    await pair.in_sync()
    seq = pair.a.state.journal.head
    pair.proxy.cut_after_bytes = int(2.5 * MAX_VALUE_BYTES)
    pair.write(6, 6, value=bytes(MAX_VALUE_BYTES))
    await until(lambda: pair.a.log.links[:2] == [True, False])
    await pair.in_sync()
    continued = pair.a.resyncs[-1]
    assert continued["kind"] == "partial"
    assert seq < continued["from_seq"] < seq + 6
    assert pair.counts == [(1, 1)] * 2


def _copy_of(state: ReplicatedState) -> ReplicatedState:
    snapshot = state.snapshot()
    loader = SnapshotLoader(snapshot.header)
    for chunk in snapshot.chunks():
        loader.feed(chunk)
    snapshot.close()
    return loader.finish(snapshot.digest)
