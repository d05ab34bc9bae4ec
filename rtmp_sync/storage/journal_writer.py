"""The one thread that writes a node's journal, so that no disk can stop the loop.

Jobs are done in their order; neighbouring appends become one write. A job that fails breaks
the journal: appends are dropped until `begin` opens a new file, since one with a gap is
worth nothing. What happened is told on the loop, through the callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rtmp_sync.storage.journal_format import generations, journal_path

__all__ = ["JournalWriter"]

ALIVE_SECONDS: Final = 2.0  # how often an idle journal's time is set: "this node still lives"

_Job = Callable[[], None]


class _Append(NamedTuple):
    data: bytes
    seq: int
    generation: int


class JournalWriter:
    """written(seq, generation): everything up to seq of it is written. failed(error): the
    journal is broken, or still is."""

    def __init__(
        self,
        *,
        fsync: bool,
        written: Callable[[int, int], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.queued_bytes = 0  # of appends and snapshots that wait for the thread
        # The last word of the thread, or when these bytes came (time.monotonic); None: no bytes
        self.waits_since: float | None = None
        self._fsync = fsync
        self._written = written
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._jobs: list[Any] = []  # _Append or _Job
        self._wanted = threading.Condition()
        self._stopping = False
        self._room = asyncio.Event()
        self._done = asyncio.Event()
        self._fd = -1
        self._snapshot_fd = -1
        self._broken = False
        # A daemon: a disk that hangs for ever must not keep the process.
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # On the loop

    def append(self, data: bytes, seq: int, generation: int) -> None:
        """Add to the journal; `written` follows."""
        self._queue(len(data))
        self._put(_Append(data, seq, generation))

    def begin(self, path: Path, head: bytes) -> None:
        """Go on in a new journal file."""
        self._put(lambda: self._begin(path, head))

    def begin_snapshot(self, path: Path) -> None:
        """Begin a snapshot in a file that is not in its place yet."""
        self._put(lambda: self._begin_snapshot(path))

    def add_to_snapshot(self, data: bytes) -> None:
        self._queue(len(data))
        self._put(lambda: self._add_to_snapshot(data))

    def finish_snapshot(
        self, temporary: Path, path: Path, generation: int, done: Callable[[], None]
    ) -> None:
        """Put the snapshot in its place, then drop the journals of older generations."""
        self._put(lambda: self._finish_snapshot(temporary, path, generation, done))

    async def stop(self, seconds: float) -> None:
        """Finish what is queued; give up after some seconds."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()

    def _put(self, job: _Append | _Job) -> None:
        with self._wanted:
            self._jobs.append(job)
            self._wanted.notify()

    async def room(self, below_bytes: int) -> None:
        """Return when less than that waits for the thread."""
        while self.queued_bytes > below_bytes:
            self._room.clear()
            await self._room.wait()

    def _queue(self, size: int) -> None:
        if self.waits_since is None:
            self.waits_since = time.monotonic()
        self.queued_bytes += size

    def _taken(self, size: int) -> None:
        self.queued_bytes -= size
        self.waits_since = time.monotonic() if self.queued_bytes else None
        self._room.set()

    def _appended(self, size: int, last: _Append | None) -> None:
        self._taken(size)
        if last is not None:
            self._written(last.seq, last.generation)

    # In the thread

    def _run(self) -> None:
        while jobs := self._next_jobs():
            for appends, group in itertools.groupby(jobs, lambda job: isinstance(job, _Append)):
                if appends:
                    self._attempt(functools.partial(self._append, list(group)))
                else:
                    for job in group:
                        self._attempt(job)
        for fd in (self._fd, self._snapshot_fd):
            if fd >= 0:
                os.close(fd)
        self._tell(self._done.set)

    def _next_jobs(self) -> list[Any]:
        """Wait for jobs; none: the end."""
        with self._wanted:
            while not self._jobs and not self._stopping:
                if not self._wanted.wait(ALIVE_SECONDS):
                    self._attempt(self._touch)
            jobs, self._jobs = self._jobs, []
        return jobs

    def _attempt(self, job: _Job) -> None:
        try:
            job()
        except OSError as error:
            self._broken = True
            self._tell(self._failed, error)

    def _append(self, parts: Sequence[_Append]) -> None:
        data = b"".join([part.data for part in parts])
        written = None
        try:
            if not self._broken and self._fd >= 0:
                _write(self._fd, data)
                if self._fsync:
                    os.fdatasync(self._fd)
                written = parts[-1]
        finally:  # one word to the loop per write: it is half of what a small write costs
            self._tell(self._appended, len(data), written)

    def _begin(self, path: Path, head: bytes) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        _write(self._fd, head)
        self._broken = False

    def _begin_snapshot(self, path: Path) -> None:
        if self._snapshot_fd >= 0:
            os.close(self._snapshot_fd)
            self._snapshot_fd = -1
        self._snapshot_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def _add_to_snapshot(self, data: bytes) -> None:
        try:
            if not self._broken:
                _write(self._snapshot_fd, data)
        finally:
            self._tell(self._taken, len(data))

    def _finish_snapshot(
        self, temporary: Path, path: Path, generation: int, done: Callable[[], None]
    ) -> None:
        if self._broken:
            return
        os.fsync(self._snapshot_fd)
        os.close(self._snapshot_fd)
        self._snapshot_fd = -1
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        for older in generations(path.parent):
            if older < generation:
                journal_path(path.parent, older).unlink(missing_ok=True)
        self._tell(done)

    def _touch(self) -> None:
        if self._fd >= 0:
            os.utime(self._fd)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # a loop that is closed has nobody to tell
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
