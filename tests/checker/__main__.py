"""The checker: a real pair under load and a nemesis, for as long as asked.

    python -m tests.checker --minutes 60 [--seed N] [--faults "kill active,cut link"] [--json FILE]

Clients write, delete, call and watch through the front door while origins, guards and hosts are
killed and frozen, the link is cut, corrupted and slowed, disks are lost and the service is moved.
Printed for each kind of fault: how often, the longest pause of a client, the time until the pair
was whole again. Exit code 1 with a sentence for each promise that was broken; the pair's folder
is kept then. A seed repeats the order of the faults and what each draws for itself, not the timing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import sys
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from rtmp_sync.server.loop import run

from .faults import FAULTS, Fault
from .run import Checker, Outcome, Plan

COLUMNS = ("fault", "times", "pause s", "worst", "whole again s", "worst")


def main() -> int:
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    plan = Plan(options.minutes, options.seed, options.faults)
    console.print(f"seed {plan.seed}, {len(plan.faults)} kinds of faults", highlight=False)
    try:
        outcome = run(_run(plan, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print(f"stopped; seed {plan.seed}", highlight=False)
        return 1
    _report(outcome, console)
    if options.json is not None:
        options.json.write_text(json.dumps(outcome.figures, indent=2) + "\n")
    return 1 if outcome.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    parser.add_argument("--faults", type=_faults, default=FAULTS, metavar="NAME,NAME…")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def _faults(names: str) -> list[Fault]:
    known = {fault.name: fault for fault in FAULTS}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}; known are: {', '.join(known)}")
    return [known[name] for name in wanted]


async def _run(plan: Plan, console: Console) -> Outcome:
    task = asyncio.current_task()
    assert task is not None
    # Like Ctrl-C: what the run has started must not outlive it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if not console.is_terminal:
        return await Checker(plan, tell=console.print).run()
    with console.status("") as status:
        checker = Checker(plan, tell=console.print)
        showing = asyncio.create_task(_show(checker, status.update))
        try:
            return await checker.run()
        finally:
            showing.cancel()


async def _show(checker: Checker, update: object) -> None:
    assert callable(update)
    while True:
        update(checker.line())
        await asyncio.sleep(1.0)


def _report(outcome: Outcome, console: Console) -> None:
    survived = "" if outcome.problems else " survived"
    table = Table(title=f"{outcome.tally.strikes} faults{survived}")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in outcome.tally.rows():
        table.add_row(*map(_cell, row))
    console.print(table)
    totals = (
        "acknowledged",
        "full_reads",
        "epochs",
        "interrupted",
        "lost",
        "phantom",
        "duplicates",
    )
    console.print(
        ", ".join(f"{outcome.figures[name]:,} {name.replace('_', ' ')}" for name in totals),
        highlight=False,
    )
    for line in outcome.memory.rows():
        console.print(line, highlight=False)
    for problem in outcome.problems:
        console.print(f"FAILED: {problem}", markup=False, highlight=False)
    if outcome.kept is not None:
        console.print(f"seed {outcome.plan.seed}; logs, records and disks are in {outcome.kept}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
