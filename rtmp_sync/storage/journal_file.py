"""JournalFile: this node's copy of the state on its own disk.

`load` at the start, then `begin`; `write` for every batch, the active's own and the ones that
a standby applied. When enough was written, the journal is compacted into a snapshot while
writing goes on. Nothing here waits for the disk but `load`: a thread writes, `on_written`
says how far it is, and a disk that is full or hangs ends in `on_failed`, not in a stall. From
then on a new snapshot is tried every few seconds; `on_recovered` says that one succeeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import Snapshot
from rtmp_sync.storage.journal_format import (
    SNAPSHOT,
    DamagedFile,
    JournalHead,
    batch_record,
    generations,
    head_record,
    journal_path,
    read_journal,
    read_snapshot,
    record,
    replay,
    snapshot_head_record,
)
from rtmp_sync.storage.journal_writer import JournalWriter

__all__ = ["JournalFile", "LoadReport"]

COMPACT_BYTES: Final = 64 * 1024 * 1024  # of journal; a second or two of replay at the next start
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024  # beyond, the disk is too slow to be waited for
HUNG_SECONDS: Final = 2.0  # a write that takes longer is not waited for either
RETRY_SECONDS: Final = 5.0
_MAX_GENERATIONS: Final = 8  # journals that a start may find before it compacts them
_SNAPSHOT_AHEAD_BYTES: Final = 4 * 1024 * 1024  # of a snapshot, queued for the thread
_WATCH_SECONDS: Final = 0.25
_STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was found. position: (epoch of the last Change, seq). changes: read from journals.
    damage: what was cut off, and why. age_seconds: since this node last lived, by the wall
    clock; None: it never did."""

    position: tuple[int, int]
    changes: int
    damage: tuple[str, ...]
    age_seconds: float | None


