"""Over random histories: whatever a backlog or a snapshot gives, it is the active's state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_sync.state.change import SLOT_SET, Change
from rtmp_sync.state.journal import Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from tests.support.changes import change_something

TURN = st.lists(st.integers(0, 40), max_size=6)  # the bytes of each value
STEP = st.one_of(TURN, st.just("promotion"), st.just("drop"))


class ModelJournal:
    """Every Change that was ever made, and which turns a backlog still holds."""

    def __init__(self, max_bytes: int, max_changes: int) -> None:
        self.max_bytes, self.max_changes = max_bytes, max_changes
        self.changes: list[Change] = []
        self.turns: list[tuple[int, int]] = []  # (first seq, bytes) of what is kept
        self.ids = ["h0"]
        self.ends: dict[str, int] = {}

    def turn(self, made: list[Change], size: int) -> None:
        self.turns.append((len(self.changes) + 1, size + 32))
        self.changes += made
        while self.turns and (
            sum(cost for _, cost in self.turns) > self.max_bytes
            or len(self.changes) - self.turns[0][0] + 1 > self.max_changes
        ):
            del self.turns[0]

    def since(self, history_id: str, seq: int) -> list[Change] | None:
        start = self.turns[0][0] - 1 if self.turns else len(self.changes)
        if history_id == self.ids[-1]:
            end = len(self.changes)
        elif history_id in self.ids[-2:]:
            end = self.ends[history_id]
        else:
            return None
        return self.changes[seq:] if start <= seq <= end else None


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25), st.integers(0, 900), st.integers(0, 40))
def test_a_journal_continues_exactly_what_its_bounds_say(steps, max_bytes, max_changes):
    journal = Journal(max_bytes=max_bytes, max_changes=max_changes)
    journal.history_id = "h0"
    model = ModelJournal(max_bytes, max_changes)
    number = 0
    for step in steps:
        if step == "drop":
            journal.drop_backlog()
            model.turns.clear()
            continue
        made = []
        if step == "promotion":
            model.ends[model.ids[-1]] = len(model.changes)
            model.ids.append(f"h{len(model.ids)}")
            made = [Change(SLOT_SET, "", model.ids[-1], "", b"", len(model.ids))]
            journal.append(made[0])
            journal.start_epoch(len(model.ids), model.ids[-1])
        for size in step if isinstance(step, list) else ():
            number += 1
            made.append(Change(SLOT_SET, "s", "T:o", str(number), bytes(size), number))
            journal.append(made[-1])
        batch = journal.take_batch()
        assert (batch is not None) == bool(made)
        if batch is not None:
            model.turn(made, len(batch.data))
    for history_id in [*model.ids, "", "other"]:
        for seq in range(len(model.changes) + 2):
            found = journal.since(history_id, seq)
            expected = model.since(history_id, seq)
            assert (found is None) == (expected is None), (history_id, seq)
            if found is not None:
                assert [one for batch in found for one in batch.changes()] == expected
                assert [batch.first_seq for batch in found][:1] == [seq + 1][: len(found)]


@pytest.mark.parametrize("seed", range(60))
def test_a_standby_at_any_seq_ends_up_the_same_by_part_or_by_copy(seed):
    rng = random.Random(seed)
    bounds = {"max_bytes": rng.choice([0, 2000, 1 << 24]), "max_changes": rng.choice([30, 200_000])}
    active, standby = ReplicatedState(Journal(**bounds)), ReplicatedState(Journal(**bounds))
    active.start_epoch(1, "boot", "h1", lossy=False)
    epoch = 1
    for _ in range(rng.randrange(5, 120)):
        for _ in range(rng.randrange(5)):
            change_something(active, rng)
        if rng.random() < 0.05:
            epoch += 1
            active.start_epoch(epoch, "boot", f"h{epoch}", lossy=rng.random() < 0.5)
        active.journal.take_batch()
        if rng.random() < 0.2:
            resync(active, standby, rng)
    resync(active, standby, rng)
    assert standby.journal.position == active.journal.position
    assert standby.journal.previous == active.journal.previous
    assert standby.digest() == active.digest() == standby.recompute_digest()


def resync(active: ReplicatedState, standby: ReplicatedState, rng: random.Random) -> None:
    """As the link does it; a copy is cut within a turn, and writing goes on meanwhile."""
    mine = standby.journal
    if active.journal.since(mine.history_id, mine.head) is None:
        if rng.random() < 0.5:
            change_something(active, rng)
        snapshot = active.snapshot()
        loader = SnapshotLoader(snapshot.header, journal=Journal())
        for chunk in snapshot.chunks():
            loader.feed(chunk)
            change_something(active, rng)
        snapshot.close()
        standby.install(loader.finish(snapshot.digest))
        batch = active.journal.take_batch()  # begun before the cut, perhaps
        rest = batch.after(mine.head) if batch is not None else None
        if rest is not None and rest.count:
            standby.apply_batch(rest.first_seq, rest.data)
    for batch in active.journal.since(mine.history_id, mine.head) or []:
        standby.apply_batch(batch.first_seq, batch.data)
