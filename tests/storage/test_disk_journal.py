"""What is written when: whatever a disk does, a node finds a state that it once wrote."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.disk_journal import (
    DiskJournal,
    PersistFailed,
    PersistRecovered,
    Written,
)
from rtmp_sync.storage.recovery import Recovered, recover
from tests.support.changes import change_something, new_state
from tests.support.memory_disk import MemoryDisk

COMPACT_BYTES = 1500


@dataclass
class Node:
    """One life after the other on one disk, and the digest of every state that was written."""

    seed: int
    fsync: bool = False
    rng: random.Random = field(init=False)
    disk: MemoryDisk = field(init=False)
    now: float = 0.0
    digests: dict[int, bytes] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    events: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.disk = MemoryDisk(self.rng)
        self.digests[0] = ReplicatedState().digest()

    def start(self) -> Recovered:
        found = recover(self.disk.files)
        self.state = found.state
        self.digests = {
            seq: digest for seq, digest in self.digests.items() if seq <= self.state.journal.head
        }
        self.journal = DiskJournal(found, fsync=self.fsync, compact_bytes=COMPACT_BYTES)
        self.journal.begin()
        self.journal.tick(self.now)
        if self.state.empty:
            self.state.start_epoch(1, "boot", "h1", lossy=False)
        return found

    def turn(self) -> None:
        for _ in range(self.rng.randrange(1, 6)):
            change_something(self.state, self.rng)
        batch = self.state.journal.take_batch()
        if batch is not None:
            self.digests[batch.last_seq] = self.state.digest()
            self.journal.write(batch)

    def step(self) -> bool:
        """Let the disk do one thing; whether there was one."""
        for operation in self.journal.operations():
            self.disk.put(operation)
        done = self.disk.step()
        if done is not None:
            operation, refusal = done
            if refusal:
                self.journal.refused(operation, refusal)
            else:
                self.journal.done(operation)
        self.events += self.journal.events()
        return done is not None

    def settle(self) -> None:
        while self.step() or self.journal.wants_more:
            pass

    def tick(self, seconds: float = 0.25) -> None:
        self.now += seconds
        self.journal.tick(self.now)
        self.events += self.journal.events()

    def live(self, turns: int) -> None:
        for _ in range(turns):
            self.turn()
            for _ in range(self.rng.randrange(12)):
                self.step()
            self.tick()

    def install_another_copy(self) -> None:
        epoch = self.state.journal.epoch + 1
        other = new_state(epoch, f"h{epoch}")
        head = self.rng.randrange(1, self.state.journal.head + 1)  # the tail here is given up
        while other.journal.head < head:
            change_something(other, self.rng)
        other.journal.take_batch()
        self.state.install(other)
        self.digests = {self.state.journal.head: self.state.digest()}
        self.journal.begin_anew()


def check_a_prefix(node: Node, found: Recovered) -> None:
    """The state after some batch, exactly."""
    assert node.digests[found.state.journal.head] == found.state.digest()
    assert found.state.digest() == found.state.recompute_digest()


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_killed_process_finds_all_that_was_reported_and_nothing_half(seed, fsync):
    node = Node(seed, fsync)
    node.start()
    for _ in range(6):
        node.live(node.rng.randrange(40))
        written = node.journal.written_seq
        node.disk.kill()
        found = recover(node.disk.files)
        check_a_prefix(node, found)
        assert found.state.journal.head >= written
        node.start()


@pytest.mark.parametrize("seed", range(20))
def test_without_power_a_node_that_syncs_loses_nothing_that_was_reported(seed):
    node = Node(seed, fsync=True)
    node.start()
    for _ in range(6):
        node.live(node.rng.randrange(40))
        written = node.journal.written_seq
        node.disk.lose_power()
        found = recover(node.disk.files)
        check_a_prefix(node, found)
        assert found.state.journal.head >= written
        node.start()


@pytest.mark.parametrize("seed", range(40))
def test_what_a_killed_process_left_unsynced_is_synced_before_anything_new_counts(seed):
    node = Node(seed, fsync=True)
    for _ in range(6):
        started_at = node.start().state.journal.head
        node.live(node.rng.randrange(3))
        written = node.journal.written_seq
        killed = node.rng.random() < 0.6
        node.disk.kill() if killed else node.disk.lose_power()
        found = recover(node.disk.files)
        check_a_prefix(node, found)
        if killed or written > started_at:
            assert found.state.journal.head >= written


@pytest.mark.parametrize("loses_syncs", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_without_power_and_without_syncs_it_finds_a_prefix(seed, loses_syncs):
    node = Node(seed)
    node.start()
    node.disk.loses_syncs = loses_syncs
    for _ in range(6):
        node.live(node.rng.randrange(40))
        node.disk.lose_power()
        check_a_prefix(node, recover(node.disk.files))
        node.start()


@pytest.mark.parametrize("seed", range(30))
def test_with_flipped_bits_it_finds_a_prefix_and_says_so(seed):
    node = Node(seed)
    node.start()
    for _ in range(4):
        node.live(node.rng.randrange(40))
        node.disk.kill()
        before = recover(node.disk.files)
        node.disk.flip_a_bit()
        found = recover(node.disk.files)
        check_a_prefix(node, found)
        assert found.damage or found.state.digest() == before.state.digest()
        node.start()


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_crash_while_another_copy_takes_the_place_leaves_one_of_the_two(seed, fsync):
    node = Node(seed, fsync)
    node.start()
    for _ in range(6):
        node.live(node.rng.randrange(30))
        old = node.digests
        node.install_another_copy()
        node.live(node.rng.randrange(30))
        written = node.journal.written_seq
        node.disk.lose_power() if fsync else node.disk.kill()
        found = recover(node.disk.files)
        position = found.state.journal.position
        if position[0] < node.state.journal.epoch:
            assert not written
            assert found.state.digest() == old[position[1]]
            node.digests = old
        else:
            check_a_prefix(node, found)
            assert position[1] >= written
        node.start()


def test_compaction_goes_on_beside_the_journal_and_leaves_two_files():
    node = Node(1)
    node.start()
    node.live(200)
    node.settle()
    assert node.journal.compactions > 3
    assert len(node.disk.files) == 2
    assert node.journal.written_seq == node.state.journal.head


@pytest.mark.parametrize("what", ["a value", "the sum"])
def test_a_snapshot_of_memory_that_was_changed_can_be_loaded(what):
    node = Node(3)
    node.start()
    obj = node.state.shared_object("text/room", "x", "P")
    node.state.set_slot(obj, "k", b"as it was", node.state.next_version(obj))
    if what == "a value":
        obj.slots["k"] = b"flipped"
    else:
        node.state._sum ^= 1
    compactions = node.journal.compactions
    while node.journal.compactions == compactions:
        node.live(5)
        node.tick()
    node.settle()
    node.live(3)
    node.settle()
    assert node.state.digest() == node.state.recompute_digest()
    found = recover(node.disk.files)
    assert found.damage == ()
    assert found.state.digest() == node.state.digest()


def test_a_snapshot_that_is_not_begun_yet_is_not_waited_for_either():
    node = Node(2)
    node.start()
    node.turn()
    node.settle()
    change_something(node.state, node.rng)
    node.journal.begin_anew()
    node.journal.go_on_without()
    assert node.journal.persist_failed
    node.turn()
    node.tick()
    node.settle()
    assert not node.journal.persist_failed
    assert recover(node.disk.files).state.digest() == node.state.digest()


def test_a_snapshot_is_never_cut_within_a_turn():
    node = Node(2)
    node.start()
    node.turn()
    node.settle()
    change_something(node.state, node.rng)
    node.disk.full = True
    node.journal.begin_anew()
    assert not node.journal.copying
    node.turn()
    assert node.journal.copying


@pytest.mark.parametrize("seed", range(20))
def test_a_full_disk_is_said_once_and_a_snapshot_ends_it(seed):
    node = Node(seed)
    node.start()
    node.live(20)
    node.disk.full = True
    node.live(120)
    node.settle()
    assert [type(event) for event in node.events if type(event) is PersistFailed] == [PersistFailed]
    assert node.journal.persist_failed
    written = node.journal.written_seq
    check_a_prefix(node, recover(node.disk.files))
    assert recover(node.disk.files).state.journal.head >= written
    node.disk.full = False
    for _ in range(40):
        node.tick()
        node.settle()
    assert PersistRecovered() in node.events
    assert node.journal.written_seq == node.state.journal.head
    node.live(10)
    node.settle()
    found = recover(node.disk.files)
    assert found.state.digest() == node.state.digest()
    assert found.damage == ()


def test_a_journal_that_fails_while_it_is_compacted_is_not_believed_afterwards():
    """What the old journal lost is in no file until the snapshot is there."""
    node = Node(3)
    node.start()
    node.live(5)
    node.settle()
    written = node.journal.written_seq
    node.turn()  # refused below
    node.journal._copy_wanted = True
    node.turn()  # and here the next journal begins
    lost = [operation for operation in node.journal.operations() if operation.lane == 0]
    node.journal.refused(lost[0], "No space left on device")
    for operation in lost[1:]:
        node.journal.done(operation)
    assert node.journal.persist_failed
    assert node.journal.written_seq == written


def test_a_disk_that_says_nothing_for_two_seconds_has_failed():
    node = Node(4)
    node.start()
    node.settle()
    node.turn()
    node.journal.operations()
    for _ in range(8):
        node.tick()
    assert not node.journal.persist_failed
    node.tick()
    assert node.journal.persist_failed


def test_a_node_that_was_stopped_itself_does_not_blame_the_disk():
    node = Node(5)
    node.start()
    node.settle()
    node.tick()
    node.turn()
    node.journal.operations()
    node.tick(60.0)
    assert not node.journal.persist_failed


def test_a_snapshot_that_takes_long_is_no_failure_while_the_journal_is_written():
    node = Node(6)
    node.start()
    node.live(5)
    node.settle()
    node.journal._copy_wanted = True
    node.turn()
    for _ in range(100):
        for operation in node.journal.operations():
            if operation.lane == 0:
                node.journal.done(operation)
        node.turn()
        node.tick()
    assert node.journal.copying
    assert not node.journal.persist_failed


def test_a_snapshot_that_is_waited_for_may_hang_for_two_seconds():
    """After another copy came there is nothing on the disk without it."""
    node = Node(7)
    node.start()
    node.live(5)
    node.settle()
    node.install_another_copy()
    for _ in range(9):
        for operation in node.journal.operations():
            if operation.lane == 0:
                node.journal.done(operation)
        node.tick()
    assert node.journal.persist_failed


def test_nobody_has_to_wait_for_the_snapshot_of_a_new_copy():
    """A takeover right after a full resync: in memory only, until the snapshot is there."""
    node = Node(9)
    node.start()
    node.live(5)
    node.settle()
    node.journal.go_on_without()
    assert not node.journal.persist_failed  # everything is on the disk
    node.install_another_copy()
    node.journal.go_on_without()
    assert node.journal.persist_failed
    node.turn()
    node.settle()
    assert node.events[-2:] == [PersistRecovered(), Written(node.state.journal.head)]
    assert recover(node.disk.files).state.digest() == node.state.digest()


def test_half_a_snapshot_is_not_what_fills_a_disk():
    node = Node(10)
    node.start()
    node.live(20)
    node.settle()
    node.journal._copy_wanted = True
    node.turn()
    for _ in range(4):
        node.step()
    node.disk.full = True
    node.settle()
    assert node.journal.persist_failed
    node.disk.full = False
    node.settle()
    assert not node.disk.files.get("snapshot.new")


def test_too_much_that_waits_is_a_failure(monkeypatch):
    monkeypatch.setattr("rtmp_sync.storage.disk_journal.MAX_QUEUED_BYTES", 10_000)
    node = Node(8)
    node.start()
    for _ in range(200):
        node.turn()
    assert node.journal.persist_failed
