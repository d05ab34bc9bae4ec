"""JournalFile: this node's copy of the state on its own disk.

`load` at the start, then `begin`; `write` for every batch, the active's own and the ones that
a standby applied. `DiskJournal` says what is written when; two threads write it, so nothing
here waits for the disk but `load`. `on_written` says how far it is. A disk that is full or
hangs ends in `on_failed`, not in a stall; from then on a new snapshot is tried every few
seconds, and `on_recovered` says that one succeeded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.disk_journal import (
    COMPACT_BYTES,
    DiskJournal,
    PersistFailed,
    PersistRecovered,
    Written,
)
from rtmp_sync.storage.disk_lane import DiskLane
from rtmp_sync.storage.journal_format import Damage
from rtmp_sync.storage.operations import Operation
from rtmp_sync.storage.recovery import Recovered, recover

__all__ = ["JournalFile", "LoadReport"]

_TICK_SECONDS: Final = 0.25
STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was found. position: (epoch of the last Change, seq). changes: read from journals.
    damage: what was left out, and why. age_seconds: since this node last lived, by the wall
    clock; None: it never did."""

    position: tuple[int, int]
    changes: int
    damage: tuple[Damage, ...]
    age_seconds: float | None


class JournalFile:
    """mode: "journal" or "fsync" (each write waits for the disk itself), "off": no files."""

    def __init__(
        self, directory: Path, *, mode: str = "journal", compact_bytes: int = COMPACT_BYTES
    ) -> None:
        self.on_written: Callable[[int], None] = lambda seq: None
        self.on_failed: Callable[[str], None] = lambda reason: None
        self.on_recovered: Callable[[], None] = lambda: None
        self._directory = directory
        self._mode = mode
        self._compact_bytes = compact_bytes
        self._recovered: Recovered | None = None
        self._journal: DiskJournal | None = None
        self._lanes: tuple[DiskLane, ...] = ()
        self._ticking: asyncio.TimerHandle | None = None
        self._pumping = False
        self._log = structlog.get_logger("rtmp_sync.journal")

    @property
    def written_seq(self) -> int:
        """Everything up to it is on this disk."""
        return self._journal.written_seq if self._journal is not None else 0

    @property
    def failed(self) -> bool:
        """`persist_failed`."""
        return self._journal is not None and self._journal.persist_failed

    @property
    def compactions(self) -> int:
        """Snapshots that were written."""
        return self._journal.compactions if self._journal is not None else 0

    def load(self, state: ReplicatedState, *, reconnect_grace: float = 30.0) -> LoadReport:
        """Fill an empty state with what the last process left; blocks for as long as it takes.

        A copy older than `reconnect_grace` seconds loses its temporary part if this node is
        promoted from it (`ReplicatedState.temporary_stale`). Raises OSError when the disk does
        not let a file be read, UnknownFormat when another version of this software wrote one.
        """
        if self._mode == "off":
            return LoadReport(state.journal.position, 0, (), None)
        files = _Files(self._directory)
        found = self._recovered = recover(files, state)
        age = files.age([*found.journals, *found.stale, *found.aside])
        if age is not None:
            state.temporary_stale = age > reconnect_grace
            state.slept(age)
        report = LoadReport(state.journal.position, found.changes, found.damage, age)
        for damage in report.damage:
            self._log.error("journal_damaged", damage=str(damage))
        self._log.info("journal_loaded", position=report.position, changes=found.changes, age=age)
        return report

    def begin(self) -> None:
        """Start to write, on a running loop, after what `load` found."""
        if self._recovered is None:
            return  # mode "off"
        self._lanes = (
            DiskLane("journal", self._directory, self._settled, keep_alive=True),
            DiskLane("snapshot", self._directory, self._settled, keep_alive=False),
        )
        fsync = self._mode == "fsync"
        self._journal = DiskJournal(self._recovered, fsync=fsync, compact_bytes=self._compact_bytes)
        self._journal.begin()
        self._tick()

    def write(self, batch: Batch) -> None:
        """Queue a batch; `on_written` follows."""
        if self._journal is not None:
            self._journal.write(batch)
            self._pump()

    def begin_anew(self) -> None:
        """Another copy took the state's place: what is on the disk is void."""
        if self._journal is not None:
            self._journal.begin_anew()
            self._pump()

    def go_on_without(self) -> None:
        """Do not wait for the snapshot of a new copy: `failed`, until it is there."""
        if self._journal is not None:
            self._journal.go_on_without()
            self._pump()

    async def stop(self) -> bool:
        """Write what is queued, if the disk takes it within two seconds; whether it did. If not,
        something may still come to it while this process lasts."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._journal is not None:
            self._journal.stop()
        ended = await asyncio.gather(*(lane.stop(STOP_SECONDS) for lane in self._lanes))
        self._lanes = ()
        self._journal = None
        return all(ended)

    # Inside

    def _settled(self, operations: Sequence[Operation], error: str) -> None:
        journal = self._journal
        if journal is None:
            return
        for operation in operations:
            if error:
                journal.refused(operation, error)
            else:
                journal.done(operation)
        self._pump()

    def _tick(self) -> None:
        assert self._journal is not None  # until `stop`, which ends this
        loop = asyncio.get_running_loop()
        self._ticking = loop.call_later(_TICK_SECONDS, self._tick)
        self._journal.tick(time.monotonic())
        self._pump()

    def _pump(self) -> None:
        """Bring to the threads what there is for them, and to the others what happened."""
        journal = self._journal
        assert journal is not None
        for operation in journal.operations():
            self._lanes[operation.lane].put(operation)
        if journal.wants_more and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump_more)
        for event in journal.events():
            match event:
                case Written(seq):
                    self.on_written(seq)
                case PersistFailed(reason):
                    self._log.error("persist_failed", reason=reason)
                    self.on_failed(reason)
                case PersistRecovered():
                    self._log.info("persist_recovered")
                    self.on_recovered()

    def _pump_more(self) -> None:
        self._pumping = False
        if self._journal is not None:
            self._pump()


class _Files(Mapping[str, bytes]):
    """The files of a directory, each read when it is looked at."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names = {path.name for path in directory.iterdir() if path.is_file()}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return (self._directory / name).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def age(self, names: Sequence[str]) -> float | None:
        """Seconds since one of these files was written, or its writer said that it lives."""
        times = [(self._directory / name).stat().st_mtime for name in names]
        return max(0.0, time.time() - max(times)) if times else None
