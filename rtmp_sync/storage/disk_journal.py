"""DiskJournal: what is written to a node's disk, and when. No files and no clock in here.

Every batch is appended to the current journal. When that has grown long, or can't be trusted,
a snapshot is cut and a new journal, the next generation, goes on behind it; the snapshot is
written beside in its own lane, put in its place when it is on the disk whole, and only then
do the older journals go. A crash between any two steps leaves files that `recover` makes the
state after some batch of, up to everything that `written_seq` reported.

Drive it with `begin`, `write`, `begin_anew` and `tick`, bring `operations()` to the disk in
the order of their lanes, tell `done` or `refused` for each, and take `events()` afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rtmp_sync.state.journal import Batch
from rtmp_sync.state.snapshot import Snapshot
from rtmp_sync.storage.journal_format import (
    SNAPSHOT,
    SNAPSHOT_UNFINISHED,
    JournalHead,
    aside,
    batch_record,
    head_record,
    journal_name,
    record,
    snapshot_head_record,
)
from rtmp_sync.storage.operations import (
    JOURNAL_LANE,
    SNAPSHOT_LANE,
    Append,
    Create,
    Delete,
    Operation,
    Replace,
    Sync,
    SyncDirectory,
)
from rtmp_sync.storage.recovery import Recovered
from rtmp_sync.wire.records import MAX_DISK_RECORD_BYTES

__all__ = ["DiskJournal", "Event", "PersistFailed", "PersistRecovered", "Written"]

COMPACT_BYTES: Final = 64 * 1024 * 1024  # of journal; a second or two of replay at the next start
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024  # beyond, the disk is too slow to be waited for
HUNG_SECONDS: Final = 2.0  # a step that takes longer is not waited for either
RETRY_SECONDS: Final = 5.0
SNAPSHOT_AHEAD_BYTES: Final = 4 * 1024 * 1024  # of a snapshot, handed out before the disk has it
MAX_TICK_SECONDS: Final = 0.5
# The disk takes a snapshot in pieces: one big flush would hold up the journal's small ones.
SYNC_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Written:
    """Everything up to `seq` is on this disk."""

    seq: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """Serving goes on without this disk."""

    reason: str


@dataclass(frozen=True, slots=True)
class PersistRecovered:
    """The disk holds the whole state again, and goes on."""


Event = Written | PersistFailed | PersistRecovered


class _Lane:
    """What was handed out and is not settled."""

    __slots__ = ("queued_bytes", "unsettled", "waited_seconds")

    def __init__(self) -> None:
        self.unsettled = 0
        self.queued_bytes = 0
        self.waited_seconds = 0.0  # since the last word of the disk, or since there is something

    def add(self, size: int) -> None:
        self.unsettled += 1
        self.queued_bytes += size

    def settle(self, size: int) -> None:
        self.waited_seconds = 0.0
        self.unsettled -= 1
        self.queued_bytes -= size

    def wait(self, seconds: float) -> None:
        if self.unsettled:
            self.waited_seconds += seconds

    @property
    def hangs(self) -> bool:
        return self.waited_seconds > HUNG_SECONDS


class _Copy:
    """A snapshot that is being written."""

    __slots__ = ("chunks", "generation", "snapshot", "unsynced_bytes")

    def __init__(self, generation: int, snapshot: Snapshot) -> None:
        self.generation = generation
        self.snapshot = snapshot
        self.chunks: Iterator[bytes] | None = snapshot.chunks()  # None: all were handed out
        self.unsynced_bytes = 0


class DiskJournal:
    """fsync: a batch counts as written when the disk itself has it, not the system's memory."""

    def __init__(
        self, recovered: Recovered, *, fsync: bool = False, compact_bytes: int = COMPACT_BYTES
    ) -> None:
        self.written_seq = recovered.state.journal.head
        self.persist_failed = False
        self.compactions = 0
        self._recovered = recovered
        self._state = recovered.state
        self._fsync = fsync
        self._compact_bytes = compact_bytes
        self._generation = recovered.generation
        # Journals that the next snapshot makes superfluous
        self._older = [*recovered.stale, *recovered.journals]
        self._valid_from = 0  # what older generations report as written is void
        self._bytes = 0  # in the current journal
        self._appended = self.written_seq  # the last seq that the journal lane has written
        self._untrusted = False  # the journals count only once a snapshot is there
        self._copy_wanted = recovered.crowded
        self._copy: _Copy | None = None
        self._now: float | None = None  # of the last tick
        self._retry_at = 0.0
        self._lanes = (_Lane(), _Lane())
        self._operations: list[Operation] = []
        self._events: list[Event] = []

    # In

    def begin(self) -> None:
        """Go on, in a new journal, after what was found."""
        found = self._recovered
        generation = self._generation + 1
        # in the snapshot's lane: the next snapshot uses some of these names
        for name in found.aside:
            self._ask(Replace(SNAPSHOT_LANE, generation, name, aside(name)))
        if found.stale:
            self._ask(SyncDirectory(SNAPSHOT_LANE, generation))
            self._ask(Delete(SNAPSHOT_LANE, generation, found.stale))
        if self._fsync:  # the last process may have ended before its writes were on the disk
            for name in found.journals:
                self._ask(Sync(JOURNAL_LANE, generation, name))
        self._begin_journal(self._state.digest())
        self._copy_if_wanted()

    def write(self, batch: Batch) -> None:
        """Append a batch of this turn, or of the active origin; `Written` follows."""
        if not self.persist_failed or self._copy is not None:
            self._append(batch)
        self._copy_if_wanted()

    def begin_anew(self) -> None:
        """Another copy took the state's place: what is on the disk is void."""
        self._untrusted = self._copy_wanted = True
        self._valid_from = self._generation + 1
        self.written_seq = self._appended = 0
        self._end_copy()
        self._copy_if_wanted()

    def go_on_without(self) -> None:
        """Somebody can't wait for the snapshot of a new copy: a failure, until it is there."""
        if self._untrusted and not self.persist_failed:
            self.persist_failed = True
            self._events.append(PersistFailed("the snapshot of a new copy is not written yet"))

    def tick(self, now: float) -> None:
        """Look after a disk that says nothing; a few times a second."""
        # a process that was stopped itself has waited for nothing meanwhile
        seconds = min(now - self._now, MAX_TICK_SECONDS) if self._now is not None else 0.0
        self._now = now
        for lane in self._lanes:
            lane.wait(seconds)
        journal, snapshot = self._lanes
        if self.persist_failed and self._copy is None:
            idle = not journal.unsettled and not snapshot.unsettled
            self._copy_wanted = idle and now >= self._retry_at
        elif journal.hangs or (self._untrusted and snapshot.hangs):
            self._fail(f"a write takes longer than {HUNG_SECONDS:g} s")
        self._copy_if_wanted()

    def done(self, operation: Operation) -> None:
        """The disk did it."""
        self._settle(operation)
        if type(operation) is Append and operation.lane == JOURNAL_LANE:
            self._on_appended(operation)
        elif type(operation) is Delete and self._copy_of(operation) is not None:
            self._on_copied(operation.generation)

    def refused(self, operation: Operation, reason: str) -> None:
        """The disk did not do it, or did not try because of one before."""
        self._settle(operation)
        valid = operation.lane == JOURNAL_LANE and operation.generation >= self._valid_from
        if valid or self._copy_of(operation) is not None:
            self._fail(reason)

    def stop(self) -> None:
        """No snapshot any more; what was handed out is still worth doing."""
        self._end_copy()

    # Out

    @property
    def copying(self) -> bool:
        """Whether a snapshot is being written."""
        return self._copy is not None

    @property
    def wants_more(self) -> bool:
        """Whether `operations` should be called again as soon as others had their turn."""
        copy = self._copy
        room = self._lanes[SNAPSHOT_LANE].queued_bytes < SNAPSHOT_AHEAD_BYTES
        return copy is not None and copy.chunks is not None and room

    def operations(self) -> list[Operation]:
        """What is to be done, drained; at most one chunk of a snapshot a call."""
        if self.wants_more:
            self._go_on_copying()
        operations, self._operations = self._operations, []
        return operations

    def events(self) -> list[Event]:
        """What happened, drained."""
        events, self._events = self._events, []
        return events

    # The journal

    def _begin_journal(self, base_digest: bytes) -> None:
        """The next generation goes on from the state as it is."""
        self._generation += 1
        self._bytes = 0
        base_seq = self._state.journal.head
        lane, generation, name = JOURNAL_LANE, self._generation, journal_name(self._generation)
        head = head_record(JournalHead(generation, base_seq, base_digest))
        self._ask(Create(lane, generation, name))
        if self._fsync:  # before the head: once that is written, so is everything up to it
            self._ask(SyncDirectory(lane, generation))
        self._ask(Append(lane, generation, name, head, self._fsync, base_seq))
        self._older.append(name)

    def _append(self, batch: Batch) -> None:
        data = batch_record(batch)
        waiting = self._lanes[JOURNAL_LANE].queued_bytes + len(data)
        if waiting > MAX_QUEUED_BYTES or len(data) > MAX_DISK_RECORD_BYTES:
            self._fail("the disk does not keep up: too much waits")
            return
        self._bytes += len(data)
        name = journal_name(self._generation)
        append = Append(JOURNAL_LANE, self._generation, name, data, self._fsync, batch.last_seq)
        self._ask(append)
        if self._bytes > self._compact_bytes and self._copy is None:
            self._copy_wanted = True

    def _on_appended(self, operation: Append) -> None:
        if operation.generation < self._valid_from:
            return
        self._appended = operation.seq
        if not self._untrusted:
            self._publish(operation.seq)

    def _publish(self, seq: int) -> None:
        if seq > self.written_seq:
            self.written_seq = seq
            self._events.append(Written(seq))

    def _fail(self, reason: str) -> None:
        """Serving goes on without this disk; a whole new snapshot is tried later."""
        self._untrusted = True
        self._valid_from = self._generation + 1
        self._retry_at = (self._now or 0.0) + RETRY_SECONDS
        self._copy_wanted = False
        if self._copy is not None:
            self._end_copy()
            # emptied: half a snapshot must not be what fills the disk
            self._ask(Create(SNAPSHOT_LANE, self._generation, SNAPSHOT_UNFINISHED))
        if not self.persist_failed:
            self.persist_failed = True
            self._events.append(PersistFailed(reason))

    # The snapshot

    def _copy_if_wanted(self) -> None:
        """Cut a snapshot between two turns, and go on in a new journal behind it."""
        if not self._copy_wanted or self._state.journal.head != self._state.journal.taken:
            return
        self._copy_wanted = False
        snapshot = self._state.snapshot()
        self._begin_journal(snapshot.header.digest)
        copy = self._copy = _Copy(self._generation, snapshot)
        self._ask(Create(SNAPSHOT_LANE, copy.generation, SNAPSHOT_UNFINISHED))
        self._add_to_snapshot(copy, snapshot_head_record(copy.generation, snapshot.header))

    def _go_on_copying(self) -> None:
        copy = self._copy
        assert copy is not None
        assert copy.chunks is not None  # `wants_more`
        chunk = next(copy.chunks, b"")
        if not chunk and self._state.correct(copy.snapshot):
            # Memory had changed behind the digest's back: with that digest it cannot be loaded.
            self._end_copy()
            self._copy_wanted = True
            return
        self._add_to_snapshot(copy, record(chunk))
        lane, generation = SNAPSHOT_LANE, copy.generation
        if chunk and copy.unsynced_bytes < SYNC_BYTES:
            return
        copy.unsynced_bytes = 0
        self._ask(Sync(lane, generation, SNAPSHOT_UNFINISHED))
        if not chunk:  # that empty record is its end
            copy.chunks = None
            older = tuple(name for name in self._older if name < journal_name(generation))
            self._ask(Replace(lane, generation, SNAPSHOT_UNFINISHED, SNAPSHOT))
            self._ask(SyncDirectory(lane, generation))
            self._ask(Delete(lane, generation, older))

    def _add_to_snapshot(self, copy: _Copy, data: bytes) -> None:
        copy.unsynced_bytes += len(data)
        name = SNAPSHOT_UNFINISHED
        self._ask(Append(SNAPSHOT_LANE, copy.generation, name, data, False, 0))

    def _copy_of(self, operation: Operation) -> _Copy | None:
        """The running copy, if this step is one of it."""
        copy = self._copy
        if copy is None or operation.lane != SNAPSHOT_LANE:
            return None
        return copy if copy.generation == operation.generation else None

    def _on_copied(self, generation: int) -> None:
        assert self._copy is not None
        cut_seq = self._copy.snapshot.header.cut_seq
        self._end_copy()
        self._older = [name for name in self._older if name >= journal_name(generation)]
        self.compactions += 1
        self._untrusted = False
        if self.persist_failed:
            self.persist_failed = False
            self._events.append(PersistRecovered())
        self._publish(max(cut_seq, self._appended))

    def _end_copy(self) -> None:
        if self._copy is not None:
            self._copy.snapshot.close()
            self._copy = None

    # Both lanes

    def _ask(self, operation: Operation) -> None:
        self._lanes[operation.lane].add(_size(operation))
        self._operations.append(operation)

    def _settle(self, operation: Operation) -> None:
        self._lanes[operation.lane].settle(_size(operation))


def _size(operation: Operation) -> int:
    return len(operation.data) if type(operation) is Append else 0
