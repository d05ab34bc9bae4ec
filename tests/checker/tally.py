"""What the faults of each kind cost."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

TWO = "two at once"


@dataclass(slots=True)
class Cost:
    """Seconds: the longest pause of a client, and until the pair was whole again."""

    served: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    costs: dict[str, Cost] = field(default_factory=dict)

    def of(self, kinds: tuple[str, ...]) -> Cost:
        return self.costs.setdefault(kinds[0] if len(kinds) == 1 else TWO, Cost())

    @property
    def strikes(self) -> int:
        return sum(len(cost.served) for cost in self.costs.values())

    def rows(self) -> list[list[object]]:
        """[kind, times, pause median and worst in s, whole again median and worst in s]; None
        where nothing was measured."""
        return [
            [kind, len(cost.served), *_two(cost.served), *_two(cost.whole)]
            for kind, cost in sorted(self.costs.items())
        ]

    def figures(self) -> dict[str, Any]:
        names = ("times", "pause_median_s", "pause_worst_s", "whole_median_s", "whole_worst_s")
        return {str(row[0]): dict(zip(names, row[1:], strict=True)) for row in self.rows()}


def _two(values: list[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    return round(statistics.median(values), 2), round(max(values), 2)
