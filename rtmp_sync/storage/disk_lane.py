"""One thread that does a lane's operations, so that no disk can stop the loop.

What happened to an operation is told on the loop, in their order. Neighbouring appends
become one write, and one flush: that is the group commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rtmp_sync.storage.operations import (
    Append,
    Create,
    Delete,
    Operation,
    Replace,
    Sync,
    SyncDirectory,
)

__all__ = ["DiskLane"]

ALIVE_SECONDS: Final = 2.0  # how often an idle file's time is set: "this node still lives"
# In one write: a slow disk that gets forward must be seen to do so.
GROUP_BYTES: Final = 1024 * 1024


class DiskLane:
    """settled(operations, error): they were done, if error is "", or refused."""

    def __init__(
        self,
        name: str,
        directory: Path,
        settled: Callable[[Sequence[Operation], str], None],
        *,
        keep_alive: bool,
    ) -> None:
        self._directory = directory
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Operation] = []
        self._wanted = threading.Condition()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._alive_seconds = ALIVE_SECONDS if keep_alive else None
        self._name = ""  # of the open file
        self._fd = -1
        self._broken = ""  # why nothing is done until the next file is begun
        # A daemon: a disk that hangs for ever must not keep the process.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    # On the loop

    def put(self, operation: Operation) -> None:
        """To be done after those before it."""
        with self._wanted:
            self._waiting.append(operation)
            self._wanted.notify()

    async def stop(self, seconds: float) -> bool:
        """Finish what waits; whether it did within that time."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        return self._stopped.is_set()

    # In the thread

    def _run(self) -> None:
        while operations := self._next_operations():
            for group in _groups(operations):
                self._attempt(group)
        with contextlib.suppress(OSError):  # everything in it was settled
            self._close()
        self._tell(self._stopped.set)

    def _next_operations(self) -> list[Operation]:
        """Wait for some; none: the end."""
        while True:
            with self._wanted:
                if not self._waiting and not self._stopping:
                    self._wanted.wait(self._alive_seconds)
                if self._waiting or self._stopping:
                    operations, self._waiting = self._waiting, []
                    return operations
            self._say_alive()  # without the lock: the loop waits for that

    def _say_alive(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # a disk that fails is noticed in writing
                os.utime(self._fd)

    def _attempt(self, operations: Sequence[Operation]) -> None:
        if type(operations[0]) is Create:
            self._broken = ""
        if not self._broken:
            try:
                self._do(operations)
            except OSError as error:
                self._broken = str(error)
        # one word to the loop per write: it is half of what a small write costs
        self._tell(functools.partial(self._settled, operations, self._broken))

    def _do(self, operations: Sequence[Operation]) -> None:
        match operations[0]:
            case Append(durable=durable):
                self._write(operations)
                if durable:
                    os.fdatasync(self._fd)
            case Create(name=name):
                self._close()
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
                self._fd = os.open(self._directory / name, flags, 0o600)
                self._name = name
            case Sync(name=self._name):
                os.fdatasync(self._fd)
            case Sync(name=name):
                with contextlib.suppress(FileNotFoundError):
                    _sync(self._directory / name, os.O_RDONLY)
            case SyncDirectory():
                _sync(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            case Replace(name=name, to=to):
                os.replace(self._directory / name, self._directory / to)
            case Delete(names=names):
                for name in names:
                    (self._directory / name).unlink(missing_ok=True)

    def _write(self, operations: Sequence[Operation]) -> None:
        parts = [operation.data for operation in operations if type(operation) is Append]
        view = memoryview(b"".join(parts))
        while view:
            view = view[os.write(self._fd, view) :]

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd, self._name = self._fd, -1, ""
            os.close(fd)

    def _tell(self, callback: Callable[[], None]) -> None:
        # a loop that is closed has nobody to tell
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)


def _groups(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Neighbouring appends together, everything else alone."""
    group: list[Operation] = []
    size = 0
    for operation in operations:
        if type(operation) is Append and size < GROUP_BYTES:
            group.append(operation)
            size += len(operation.data)
            continue
        if group:
            yield group
        group, size = [operation], 0
        if type(operation) is Append:
            size = len(operation.data)
        else:
            yield group
            group = []
    if group:
        yield group


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
