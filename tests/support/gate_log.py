"""When each node's gate was open, by its own `/history`, in CLOCK_BOOTTIME seconds.

A node notes `gate_opened` and `gate_closed`; one that is killed notes nothing, so the test says
when that was. Between two nodes the intervals must be disjoint (I1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .history import Interval, overlaps
from .pair import Node, Pair, now, within


@dataclass(slots=True)
class GateLog:
    """Collects over a run of a pair; `problems` after it."""

    pair: Pair
    since: float = field(default_factory=now)
    intervals: list[Interval] = field(default_factory=list)
    _open_at_start: str = ""
    _deaths: dict[str, list[float]] = field(default_factory=dict)

    async def __aenter__(self) -> GateLog:
        active = await self.pair.active()
        self._open_at_start = active.id if active is not None else ""
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for node in self.pair.nodes():
                await self._collect(node)

    def ended(self, node: Node, at: float) -> None:
        """The node's process was killed at `at`, and its gate with it."""
        self._deaths.setdefault(node.id, []).append(at)

    def problems(self) -> list[str]:
        """A sentence for each moment at which both were open; and if nothing was noted."""
        if not self.intervals:
            return ["no node noted that its gate was opened"]
        return overlaps(self.intervals)

    async def _collect(self, node: Node) -> None:
        events = await within(
            30, f"the history of {node.id}", lambda: self.pair.history(self.pair.node(node.id))
        )
        self.intervals += self._intervals(node.id, events)

    def _intervals(self, owner: str, events: list[dict[str, Any]]) -> list[Interval]:
        changes = [(float(event["clock"]), str(event["event"])) for event in events]
        changes += [(at, "killed") for at in self._deaths.get(owner, [])]
        found = []
        opened = self.since if owner == self._open_at_start else None
        for at, what in sorted(changes):
            if at < self.since:  # an earlier test's; what it killed, only it knows
                continue
            if what == "gate_opened" and opened is None:
                opened = at
            elif what in ("gate_closed", "killed") and opened is not None:
                found.append(Interval(owner, opened, at))
                opened = None
        if opened is not None:
            found.append(Interval(owner, opened, now()))
        return found
