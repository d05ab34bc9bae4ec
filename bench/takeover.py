"""How long clients wait when the active origin dies, hangs, freezes, loses its host or is relieved.

Each fault hits a real pair under load: clients behind the load balancer write as fast as they are
acknowledged, or at --rate (on a machine that has more to do, where the pair must share the
processors with its own clients). A client's gap is the time from its last acknowledged write before
the fault to its next one. Printed for each fault: median and worst gap over clients and runs, the
limit that the worst must keep, and what must be 0: acknowledged writes lost, values that somebody
saw and that were gone later (unseen), calls done twice, samples at which both nodes said that they
are active. "both" are the origin and its guard: a host that stops. A switchover is planned; the
origins' own report tells for how long nobody could write (pause, median).

    python -m bench.takeover [--json FILE] [--front door|haproxy] [--coordinator file|etcd]
        [--profile default|fast] [--runs 3] [--faults crash,hang,freeze,host,switchover]
        [--clients 20] [--rate N] [--seed N]

--front haproxy: a real one with docs/samples/haproxy.cfg. --coordinator etcd: three members on
this machine. Exit code 1 when anything was lost, taken back, done twice or served by both at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bench.table import arguments, report
from tests.support.etcd import EtcdCluster
from tests.support.haproxy import Haproxy
from tests.support.health_sampler import HealthSampler
from tests.support.history import History
from tests.support.load import Load
from tests.support.pair import Node, Pair, now, within

WRITES_BETWEEN_FAULTS = 1000
FREEZE_SECONDS = 10.0
ETCD_MEMBERS = 3
SETTLE_SECONDS = 180.0  # on a machine with much else to do


@dataclass(frozen=True, slots=True)
class Setting:
    """What stands around the pair."""

    front: str
    coordinator: str
    profile: str

    @property
    def dead_host_limit(self) -> float:
        """Seconds: the host must be missed first, and with etcd its lease must run out."""
        limits = {"default": {"file": 6.0, "etcd": 7.0}, "fast": {"file": 3.0, "etcd": 4.0}}
        return limits[self.profile][self.coordinator]

    def __str__(self) -> str:
        return f"{self.front}, {self.coordinator}, {self.profile}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the active node; the limit of the gap in seconds, None: a dead host's.

    sign: the signal; None: an order to switch over.
    """

    name: str
    sign: signal.Signals | None
    guard: bool
    limit_seconds: float | None

    def limit(self, setting: Setting) -> float:
        return setting.dead_host_limit if self.limit_seconds is None else self.limit_seconds


FAULTS = {
    "crash": Fault("kill -9 origin", signal.SIGKILL, False, 1.0),
    "hang": Fault("freeze origin", signal.SIGSTOP, False, 3.5),
    "freeze": Fault("freeze both, thaw at 10 s", signal.SIGSTOP, True, None),
    "host": Fault("kill -9 both", signal.SIGKILL, True, None),
    "switchover": Fault("switchover", None, False, 1.0),
}


@dataclass(slots=True)
class Measured:
    """The outcome of all runs of one fault."""

    fault: Fault
    limit_seconds: float
    history: History
    both_active: int
    pauses_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float | str]:
        found: dict[str, float | str] = dict(self.history.figures())
        found["both_active"] = self.both_active
        found["limit_ms"] = self.limit_seconds * 1000
        found["pause_ms"] = statistics.median(self.pauses_ms) if self.pauses_ms else "-"
        return found


