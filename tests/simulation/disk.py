"""A node's disk: files in memory, what of them is on the medium itself, and how it fails.

`DiskJournal` says what is to be done; this does it, lane by lane, and keeps what survives:
the process's death leaves what was written, the host's power loss what was synced, and of the
rest a part.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from rtmp_sync.storage.operations import (
    Append,
    Create,
    Delete,
    Operation,
    Replace,
    Sync,
    SyncDirectory,
)

__all__ = ["Disk", "DiskLane", "File"]


class File:
    __slots__ = ("content", "synced")

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = 0  # bytes on the medium


class Disk:
    """trouble: "" | "full" | "hung". honest: nothing made it break its word since it was last
    recovered. lying: syncs are reported and not done."""

    def __init__(self, chance: random.Random) -> None:
        self.trouble = ""
        self.lying = False
        self.honest = True
        self._chance = chance
        self._names: dict[str, File] = {}
        self._synced_names: dict[str, File] = {}

    def files(self) -> dict[str, bytes]:
        return {name: bytes(file.content) for name, file in self._names.items()}

    def do(self, operation: Operation, file: File) -> File:
        """file: the open one of the lane; the open one afterwards."""
        match operation:
            case Create():
                file = self._names[operation.name] = File()
            case Append():
                file.content += operation.data
                if operation.durable:
                    self._sync(file)
            case Sync() if operation.name in self._names:
                self._sync(self._names[operation.name])
            case Replace() if operation.name in self._names:
                self._names[operation.to] = self._names.pop(operation.name)
            case SyncDirectory():
                if not self.lying:
                    self._synced_names = dict(self._names)
            case Delete():
                for name in operation.names:
                    self._names.pop(name, None)
        return file

    def tear(self, operation: Operation) -> None:
        """The process dies in the middle of a write."""
        if isinstance(operation, Append) and operation.name in self._names:
            cut = self._chance.randrange(len(operation.data) + 1)
            self._names[operation.name].content += operation.data[:cut]

    def lose_power(self) -> None:
        """What was not synced is there in part."""
        chance = self._chance
        if self.lying:
            self.honest = False
        if chance.random() < 0.5:
            self._names = dict(self._synced_names)
        for file in self._names.values():
            del file.content[chance.randint(file.synced, len(file.content)) :]
        self._synced_names = dict(self._names)

    def flip(self) -> None:
        files = [file for file in self._names.values() if file.content]
        if files:
            content = self._chance.choice(files).content
            content[self._chance.randrange(len(content))] ^= 1 << self._chance.randrange(8)
            self.honest = False

    def wipe(self) -> None:
        self._names.clear()
        self._synced_names.clear()
        self.honest = False

    def _sync(self, file: File) -> None:
        if not self.lying:
            file.synced = len(file.content)


class DiskLane:
    """Does the operations of one lane in their order, each in some time; after one that failed
    none until the next `Create`. after: runs something later while the process lives."""

    def __init__(
        self,
        disk: Disk,
        after: Callable[..., None],
        delay: Callable[[], float],
        settled: Callable[[Operation, str], None],
    ) -> None:
        self._disk = disk
        self._after = after
        self._delay = delay
        self._settled = settled
        self._queue: deque[Operation] = deque()
        self._open = File()
        self._broken = False
        self._busy = False

    def add(self, operation: Operation) -> None:
        self._queue.append(operation)
        if not self._busy:
            self._busy = True
            self._after(self._delay(), self._next)

    @property
    def under_way(self) -> Operation | None:
        return self._queue[0] if self._queue else None

    def _next(self) -> None:
        if self._disk.trouble == "hung":
            self._after(0.05, self._next)
            return
        operation = self._queue.popleft()
        refusal = ""
        if isinstance(operation, Create):
            self._broken = False
        if self._disk.trouble == "full" and isinstance(operation, (Create, Append)):
            self._broken = True
        if self._broken:
            refusal = "no space left"
        else:
            self._open = self._disk.do(operation, self._open)
        self._busy = bool(self._queue)
        if self._busy:
            self._after(self._delay(), self._next)
        self._settled(operation, refusal)
