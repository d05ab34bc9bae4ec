"""What a planned switchover costs: to the writes of the pair, and to each client.

Clients behind the load balancer write as fast as they are acknowledged while the service is moved
to and fro. Printed: for how long the servers took no write (from the hold on one node to the open
gate of the other, by the events of both: they share a clock), the gap of each client from its last
acknowledged write to its next one, both with median and worst, the limits, the steps, and what
must be 0: acknowledged writes lost, values that were seen and gone later (unseen), calls done
twice, samples at which both nodes said that they are active, clients that were told an address.

    python -m bench.switchover [--json FILE] [--front door|haproxy] [--coordinator file|etcd]
        [--runs 10] [--clients 20] [--drain SECONDS] [--seed N]

Exit code 1 when one of these is not 0.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog

from bench.table import arguments, report
from bench.takeover import Bench, Setting, running
from tests.support.health_sampler import HealthSampler
from tests.support.history import History
from tests.support.load import Load
from tests.support.pair import Node, Pair, now
from tests.support.told import Told

WRITES_BETWEEN = 1000
PAUSE_LIMIT_MS, GAP_LIMIT_MS = 300.0, 1000.0  # of the median pause, and of the worst gap


@dataclass(slots=True)
class Measured:
    """The outcome of all runs."""

    history: History
    codes: Counter[str]
    addresses: list[str]
    both_active: int = 0
    pauses_ms: list[float] = field(default_factory=list)
    steps_ms: dict[str, list[float]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = dict(self.history.figures())
        found["switchovers"] = found.pop("faults")
        found["pause_median_ms"] = round(statistics.median(self.pauses_ms), 1)
        found["pause_worst_ms"] = round(max(self.pauses_ms), 1)
        found["pause_limit_ms"], found["gap_limit_ms"] = PAUSE_LIMIT_MS, GAP_LIMIT_MS
        found["both_active"] = self.both_active
        found["told_an_address"] = len(self.addresses)
        found["told"] = dict(self.codes)
        found["steps_median_ms"] = {
            name: statistics.median(values) for name, values in self.steps_ms.items()
        }
        return found

    def bad(self) -> list[str]:
        found = self.history.problems()
        found += [f"told an address: {address}" for address in self.addresses]
        return found + ["both were active"] * bool(self.both_active)


async def measure(bench: Bench, runs: int, drain_seconds: float) -> Measured:
    pair = bench.pair
    address = bench.haproxy.address if bench.haproxy is not None else None
    async with (
        HealthSampler(pair) as health,
        Load(pair.url("proof/switchover", address), writers=bench.clients) as load,
    ):
        listening = Told(load)
        result = Measured(load.history, listening.codes, listening.addresses)
        for index in range(runs):
            await load.acknowledged(WRITES_BETWEEN)
            active, standby = await bench.settled()
            await asyncio.sleep(bench.moments.uniform(0, 0.5))
            status, answer = await pair.order(active, "switchover", drain_seconds=drain_seconds)
            if status != 200:
                raise RuntimeError(f"no switchover: {answer}")
            await pair.becomes_active(standby, seconds=10)
            held, opened, steps = await _by_the_histories(pair, active, standby)
            load.history.fault(held, f"switchover {index + 1} to {standby.id}")
            result.pauses_ms.append((opened - held) * 1000)
            for name, milliseconds in steps.items():
                result.steps_ms.setdefault(name, []).append(milliseconds)
            await load.full_read(f"reader-{index}")
            await load.everyone_served(now())
        await load.acknowledged(WRITES_BETWEEN)
        await load.rest()
        await load.full_read("last-reader")
    result.both_active = len(health.both)
    return result


async def _by_the_histories(
    pair: Pair, giver: Node, taker: Node
) -> tuple[float, float, dict[str, float]]:
    """(writes held, gate open: CLOCK_BOOTTIME seconds; steps of both nodes in ms)."""
    gave = await _last(pair, giver, "switchover")
    opened, took = await _last(pair, taker, "gate_opened"), await _last(pair, taker, "failover")
    held = float(gave["clock"]) - float(gave["pause_ms"]) / 1000
    return held, float(opened["clock"]), {**gave["steps"], **took["steps"]}


async def _last(pair: Pair, node: Node, name: str) -> dict[str, Any]:
    events = await pair.history(node)
    assert events is not None  # it serves, or has just served
    return next(event for event in reversed(events) if event["event"] == name)


async def run(
    setting: Setting, runs: int, clients: int, drain_seconds: float, seed: int
) -> Measured:
    async with running(setting, clients, None, seed) as bench:
        return await measure(bench, runs, drain_seconds)


COLUMNS = {
    "times": "switchovers",
    "acked": "acknowledged",
    "pause": "pause_median_ms",
    "worst pause": "pause_worst_ms",
    "limit": "pause_limit_ms",
    "gap": "gap_median_ms",
    "worst gap": "gap_worst_ms",
    "limit of it": "gap_limit_ms",
    "lost": "lost",
    "unseen": "vanished",
    "twice": "duplicates",
    "both active": "both_active",
    "sent elsewhere": "told_an_address",
}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--front", choices=("door", "haproxy"), default="door")
    parser.add_argument("--coordinator", choices=("file", "etcd"), default="file")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--drain", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    setting = Setting(options.front, options.coordinator, "default")
    measured = asyncio.run(run(setting, options.runs, options.clients, options.drain, options.seed))
    figures = measured.figures()
    steps = ", ".join(f"{name} {ms:g}" for name, ms in figures["steps_median_ms"].items())
    report(
        "switchover",
        "ms",
        ["front", *COLUMNS],
        [[options.front, *(figures[key] for key in COLUMNS.values())]],
        figures=figures,
        peers={},
        notes=[
            f"{setting}; seed {options.seed}, {options.clients} clients, drain {options.drain:g} s",
            f"steps (median): {steps}",
            f"clients were told: {figures['told']}",
            *measured.bad(),
        ],
        json_file=options.json,
    )
    return 1 if measured.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
