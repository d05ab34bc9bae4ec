"""Search of all states that a pair can be in after at most so many faults.

States are visited by the number of faults that they need, then by steps: what is found first
needs the fewest faults. Two states are one if they differ only in names: of boots, attempts and
heartbeats, and in how many epochs and revisions went before.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from tests.model.course import Violation
from tests.model.happenings import TWISTS, Happening, World
from tests.model.liveness import Recovery
from tests.model.names import Canon
from tests.model.state import Pair, beginning
from tests.model.telling import told

__all__ = ["Found", "Report", "Search", "Step"]

LOOK_AT_CLOCK: Final = 256  # states


@dataclass(frozen=True, slots=True)
class Step:
    """How a state came about. twist: (node, what became of its compare-and-set)."""

    before: int
    happening: Happening
    twist: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A violation and the steps to it. recovery: what happened after the state `last`, when
    everything was repaired."""

    invariant: str
    text: str
    faults: int
    steps: tuple[Step, ...]
    last: int
    recovery: tuple[Happening, ...]


@dataclass(slots=True)
class Report:
    """states: visited, by the number of faults. depth: happenings from the beginning to the
    farthest state. exhausted: there is no other state with so few faults; else the search was
    ended by a limit."""

    faults: int
    states: Counter[int] = field(default_factory=Counter)
    steps: int = 0
    depth: int = 0
    exhausted: int = -1
    seconds: float = 0.0
    found: Found | None = None
    rows: set[str] = field(default_factory=set)
    lives: int = 0

    @property
    def visited(self) -> int:
        return self.states.total()


class Search:
    def __init__(
        self,
        world: World,
        *,
        faults: int,
        states: int = 10**9,
        seconds: float = float("inf"),
        liveness: bool = True,
        begin: Pair | None = None,
    ) -> None:
        self._begin = begin if begin is not None else beginning()
        self._world = world
        self._canon = Canon(world.lives)
        self._recovery = Recovery(world, self._canon) if liveness else None
        self._most, self._seconds = states, seconds
        self._index: dict[Pair, int] = {}
        self._pairs: list[Pair] = []
        self._steps: list[Step | None] = []
        self._cost: list[int] = []
        self._depth: list[int] = []
        self._queues: list[deque[int]] = [deque() for _ in range(faults + 1)]
        self.report = Report(faults)

    def run(self) -> Report:
        began, report = time.process_time(), self.report
        self._add(self._begin, 0, None)
        try:
            self._visit_all(began)
        except _Stop as stop:
            report.found = stop.found
        report.seconds = time.process_time() - began
        report.rows, report.lives = self._world.lives.rows, len(self._world.lives)
        return report

    def told(self) -> list[str]:
        """The steps to what was found, in words."""
        found = self.report.found
        lines: list[str] = []
        if found is None:
            return []
        for step in found.steps:
            line, _ = self._told(self._pairs[step.before], step.happening, step.twist)
            lines.append(line)
        pair: Pair | None = self._pairs[found.last]
        for happening in found.recovery:
            if pair is not None:
                line, pair = self._told(pair, happening, None)
                lines.append(line)
        return [*lines, f"{found.invariant}: {found.text}"]

    def _told(
        self, before: Pair, happening: Happening, twist: tuple[str, str] | None
    ) -> tuple[str, Pair | None]:
        lives = self._world.lives
        try:
            after, course = self._world.after(before, happening, twist)
        except Violation:
            return told(lives, happening, twist, [], None), None
        return told(lives, happening, twist, course.rows, after), self._canon.canonical(after)

    def _visit_all(self, began: float) -> None:
        report = self.report
        for cost, queue in enumerate(self._queues):
            while queue:
                index = queue.popleft()
                if self._cost[index] != cost:
                    continue  # it was reached with fewer faults
                look = report.visited % LOOK_AT_CLOCK == 0
                if look and time.process_time() - began > self._seconds:
                    return
                if report.visited >= self._most:
                    return
                report.states[cost] += 1
                report.depth = max(report.depth, self._depth[index])
                self._visit(index, cost)
            report.exhausted = cost

    def _visit(self, index: int, cost: int) -> None:
        pair, world = self._pairs[index], self._world
        if self._recovery is not None:
            try:
                self._recovery.recovers(pair)
            except Violation as violation:
                self._stop(violation, cost, index)
        for happening in self._free(pair):
            self._try(index, happening, cost)
        if cost + 1 < len(self._queues):
            for happening in world.troubles(pair):
                self._try(index, happening, cost + 1)

    def _free(self, pair: Pair) -> Iterator[Happening]:
        yield from self._world.by_itself(pair)
        yield from self._world.repairs(pair)

    def _try(self, index: int, happening: Happening, cost: int) -> None:
        tried = self._step(index, happening, None, cost)
        if cost + 1 < len(self._queues):
            for node in tried:
                for twist in TWISTS:
                    if self._world.may_twist(twist):
                        self._step(index, happening, (node, twist), cost + 1)

    def _step(
        self, index: int, happening: Happening, twist: tuple[str, str] | None, cost: int
    ) -> list[str]:
        step = Step(index, happening, twist)
        self.report.steps += 1
        try:
            after, course = self._world.after(self._pairs[index], happening, twist)
        except Violation as violation:
            self._stop(violation, cost, index, step)
        self._add(after, cost, step)
        return sorted(set(course.tried))

    def _add(self, pair: Pair, cost: int, step: Step | None) -> None:
        pair = self._canon.canonical(pair)
        index = self._index.get(pair)
        if index is None:
            index = self._index[pair] = len(self._pairs)
            self._pairs.append(pair)
            self._steps.append(step)
            self._cost.append(cost)
            self._depth.append(self._depth[step.before] + 1 if step is not None else 0)
        elif cost < self._cost[index]:
            self._cost[index], self._steps[index] = cost, step
        else:
            return
        self._queues[cost].append(index)

    def _stop(
        self, violation: Violation, cost: int, index: int, last: Step | None = None
    ) -> NoReturn:
        steps = [last] if last is not None else []
        step = self._steps[index]
        while step is not None:
            steps.append(step)
            step = self._steps[step.before]
        way, text = violation.recovery, violation.text
        raise _Stop(Found(violation.invariant, text, cost, tuple(reversed(steps)), index, way))


class _Stop(Exception):
    def __init__(self, found: Found) -> None:
        super().__init__(found.text)
        self.found = found
