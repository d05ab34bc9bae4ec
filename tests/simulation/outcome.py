"""What a run of the simulation comes to, as values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.faults import Fault

__all__ = ["Broken", "Outcome", "Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """invariant: "I1" to "I8" of failover.md, or "lost", "phantom", "duplicate", "digest",
    "view", "version", "disk"; "crash" is an error out of the product's code, `text` its
    traceback. at: seconds of simulated time."""

    invariant: str
    at: float
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:.3f}: {self.text}"


class Broken(Exception):
    """An invariant does not hold; ends the run."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
        self.text = text


@dataclass(frozen=True, slots=True)
class Outcome:
    """trace is empty unless it was asked for. rows: of the transition table, that acted."""

    seed: int
    violation: Violation | None
    faults: list[Fault]
    stats: Counter[str] = field(default_factory=Counter)
    rows: set[str] = field(default_factory=set)
    trace: list[str] = field(default_factory=list)
