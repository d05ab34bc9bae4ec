"""python -m tests.simulation: many seeds on all cores, or one seed with its trace.

    python -m tests.simulation --seeds 2000          fresh seeds; the first one is printed
    python -m tests.simulation --seed 17             one seed and what happened in it
    python -m tests.simulation --sabotage NAME …     with the code broken on purpose

Ends with 1 when an invariant did not hold: the seed, its faults reduced to the few that it
takes, what happened then, and the command that shows it again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from bench.table import report
from tests.simulation import Fault
from tests.simulation.progress import Progress
from tests.simulation.sabotage import SABOTAGES
from tests.simulation.seeds import Job, Scenario, attempt, run_many
from tests.simulation.shrink import shrink
from tests.simulation.tally import ROWS, Tally, figures

__all__ = ["explain", "main"]

MAX_FAILURES = 10  # more would only say the same again


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    scenario = _scenario(options.sabotage)
    if options.seed is not None:
        return _show(scenario, options.seed)
    first = _fresh_seed() if options.first is None else options.first
    job = Job(scenario, range(first, first + options.seeds), options.jobs, options.seconds)
    print(f"{options.seeds:,} seeds from {first} in {options.jobs} processes", flush=True)
    started = time.monotonic()
    with Progress(options.seeds) as progress:
        tally = run_many(job, progress.moved, stop_after=MAX_FAILURES)
    _report(tally, time.monotonic() - started, first, options.json)
    if not tally.failures:
        return 0
    soonest = min(tally.failures, key=lambda failure: failure.violation.at)
    print(explain(scenario, soonest.seed))
    return 1


def _fresh_seed() -> int:
    """Different at each run, and short enough to be typed."""
    return time.time_ns() // 1_000_000 % 1_000_000_000


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Random faults on a simulated pair."
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, metavar="SEED", help="(a fresh one, printed)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="(all cores)")
    parser.add_argument("--seconds", type=float, help="begin no seed after so many seconds")
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="broken on purpose")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser


def _scenario(sabotage: str | None) -> Scenario:
    return Scenario(SABOTAGES[sabotage].mix, sabotage) if sabotage is not None else Scenario()


def _report(tally: Tally, seconds: float, first: int, json_file: Path | None) -> None:
    averages = figures(tally)
    rate = tally.seeds / max(seconds, 0.001)
    never = tally.never_visited
    report(
        "simulation",
        "per seed",
        ("what", "average"),
        [*averages.items()],
        figures={
            "first": first,
            "seeds": tally.seeds,
            "seconds": seconds,
            "seeds_per_second": rate,
            "violations": len(tally.failures),
            "per_seed": averages,
            "rows": {name: tally.rows[name] for name in ROWS},
            "rows_never_visited": never,
        },
        peers={},
        notes=(
            f"{tally.seeds:,} seeds from {first} in {seconds:.0f} s: {rate:.0f} a second, "
            f"{len(tally.failures)} violations",
            f"rows of the transition table visited: {len(ROWS) - len(never)} of {len(ROWS)}"
            + (f"; never: {', '.join(never)}" if never else ""),
        ),
        json_file=json_file,
    )


def _show(scenario: Scenario, seed: int) -> int:
    outcome = attempt(scenario, seed, trace=True)
    if outcome.violation is not None:
        print(explain(scenario, seed))
        return 1
    print(*outcome.trace, sep="\n")
    print(f"seed {seed}: every invariant held")
    return 0


def explain(scenario: Scenario, seed: int) -> str:
    """How a seed fails, with no more faults than that takes, and how to see it again."""
    whole = attempt(scenario, seed)
    assert whole.violation is not None
    invariant = whole.violation.invariant

    def fails(faults: Sequence[Fault]) -> bool:
        again = attempt(scenario, seed, faults).violation
        return again is not None and again.invariant == invariant

    final = attempt(scenario, seed, shrink(whole.faults, fails), trace=True)
    broken = f" --sabotage {scenario.sabotage}" if scenario.sabotage is not None else ""
    return "\n".join(
        (
            f"seed {seed}, reduced from {len(whole.faults)} faults to {len(final.faults)}:",
            *(f"  {fault}" for fault in final.faults),
            *final.trace,
            f"seed {seed}: {final.violation}",
            f"again: python -m tests.simulation --seed {seed}{broken}",
        )
    )
