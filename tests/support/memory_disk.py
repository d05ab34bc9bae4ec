"""A disk in memory, with what a real one may do to a process that dies, or loses its power.

Contents and names are apart, as in a real file system: a write is in the system's memory
until its file is synced, a new name, a rename or a deletion until its directory is.
"""

from __future__ import annotations

import random
from collections import deque

from rtmp_sync.storage.operations import (
    Append,
    Create,
    Delete,
    Operation,
    Replace,
    Sync,
    SyncDirectory,
)


class _Content:
    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0  # bytes of it that survive a loss of power


class MemoryDisk:
    """`put` operations, `step` does one of them; `files` is what a new process would read."""

    def __init__(self, rng: random.Random) -> None:
        self.full = False
        self.loses_syncs = False  # says that it synced, and did not
        self._rng = rng
        self._lanes: tuple[deque[Operation], ...] = (deque(), deque())
        self._broken = [False, False]
        self._names: dict[str, _Content] = {}
        self._safe_names: dict[str, _Content] = {}
        self._name_log: list[dict[str, _Content]] = []  # the names after each unsynced change

    @property
    def files(self) -> dict[str, bytes]:
        return {name: bytes(content.data) for name, content in self._names.items()}

    @property
    def idle(self) -> bool:
        return not any(self._lanes)

    def put(self, operation: Operation) -> None:
        self._lanes[operation.lane].append(operation)

    def step(self) -> tuple[Operation, str] | None:
        """Do the first operation of some lane; (it, "" or why it was refused)."""
        waiting = [number for number, lane in enumerate(self._lanes) if lane]
        if not waiting:
            return None
        number = self._rng.choice(waiting)
        operation = self._lanes[number].popleft()
        if type(operation) is Create:
            self._broken[number] = False
        elif self._broken[number]:
            return operation, "after a failure"
        if self.full and self._grows(operation):
            self._broken[number] = True
            if type(operation) is Append:
                self._tear(operation)
            return operation, "No space left on device"
        self._do(operation)
        return operation, ""

    def kill(self) -> None:
        """The process dies, within a write perhaps; what it wrote stays."""
        for number, lane in enumerate(self._lanes):
            whole = True  # one write may hold several appends, and the flush comes after it
            for operation in lane:
                if not whole or type(operation) is not Append or self._broken[number]:
                    break
                whole = self._rng.random() < 0.5
                self._tear(operation, whole=whole)
            lane.clear()

    def lose_power(self) -> None:
        """What was not synced may be there, in part, or as zeros."""
        self.kill()
        kept = self._rng.randrange(len(self._name_log) + 1)
        names = self._name_log[kept - 1] if kept else self._safe_names
        for content in names.values():
            unsynced = len(content.data) - content.synced
            if unsynced > 0:
                end = content.synced + self._rng.randrange(unsynced + 1)
                zeros = self._rng.choice((0, 0, len(content.data) - end))
                content.data[end:] = bytes(zeros)
                content.synced = len(content.data)
        self._names, self._safe_names, self._name_log = dict(names), dict(names), []

    def flip_a_bit(self) -> None:
        """Of one of the files."""
        contents = [content for content in self._names.values() if content.data]
        if contents:
            data = self._rng.choice(contents).data
            data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)

    def _grows(self, operation: Operation) -> bool:
        if type(operation) is Create:
            return operation.name not in self._names
        return type(operation) is Append

    def _do(self, operation: Operation) -> None:
        match operation:
            case Create(name=name):
                self._names[name] = _Content()
                self._name_log.append(dict(self._names))
            case Append(name=name, data=data, durable=durable):
                self._names_content(name).data += data
                if durable:
                    self._sync(name)
            case Sync(name=name):
                self._sync(name)
            case Replace(name=name, to=to):
                self._names[to] = self._names.pop(name)
                self._name_log.append(dict(self._names))
            case Delete(names=names):
                for name in names:
                    self._names.pop(name, None)
                    self._name_log.append(dict(self._names))
            case SyncDirectory():
                if not self.loses_syncs:
                    self._safe_names, self._name_log = dict(self._names), []

    def _names_content(self, name: str) -> _Content:
        # a journal that a snapshot made superfluous is written to, and gone
        return self._names[name] if name in self._names else _Content()

    def _sync(self, name: str) -> None:
        content = self._names_content(name)
        if not self.loses_syncs:
            content.synced = len(content.data)

    def _tear(self, append: Append, *, whole: bool = False) -> None:
        end = len(append.data) if whole else self._rng.randrange(len(append.data) + 1)
        self._names_content(append.name).data += append.data[:end]