class JournalFile:
    """mode: "journal" or "fsync" (each write waits for the disk itself), "off": no files."""

    def __init__(
        self, directory: Path, *, mode: str = "journal", compact_bytes: int = COMPACT_BYTES
    ) -> None:
        self.on_written: Callable[[int], None] = lambda seq: None
        self.on_failed: Callable[[Exception], None] = lambda error: None
        self.on_recovered: Callable[[], None] = lambda: None
        self.written_seq = 0
        self.failed = False  # `persist_failed`
        self.compactions = 0
        self._directory = directory
        self._mode = mode
        self._compact_bytes = compact_bytes
        self._state: ReplicatedState
        self._writer: JournalWriter | None = None
        self._generation = 0
        self._valid_from = 0  # what older ones report as written is void
        self._crowded = False  # so many journals, or damaged ones, that a copy is better
        self._begun_at = 0  # the seq that the current journal goes on from
        self._bytes = 0  # in it
        self._appended = 0  # the last seq that the thread has written
        self._anew = False  # the current journal counts only once its snapshot is there
        self._copying: asyncio.Task[None] | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._retry_at = 0.0
        self._log = structlog.get_logger("rtmp_sync.journal")

    def load(self, state: ReplicatedState, *, reconnect_grace: float = 30.0) -> LoadReport:
        """Fill an empty state with what the last process left; blocks for as long as it takes.

        A copy older than `reconnect_grace` seconds loses its temporary part if this node is
        promoted from it (`ReplicatedState.temporary_stale`).
        """
        if self._mode == "off":
            return LoadReport(state.journal.position, 0, (), None)
        damage: list[str] = []
        snapshot = self._directory / SNAPSHOT
        first = 0
        try:
            if snapshot.exists():
                first, copy = read_snapshot(snapshot)
                state.install(copy)
        except DamagedFile as error:
            damage.append(str(error))
        cut_seq = state.journal.head
        known = generations(self._directory)
        self._generation = max([first, *known])
        for generation in known:
            if generation >= first:
                _replay(state, journal_path(self._directory, generation), damage)
        self._crowded = bool(damage) or len(known) > _MAX_GENERATIONS
        age = self._age()
        state.temporary_stale = age is not None and age > reconnect_grace
        changes = state.journal.head - cut_seq
        report = LoadReport(state.journal.position, changes, tuple(damage), age)
        for text in damage:
            self._log.error("journal_damaged", damage=text)
        self._log.info("journal_loaded", position=report.position, changes=changes, age=age)
        return report

    def begin(self, state: ReplicatedState) -> None:
        """Start to write, on a running loop, after what `load` found."""
        self._state = state
        if self._mode == "off":
            return
        self._writer = JournalWriter(
            fsync=self._mode == "fsync", written=self._on_written, failed=self._on_failed
        )
        self._begin_journal(state.journal.head, state.digest())
        self.written_seq = self._appended = state.journal.head
        if self._crowded:
            self._copy()
        self._watch()

    def write(self, batch: Batch) -> None:
        """Queue a batch; `on_written` follows. Batches that a new copy made void are left out."""
        if self._writer is None or batch.last_seq <= self._begun_at:
            return
        if self.failed and self._copying is None:
            return  # the next copy will hold it
        data = batch_record(batch.after(self._begun_at))
        if self._writer.queued_bytes + len(data) > MAX_QUEUED_BYTES:
            self._on_failed(OSError("the disk does not keep up: too much waits"))
            return
        self._bytes += len(data)
        self._writer.append(data, batch.last_seq, self._generation)
        if self._bytes > self._compact_bytes and self._copying is None and not self.failed:
            self._copy()

    def begin_anew(self) -> None:
        """Another copy took the state's place: what is on the disk is void."""
        if self._writer is not None:
            self._anew = True
            self.written_seq = self._appended = 0
            self._copy()
            self._valid_from = self._generation

    async def stop(self) -> None:
        """Write what is queued, if the disk takes it within two seconds."""
        if self._watching is not None:
            self._watching.cancel()
        await self._end_copy()
        if self._writer is not None:
            await self._writer.stop(_STOP_SECONDS)
            self._writer = None

    async def copied(self) -> None:
        """Return when no snapshot is being written."""
        if self._copying is not None:
            await asyncio.shield(self._copying)

    # Inside

    def _begin_journal(self, base_seq: int, base_digest: bytes) -> None:
        assert self._writer is not None
        self._generation += 1
        self._begun_at = base_seq
        self._bytes = 0
        head = head_record(JournalHead(self._generation, base_seq, base_digest))
        self._writer.begin(journal_path(self._directory, self._generation), head)

    def _copy(self) -> None:
        """Cut a snapshot now, go on in a new journal behind it, write it bit by bit."""
        if self._copying is not None:
            self._copying.cancel()
        snapshot = self._state.snapshot()
        header = snapshot.header
        self._begin_journal(header.cut_seq, header.digest)
        self._copying = asyncio.get_running_loop().create_task(self._write_copy(snapshot))
        self._copying.add_done_callback(lambda _: snapshot.close())

    async def _write_copy(self, snapshot: Snapshot) -> None:
        writer = self._writer
        assert writer is not None
        generation = self._generation
        temporary = self._directory / f"{SNAPSHOT}.new"
        writer.begin_snapshot(temporary)
        writer.add_to_snapshot(snapshot_head_record(generation, snapshot.header))
        for chunk in snapshot.chunks():
            writer.add_to_snapshot(record(chunk))
            await asyncio.sleep(0)
            await writer.room(_SNAPSHOT_AHEAD_BYTES)
        writer.add_to_snapshot(record(b""))
        written = asyncio.Event()
        writer.finish_snapshot(temporary, self._directory / SNAPSHOT, generation, written.set)
        await written.wait()
        self._on_copied(snapshot.header.cut_seq)

    def _on_copied(self, cut_seq: int) -> None:
        self._copying = None
        self.compactions += 1
        self._anew = False
        if self.failed:
            self.failed = False
            self._log.info("persist_recovered")
            self.on_recovered()
        self._publish(max(cut_seq, self._appended))

    def _on_written(self, seq: int, generation: int) -> None:
        if generation < self._valid_from:
            return
        self._appended = seq
        if not self._anew:
            self._publish(seq)

    def _publish(self, seq: int) -> None:
        if seq > self.written_seq:
            self.written_seq = seq
            self.on_written(seq)

    def _on_failed(self, error: Exception) -> None:
        """Serving goes on without this disk; a whole new copy is tried later."""
        self._anew = True
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._copying is not None:
            self._copying.cancel()
            self._copying = None
        if not self.failed:
            self.failed = True
            self._log.error("persist_failed", reason=str(error))
            self.on_failed(error)

    def _watch(self) -> None:
        """A disk that hangs says nothing: look at how long it has been silent."""
        self._watching = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)
        at = time.monotonic()
        waits_since = self._writer.waits_since if self._writer is not None else None
        given_up = self.failed and self._copying is None
        if waits_since is not None and not given_up and at - waits_since > HUNG_SECONDS:
            self._on_failed(OSError(f"a write takes longer than {HUNG_SECONDS:g} s"))
        elif self._may_retry and at >= self._retry_at:
            self._retry_at = at + RETRY_SECONDS
            self._copy()

    @property
    def _may_retry(self) -> bool:
        """Whether a new copy has a chance: the thread has come back from whatever held it."""
        writer = self._writer
        idle = writer is not None and self._copying is None and writer.queued_bytes == 0
        return self.failed and idle

    async def _end_copy(self) -> None:
        if self._copying is not None:
            self._copying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._copying

    def _age(self) -> float | None:
        """Seconds since this node last wrote, or said that it lives."""
        times = [
            journal_path(self._directory, generation).stat().st_mtime
            for generation in generations(self._directory)
        ]
        return max(0.0, time.time() - max(times)) if times else None


def _replay(state: ReplicatedState, path: Path, damage: list[str]) -> None:
    """Apply the batches of one journal, if it goes on from this very state."""
    try:
        head, data, offset = read_journal(path)
        if head.base_seq == state.journal.head and head.base_digest == state.digest():
            replay(state, path, data, offset)
    except DamagedFile as error:
        damage.append(str(error))
