"""A process and its disk: the real `DiskJournal`, driven as `server.persistence` drives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.disk_journal import DiskJournal, PersistFailed, PersistRecovered, Written
from rtmp_sync.storage.operations import JOURNAL_LANE, SNAPSHOT_LANE, Operation
from rtmp_sync.storage.recovery import recover
from tests.simulation.disk import DiskLane
from tests.simulation.errands import Wait

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = ["Storing"]

COMPACT_BYTES = 4000
TICK_SECONDS = 0.5
COPY_SECONDS = 0.5  # a takeover waits no longer for the snapshot of a new copy
PIECE_SECONDS = 0.002  # between the pieces of a snapshot


class Storing:
    """Reads what is on the disk into `state` when it is made. Nothing of it exists in mode
    "off"."""

    def __init__(self, process: Process, state: ReplicatedState, *, fsync: bool) -> None:
        node = process.node
        self._process = process
        found = recover(node.disk.files(), state)
        self.journal = DiskJournal(found, fsync=fsync, compact_bytes=COMPACT_BYTES)
        self._lanes = [
            DiskLane(node.disk, process.after, node.disk_delay, self._settled)
            for _ in (JOURNAL_LANE, SNAPSHOT_LANE)
        ]
        self._going_on = False
        self._waits: list[tuple[int, Callable[[Any], None]]] = []

    def begin(self) -> None:
        self.journal.begin()
        self._drive()
        self._tick()

    def write(self, batch: Batch) -> None:
        self.journal.write(batch)
        self._drive()

    def begin_anew(self) -> None:
        """Another copy took the state's place."""
        self.journal.begin_anew()
        self._drive()

    async def written(self, seq: int) -> None:
        """Everything up to `seq` is on the disk, or the disk has failed."""
        journal = self.journal
        if not journal.persist_failed and journal.written_seq < seq:
            self._process.after(COPY_SECONDS, self._go_on_without)
            await Wait(lambda resume, _: self._waits.append((seq, resume)))

    def tear(self) -> None:
        """The process dies: what it was just writing is there in part."""
        node = self._process.node
        for lane in self._lanes:
            if lane.under_way is not None and node.chance.random() < 0.3:
                node.disk.tear(lane.under_way)

    def _go_on_without(self) -> None:
        if self._waits:
            self.journal.go_on_without()
            self._drive()

    def _drive(self) -> None:
        journal, commit = self.journal, self._process.commit
        for operation in journal.operations():
            self._lanes[operation.lane].add(operation)
        for event in journal.events():
            match event:
                case Written():
                    commit.disk_written(event.seq)
                case PersistFailed():
                    self._process.world.count("persist_failed")
                    commit.set_require_disk(False)
                case PersistRecovered():
                    commit.set_require_disk(True)
        if self._waits:
            self._wake()
        if journal.wants_more and not self._going_on:
            self._going_on = True
            self._process.after(PIECE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._going_on = False
        self._drive()

    def _settled(self, operation: Operation, refusal: str) -> None:
        if refusal:
            self.journal.refused(operation, refusal)
        else:
            self.journal.done(operation)
        self._drive()

    def _tick(self) -> None:
        self.journal.tick(self._process.clock)
        self._drive()
        self._process.after(TICK_SECONDS, self._tick)

    def _wake(self) -> None:
        waits, self._waits = self._waits, []
        for seq, resume in waits:
            if self.journal.persist_failed or self.journal.written_seq >= seq:
                resume(None)
            else:
                self._waits.append((seq, resume))
