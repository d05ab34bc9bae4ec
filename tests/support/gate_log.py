"""When each node's gate was open, by its own history file, in CLOCK_BOOTTIME seconds.

A node notes `gate_opened` and `gate_closed`; one that is killed notes nothing, so the test says
when that was. A frozen one does nothing: if closing the gate is all it does once it is thawed,
the gate was of no use to anybody from the freeze on. Between two nodes the intervals must be
disjoint (I1).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .history import Interval, overlaps
from .pair import Node, now

CLOSED_BY = 3.0  # seconds after a thaw; what is closed later was open in between
OPENED, CLOSED = "gate_opened", "gate_closed"


class Nodes(Protocol):
    """Two nodes, wherever they run; each keeps its state in `directory / id / "state"`."""

    directory: Path

    def nodes(self) -> list[Node]: ...

    async def active(self) -> Node | None: ...


@dataclass(slots=True)
class GateLog:
    """Collects over a run of a pair; `problems` after it, or after any `collect`."""

    pair: Nodes
    since: float = field(default_factory=now)
    _open_at_start: str = ""
    _events: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    _deaths: dict[str, list[float]] = field(default_factory=dict)
    _freezes: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    async def __aenter__(self) -> GateLog:
        active = await self.pair.active()
        self._open_at_start = active.id if active is not None else ""
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.collect()

    def ended(self, node: Node, at: float) -> None:
        """The node's process was killed at `at`, and its gate with it."""
        self._deaths.setdefault(node.id, []).append(at)

    def frozen(self, node: Node, since: float, until: float) -> None:
        """The node's process did not run from `since` until `until`."""
        self._freezes.setdefault(node.id, []).append((since, until))

    def collect(self) -> None:
        """Read what the nodes have noted since the last time."""
        for node in self.pair.nodes():
            self._collect(node)

    def intervals(self) -> list[Interval]:
        """Of both nodes."""
        found = []
        for node, events in self._events.items():
            open_at = self.since if node == self._open_at_start else None
            changes = [*events, *((at, "killed") for at in self._deaths.get(node, []))]
            found += intervals(node, changes, self._freezes.get(node, []), open_at=open_at)
        return found

    def problems(self) -> list[str]:
        """A sentence for each moment at which both were open; and if nothing was noted."""
        found = self.intervals()
        if not found:
            return ["no node noted that its gate was opened"]
        return overlaps(found)

    def _collect(self, node: Node) -> None:
        """The whole file each time: it begins anew when it is long, or its disk replaced."""
        path = self.pair.directory / node.id / "state" / "history.jsonl"
        known = self._events.setdefault(node.id, [])
        newest = known[-1][0] if known else self.since
        with contextlib.suppress(FileNotFoundError):
            for line in path.read_bytes().split(b"\n"):
                if b"gate_" not in line:
                    continue
                with contextlib.suppress(ValueError):  # the writer was killed in its middle
                    event = json.loads(line)
                    if float(event["clock"]) > newest and event["event"] in (OPENED, CLOSED):
                        known.append((float(event["clock"]), event["event"]))


def intervals(
    owner: str,
    changes: Iterable[tuple[float, str]],
    freezes: Iterable[tuple[float, float]],
    *,
    open_at: float | None = None,
) -> list[Interval]:
    """changes: (when, gate_opened | gate_closed | killed); open_at: it was open before them."""
    found = []
    opened = open_at
    for at, what in sorted(changes):
        if what == OPENED and opened is None:
            opened = at
        elif what != OPENED and opened is not None:
            stopped = [f for f, thaw in freezes if opened <= f <= at <= thaw + CLOSED_BY]
            found.append(Interval(owner, opened, min([at, *stopped])))
            opened = None
    if opened is not None:
        found.append(Interval(owner, opened, now()))
    return found
