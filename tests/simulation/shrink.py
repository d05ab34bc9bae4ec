"""Reduces the faults of a failing seed to few that still break the same invariant.

Delta debugging (Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", 2002):
leave out halves, then quarters, … down to single faults, as long as it still fails; then
shorten what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation import Fault

__all__ = ["shrink"]

Plan = Sequence[Fault]
MAX_RUNS = 300  # a seed runs in about 50 ms
SHORTEST_SECONDS = 0.2


class _Budget:
    """Asks `fails` at most MAX_RUNS times, and then says no."""

    def __init__(self, fails: Callable[[Plan], bool]) -> None:
        self._fails, self._left = fails, MAX_RUNS

    def fails(self, plan: Plan) -> bool:
        self._left -= 1
        return self._left >= 0 and self._fails(plan)


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> list[Fault]:
    """The smallest plan found for which `fails(plan)`; the whole plan must fail."""
    budget = _Budget(fails)
    smaller = _drop(list(plan), budget)
    shorter = _shorten(smaller, budget)
    return _drop(shorter, budget) if shorter != smaller else shorter


def _drop(plan: list[Fault], budget: _Budget) -> list[Fault]:
    size = max(1, len(plan) // 2)
    while plan:
        start, dropped = 0, False
        while start < len(plan):
            rest = plan[:start] + plan[start + size :]
            if budget.fails(rest):
                plan, dropped = rest, True
            else:
                start += size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return plan


def _shorten(plan: list[Fault], budget: _Budget) -> list[Fault]:
    for number, fault in enumerate(plan):
        while fault.seconds / 2 >= SHORTEST_SECONDS:
            fault = replace(fault, seconds=round(fault.seconds / 2, 3))
            tried = [*plan[:number], fault, *plan[number + 1 :]]
            if not budget.fails(tried):
                break
            plan = tried
    return plan