@dataclass(frozen=True, slots=True)
class Bench:
    """A running pair and where its clients connect."""

    setting: Setting
    pair: Pair
    haproxy: Haproxy | None
    clients: int
    rate: float | None
    moments: random.Random

    async def settled(self) -> tuple[Node, Node]:
        """(active, standby), and the load balancer leads there."""
        active, standby = await self.pair.settled(seconds=SETTLE_SECONDS)
        if self.haproxy is not None:
            await self.haproxy.leads_to(active)
        return active, standby

    async def measure(self, fault: Fault, runs: int) -> Measured:
        """Hit the active node `runs` times, each time when the other one is ready."""
        pair = self.pair
        room = fault.name.replace(" ", "-").replace(",", "")
        address = self.haproxy.address if self.haproxy is not None else None
        async with (
            HealthSampler(pair) as health,
            Load(pair.url(f"proof/{room}", address), writers=self.clients, rate=self.rate) as load,
        ):
            result = Measured(fault, fault.limit(self.setting), load.history, 0)
            for index in range(runs):
                await load.acknowledged(WRITES_BETWEEN_FAULTS)
                active, standby = await self.settled()
                await asyncio.sleep(self.moments.uniform(0, 0.5))
                at = now()
                if fault.sign is None:
                    result.pauses_ms.append(await switch_over(pair, active))
                else:
                    at = pair.signal(active, fault.sign, guard=fault.guard)
                load.history.fault(at, f"{fault.name}: {active.id}")
                await pair.becomes_active(standby, seconds=20)
                await load.full_read(f"reader-{index}")
                await load.everyone_served(at)
                if fault is FAULTS["freeze"]:
                    await _thaw(pair, active, at + FREEZE_SECONDS)
            await load.acknowledged(WRITES_BETWEEN_FAULTS)
            await self.settled()
            await load.rest()
            await load.full_read("last-reader")
        result.both_active = len(health.both)
        return result


async def switch_over(pair: Pair, active: Node) -> float:
    """Order it, and return how long nobody could write, in milliseconds."""
    status, answer = await pair.order(active, "switchover")
    if status != 200:
        raise RuntimeError(f"no switchover: {answer}")
    return float(answer["report"]["pause_ms"])


async def _thaw(pair: Pair, node: Node, at: float) -> None:
    async def time_has_come() -> bool:
        return now() >= at

    await within(FREEZE_SECONDS + 5, "the time to thaw", time_has_come)
    pair.signal(node, signal.SIGCONT, guard=True)


@contextlib.asynccontextmanager
async def running(
    setting: Setting, clients: int, rate: float | None, seed: int
) -> AsyncIterator[Bench]:
    """A pair with all that the setting wants; nothing is left afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtmp-sync-bench-")))
        failover: dict[str, object] = {}
        if setting.profile != "default":
            failover["profile"] = setting.profile
        if setting.coordinator == "etcd":
            etcd = EtcdCluster(folder / "etcd", ETCD_MEMBERS)
            stack.callback(etcd.close)
            await etcd.start()
            failover["etcd"] = [str(address) for address in etcd.addresses]
        pair = Pair(failover=failover)
        stack.callback(pair.clean_up)
        pair.start()
        haproxy = None
        if setting.front == "haproxy":
            fast = setting.profile == "fast"
            haproxy = stack.enter_context(Haproxy(pair.nodes(), folder, fast=fast))
        bench = Bench(setting, pair, haproxy, clients, rate, random.Random(seed))
        await bench.settled()
        yield bench


async def run(setting: Setting, options: argparse.Namespace) -> list[Measured]:
    faults = [FAULTS[name] for name in options.faults.split(",")]
    async with running(setting, options.clients, options.rate, options.seed) as bench:
        return [await bench.measure(fault, options.runs) for fault in faults]


COLUMNS = {
    "fault": "",
    "times": "faults",
    "acked": "acknowledged",
    "median": "gap_median_ms",
    "worst": "gap_worst_ms",
    "limit": "limit_ms",
    "pause": "pause_ms",
    "lost": "lost",
    "unseen": "vanished",
    "twice": "duplicates",
    "both active": "both_active",
}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--front", choices=("door", "haproxy"), default="door")
    parser.add_argument("--coordinator", choices=("file", "etcd"), default="file")
    parser.add_argument("--profile", choices=("default", "fast"), default="default")
    parser.add_argument("--runs", type=int, default=3, help="of each fault")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of the default")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rate", type=float, help="writes a second of each client")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    options = parser.parse_args()
    if options.front == "door" and options.profile == "fast":
        parser.error("the front door of `pair` has the default profile's numbers: use haproxy")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    setting = Setting(options.front, options.coordinator, options.profile)
    results = asyncio.run(run(setting, options))
    figures = {result.fault.name: result.figures() for result in results}
    pace = f" with {options.rate:g} writes/s each" if options.rate else ""
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
        notes=[f"{setting}; seed {options.seed}, {options.clients} clients{pace}", *problems],
        json_file=options.json,
    )
    return 1 if problems or any(result.both_active for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
