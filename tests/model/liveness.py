"""I4: once everything is repaired, somebody serves again within bounded time."""

from __future__ import annotations

from typing import Final

from tests.model.course import Violation
from tests.model.happenings import Happening, World
from tests.model.names import Canon
from tests.model.state import NODES, Pair

__all__ = ["Recovery"]

# The hold-off after a start, the wait of a claim, what a node with a worse copy or a failed gate
# is given first, twice over: a node may have to stand back once.
TICKS: Final = 40


class Recovery:
    """What is known to recover need not be tried again."""

    def __init__(self, world: World, canon: Canon) -> None:
        self._world, self._canon = world, canon
        self._good: set[Pair] = set()

    def recovers(self, pair: Pair) -> None:
        """Raises Violation."""
        way: list[Happening] = []
        try:
            self._recovers(pair, way)
        except Violation as violation:
            violation.recovery = tuple(way)
            raise

    def _recovers(self, pair: Pair, way: list[Happening]) -> None:
        path: list[Pair] = []
        ticks = 0
        while ticks < TICKS:
            if pair in self._good or any(self._world.course(pair).serves(n) for n in NODES):
                self._good.update(path)
                return
            path.append(pair)
            happening = self._next(pair)
            way.append(happening)
            ticks += happening == ("tick",)
            pair, _ = self._world.after(pair, happening)
            pair = self._canon.canonical(pair)
        raise Violation("I4", "everything is repaired, and nobody serves")

    def _next(self, pair: Pair) -> Happening:
        """Repairs first. What may still get to the store does not."""
        for happening in self._world.repairs(pair):
            if happening[0] != "lands late":
                return happening
        happening = next(self._world.by_itself(pair))
        if happening == ("tick",) and pair.record is not None and pair.record.paused:
            return next(("ask", node, "resume") for node in NODES if pair.host(node).runs)
        return happening
