"""How long clients wait when the active origin dies, hangs, freezes or loses its host.

Each fault hits a real pair under load: clients behind the front door write as fast as they are
acknowledged. A client's gap is the time from its last acknowledged write before the fault to its
next one. Printed for each fault: median and worst gap over clients and rounds, the limit that the
worst must keep, and what must be 0: acknowledged writes lost, values that somebody saw and that
were gone later (unseen), calls done twice, samples at which both nodes said that they are active.
"both" are the origin and its guard: a host that stops.

    python -m bench.takeover [--json FILE] [--clients 20] [--kills 10] [--rounds 1] [--seed N]

Exit code 1 when anything was lost, taken back, done twice or served by both at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
from dataclasses import dataclass

import structlog

from bench.table import arguments, report
from tests.support.health_sampler import HealthSampler
from tests.support.history import History
from tests.support.load import Load
from tests.support.pair import Node, Pair, now, within

WRITES_BETWEEN_FAULTS = 1000
FREEZE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the active node, how often, and the gap that clients may see."""

    name: str
    sign: int
    guard: bool
    limit_seconds: float

    def hit(self, pair: Pair, node: Node) -> float:
        return pair.signal(node, self.sign, guard=self.guard)


KILL = Fault("kill -9 origin", signal.SIGKILL, False, 1.0)
HANG = Fault("freeze origin", signal.SIGSTOP, False, 3.5)
FREEZE = Fault("freeze both, thaw at 10 s", signal.SIGSTOP, True, 6.0)
HOST = Fault("kill -9 both", signal.SIGKILL, True, 6.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """The outcome of all rounds of one fault."""

    fault: Fault
    history: History
    both_active: int

    def figures(self) -> dict[str, float]:
        found = self.history.figures()
        found["both_active"] = self.both_active
        found["limit_ms"] = self.fault.limit_seconds * 1000
        return found


async def measure(
    pair: Pair, fault: Fault, rounds: int, clients: int, moments: random.Random
) -> Measured:
    """Hit the active node `rounds` times, each time when the other one is ready."""
    room = fault.name.replace(" ", "-").replace(",", "")
    async with (
        HealthSampler(pair) as health,
        Load(pair.url(f"proof/{room}"), writers=clients) as load,
    ):
        for index in range(rounds):
            await load.acknowledged(WRITES_BETWEEN_FAULTS)
            active, standby = await pair.settled()
            await asyncio.sleep(moments.uniform(0, 0.5))
            at = fault.hit(pair, active)
            load.history.fault(at, f"{fault.name}: {active.id}")
            await pair.becomes_active(standby, seconds=20)
            await load.full_read(f"reader-{index}")
            await load.everyone_served(at)
            if fault is FREEZE:
                await _thaw(pair, active, at + FREEZE_SECONDS)
        await load.acknowledged(WRITES_BETWEEN_FAULTS)
        await pair.settled()
        await load.rest()
        await load.full_read("last-reader")
    return Measured(fault, load.history, len(health.both))


async def _thaw(pair: Pair, node: Node, at: float) -> None:
    async def time_has_come() -> bool:
        return now() >= at

    await within(FREEZE_SECONDS + 5, "the time to thaw", time_has_come)
    pair.signal(node, signal.SIGCONT, guard=True)


async def run(clients: int, kills: int, rounds: int, seed: int) -> list[Measured]:
    moments = random.Random(seed)
    pair = Pair()
    try:
        pair.start()
        results = []
        for fault in (KILL, HANG, FREEZE, HOST):
            await pair.settled()
            count = kills if fault is KILL else rounds
            results.append(await measure(pair, fault, count, clients, moments))
        return results
    finally:
        pair.clean_up()


COLUMNS = {
    "fault": "",
    "times": "faults",
    "acked": "acknowledged",
    "median": "gap_median_ms",
    "worst": "gap_worst_ms",
    "limit": "limit_ms",
    "lost": "lost",
    "unseen": "vanished",
    "twice": "duplicates",
    "both active": "both_active",
}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1, help="of every other fault")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    results = asyncio.run(run(options.clients, options.kills, options.rounds, options.seed))
    figures = {result.fault.name: result.figures() for result in results}
    problems = [
        f"{result.fault.name}: {problem}"
        for result in results
        for problem in result.history.problems()
    ]
    report(
        "takeover",
        "ms",
        list(COLUMNS),
        [
            [name, *(found[key] for key in COLUMNS.values() if key)]
            for name, found in figures.items()
        ],
        figures=figures,
        peers={},
        notes=[f"seed {options.seed}, {options.clients} clients", *problems],
        json_file=options.json,
    )
    return 1 if problems or any(result.both_active for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
