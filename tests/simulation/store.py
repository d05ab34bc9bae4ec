"""The store of a pair: the real records, heartbeats and line on a NAS in memory, and all that
can stand between a node and its answer.

Each process has a helper, as the real `FileHelper`: one request at a time, a deadline, and a
request that missed it may still reach the NAS, or may yet.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtmp_sync.cluster.record import Record, decode
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.errors import StoreTimeout
from tests.simulation.errands import Fail, Resume, Wait, run
from tests.simulation.nas import Nas
from tests.simulation.schedule import Schedule

__all__ = ["PAIR_FILE", "Helper", "SimulatedCoordinator", "Store"]

PAIR_FILE = "/nas/pair"
TYPICAL_SECONDS = 0.001


class Store:
    """unreachable, slow, stale: nodes for which it is. landed: told every record that lands."""

    def __init__(self, schedule: Schedule, chance: random.Random, nodes: tuple[str, str]) -> None:
        self.schedule = schedule
        self.chance = chance
        self.nas = Nas()
        self.unreachable: set[str] = set()
        self.slow: dict[str, float] = {}
        self.stale: set[str] = set()
        self.flaky = 0.0
        self.landed: Callable[[Record], None] = lambda record: None
        self.nas.put(PAIR_FILE, "\\".join(nodes).encode())
        self._highest = 0
        self._seen: dict[file_io.Folder, tuple[int, dict[str, Any]]] = {}  # by boots
        self._seen_before: dict[file_io.Folder, dict[str, Any]] = {}

    def reaches(self, node: str) -> bool:
        return node not in self.unreachable

    def delay(self, node: str) -> float:
        slow = self.slow.get(node, 0.0)
        return TYPICAL_SECONDS * (0.5 + self.chance.random()) + slow * self.chance.random()

    def answer(self, folder: file_io.Folder, node: str, operation: str, fields: Any) -> Any:
        """What the NAS does and says when a request reaches it."""
        if operation == "read":
            return self._read(folder, node, fields)
        try:
            answer = file_io._answer(folder, {"op": operation, **fields})
        finally:
            self._notice()
        return answer

    def _read(self, folder: file_io.Folder, node: str, fields: Any) -> Any:
        """Nothing but a heartbeat has changed since the last read, nearly always."""
        if fields["beat"] is not None:
            folder._write_beat(fields["node"], fields["beat"])
        version, answer = self._seen.get(folder, (-1, {}))
        if version != self.nas.version or "error" in answer:
            self._seen_before[folder] = answer
            answer = file_io._answer(folder, {"op": "read", **fields, "beat": None})
            self._seen[folder] = (self.nas.version, answer)
        elif node in self.stale:  # what this boot has seen go by; a NAS that hides news is no NAS
            answer = self._seen_before[folder] or answer
        peer = fields["peer"]
        beat = file_io._read(folder._name(f"hb.{peer}")) if peer is not None else None
        return {**answer, "peer_beat": beat} if "error" not in answer else answer

    def _notice(self) -> None:
        """Tell of records that are there since the last look."""
        content = self.nas.content(f"{PAIR_FILE}.d/rec.{self._highest + 1}")
        while content is not None:
            self._highest += 1
            self.landed(decode(content))
            content = self.nas.content(f"{PAIR_FILE}.d/rec.{self._highest + 1}")


class Helper:
    """The requests of one process. after: runs something later, as long as the process lives."""

    def __init__(
        self, store: Store, node: str, owner: str, deadline: float, after: Callable[..., None]
    ) -> None:
        self.stuck = 0  # requests that were given up and may still reach the NAS
        self._store = store
        self._node = node
        self._folder = file_io.Folder(PAIR_FILE, owner)
        self._deadline = deadline
        self._after = after
        self._queue: deque[tuple[str, dict[str, Any], Resume, Fail]] = deque()
        self._busy = False

    async def request(self, operation: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await Wait(
            lambda resume, fail: self._ask(operation, fields, resume, fail)
        )
        return answer

    async def reaped(self) -> bool:
        if self.stuck:
            await Wait(lambda resume, fail: self._after(self._deadline, resume, None))
        return not self.stuck

    def _ask(self, operation: str, fields: dict[str, Any], resume: Resume, fail: Fail) -> None:
        self._queue.append((operation, fields, resume, fail))
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        store, chance = self._store, self._store.chance
        operation, fields, resume, fail = self._queue.popleft()
        there, back = store.delay(self._node), store.delay(self._node)
        lost = not store.reaches(self._node)
        spoiled = operation != "read" and chance.random() < store.flaky
        if not lost and not spoiled and there + back < self._deadline:
            # It has left already, or leaves with its host when that goes on after a pause.
            depart = store.schedule.after if chance.random() < 0.5 else self._after
            depart(there, self._reach, operation, fields, resume, back)
            return
        self._after(self._deadline, self._give_up, fail)
        if spoiled and not lost:
            there = chance.choice([there, self._deadline * 1.5, -1.0])
        elif lost:
            there = chance.choice([-1.0, -1.0, self._deadline * chance.uniform(0.5, 4.0)])
        if there >= 0:
            self.stuck += 1
            store.schedule.after(there, self._land_late, operation, fields)

    def _reach(self, operation: str, fields: Any, resume: Resume, back: float) -> None:
        answer = self._store.answer(self._folder, self._node, operation, fields)
        self._after(back, self._end, resume, answer)

    def _land_late(self, operation: str, fields: Any) -> None:
        self.stuck -= 1
        if operation != "read":
            self._store.answer(self._folder, self._node, operation, fields)
        elif fields["beat"] is not None:  # what is read, nobody sees
            self._folder._write_beat(fields["node"], fields["beat"])

    def _give_up(self, fail: Fail) -> None:
        self._end(fail, StoreTimeout("the store does not answer"))

    def _end(self, tell: Callable[[Any], None], what: Any) -> None:
        if self._queue:
            self._begin()
        else:
            self._busy = False
        tell(what)


class SimulatedCoordinator(FileCoordinator):
    """The real one, with the simulated helper. `live`: whether its process may project lines."""

    def __init__(self, node: str, helper: Helper, deadline: float) -> None:
        super().__init__(Path(PAIR_FILE), node, deadline_seconds=deadline, owner="")
        self._helper = helper  # type: ignore[assignment]  # the same calls, without a process
        self._is_projecting = False

    def _begin_projection(self, record: Record) -> None:
        if not self._is_projecting:
            self._is_projecting = True
            run(self._project(record), self._projected, self._projected)

    def _projected(self, _: object) -> None:
        self._is_projecting = False
