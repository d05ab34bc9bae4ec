"""What many seeds came to, in a form that processes can add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rtmp_sync.cluster.failover import TABLE
from tests.simulation import Outcome, Violation

__all__ = ["ROWS", "Failure", "Tally", "figures"]

ROWS = tuple(row.name for row in TABLE)

FAULT = "faults."  # what the counts of injected faults begin with

# count -> how the table calls its average
FIGURES = {
    "takeovers": "takeovers",
    "degrades": "degrades",
    "resyncs_full": "full resyncs",
    "resyncs_partial": "partial resyncs",
    "acknowledged": "acknowledged writes",
    "seen": "values seen by readers",
    "keyed_calls": "keyed calls",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed in which an invariant did not hold."""

    seed: int
    violation: Violation


@dataclass(slots=True)
class Tally:
    """Sums over `seeds` seeds. `rows` counts the seeds in which each row of the table acted."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def take(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.counts.update(outcome.stats)
        self.rows.update(outcome.rows)
        if outcome.violation is not None:
            self.failures.append(Failure(outcome.seed, outcome.violation))

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.counts.update(other.counts)
        self.rows.update(other.rows)
        self.failures.extend(other.failures)

    @property
    def never_visited(self) -> list[str]:
        """Rows of the transition table that no turn of any seed came to, in the table's order."""
        return [name for name in ROWS if not self.rows[name]]


def figures(tally: Tally) -> dict[str, float]:
    """Averages per seed: what happened, then the faults by kind."""
    seeds = max(1, tally.seeds)
    named = {name: tally.counts[count] / seeds for count, name in FIGURES.items()}
    faults = sorted(count for count in tally.counts if count.startswith(FAULT))
    return named | {f"fault: {name[len(FAULT) :]}": tally.counts[name] / seeds for name in faults}
