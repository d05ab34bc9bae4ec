"""One run of the checker: a pair, clients, a nemesis, and verdicts while it lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtmp_sync import NetConnection
from rtmp_sync.server.pair_directory import REPLICATION
from tests.support.chaos import ChaosProxy
from tests.support.gate_log import GateLog
from tests.support.load import FULL_MIX, Load
from tests.support.pair import Node, Overdue, Pair, now, within

from .copies import compare
from .faults import Fault
from .field import WHOLE_SECONDS, Field
from .logs import Log
from .memory import Memory
from .nemesis import Nemesis
from .schedule import schedule
from .tally import Tally

PATH = "proof/checker"
BALLAST_SLOTS = 6000  # of 1,000 bytes: a copy takes a few seconds on a slow link
BALLAST_AT_ONCE = 200
VERDICT_SECONDS = 150.0
QUIET_SECONDS = 2.0
MAX_TOLD = 30  # problems of one verdict: who has so many needs the first ones


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a run. minutes: of faults; what is before and after comes on top."""

    minutes: float
    seed: int
    faults: Sequence[Fault]
    writers: int = 8
    watchers: int = 2
    comers: int = 2
    rate: float = 30.0  # operations of each writer per second


@dataclass(slots=True)
class Outcome:
    """problems: one sentence each; empty is what must be."""

    plan: Plan
    tally: Tally
    memory: Memory
    problems: list[str]
    figures: dict[str, Any]
    logs: str = ""  # the ends of all logs, when there are problems


class Checker:
    """`run` once. `tell` gets a sentence for each verdict; `line` is how it stands now."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._began = now()
        self._link = ChaosProxy()
        self._pair: Pair
        self._gates: GateLog
        self._load: Load
        self._nemesis: Nemesis
        self._logs: list[Log] = []
        self._memory = Memory()
        self._verdicts = 0
        self._problems: list[str] = []

    def line(self) -> str:
        """One line for people."""
        if not hasattr(self, "_nemesis"):
            return "starting a pair"
        history, minutes = self._load.history, (now() - self._began) / 60
        found = len(history.problems()) if self._problems else 0
        return (
            f"{minutes:.1f} of {self._plan.minutes:g} min · {self._nemesis.tally.strikes} faults · "
            f"{history.acknowledged():,} acknowledged · {len(history.lost)} lost · "
            f"{len(history.phantoms) + len(history.vanished)} phantom · "
            f"{len(history.duplicates)} twice · {found + len(self._problems)} problems · "
            f"{self._nemesis.doing}"
        )

    async def run(self) -> Outcome:
        await self._link.start(("127.0.0.1", 0))
        host, port = self._link.address
        self._pair = Pair(link=f"{host}:{port}")
        try:
            self._link.aim((host, self._pair.port + REPLICATION[1]))
            await asyncio.to_thread(self._pair.start)
            await self._work()
            return await self._outcome()
        finally:
            await asyncio.to_thread(self._pair.clean_up)
            await self._link.stop()

    async def _work(self) -> None:
        pair, plan = self._pair, self._plan
        await pair.settled(seconds=WHOLE_SECONDS)
        self._logs = [Log(pair.directory / "log"), *(Log(node.log) for node in pair.nodes())]
        self._gates = GateLog(pair)
        load = self._load = Load(
            pair.url(PATH),
            writers=plan.writers,
            watchers=plan.watchers,
            comers=plan.comers,
            mix=FULL_MIX,
            rate=plan.rate,
            looks_every=3.0,
            moments=random.Random(plan.seed),
        )
        async with self._gates:
            await self._put_ballast()
            async with load:
                field = Field(pair, self._link, self._gates, random.Random(plan.seed))
                self._nemesis = Nemesis(field, load, schedule(plan.seed, plan.faults))
                try:
                    await load.acknowledged(500)
                    self._memory.sample(pair)
                    await self._strike(field)
                    await self._no_alarm()
                except Exception as error:  # whatever ends a run is what it found
                    self._problem(f"{self._nemesis.doing}: {error!r}")
        if not self._problems:
            await self._stop_and_compare()

    async def _put_ballast(self) -> None:
        async with NetConnection() as client:
            await client.connect(self._pair.url(PATH), "ballast", "Writer")
            for offset in range(0, BALLAST_SLOTS, BALLAST_AT_ONCE):
                await client.call("ballast", float(BALLAST_AT_ONCE), float(offset), timeout=60)

    async def _strike(self, field: Field) -> None:
        self._began = now()
        end = self._began + self._plan.minutes * 60
        while now() < end and not self._problems:
            verdict_at = min(end, now() + VERDICT_SECONDS)
            while now() < verdict_at:
                await self._nemesis.strike()
            self._nemesis.doing = "verdict"
            await self._verdict(field)

    async def _verdict(self, field: Field) -> None:
        """Bring everything to rest, look at it, and go on."""
        self._verdicts += 1
        load, history = self._load, self._load.history
        await field.whole()
        await load.rest()
        values = await load.full_read(f"verdict-{self._verdicts}", seconds=WHOLE_SECONDS)
        await load.mirrors(values)
        for log in self._logs:
            log.collect()
        for node, log in zip(self._pair.nodes(), self._logs[1:], strict=True):
            for at in log.guard_kills:
                self._gates.ended(node, at)
            log.guard_kills.clear()
        self._gates.collect()
        self._memory.sample(self._pair)
        found = [*history.problems(), *self._gates.problems(), *self._memory.problems()]
        found += [problem for log in self._logs for problem in log.problems]
        for problem in found[:MAX_TOLD]:
            self._problem(problem)
        if len(found) > MAX_TOLD:
            self._problem(f"and {len(found) - MAX_TOLD} more")
        tally = self._nemesis.tally
        self._tell(
            f"verdict {self._verdicts}: {tally.strikes} faults, {history.acknowledged():,} "
            f"acknowledged, {history.full_reads} full reads, {len(found)} problems"
        )
        history.compact()
        load.resume()

    async def _no_alarm(self) -> None:
        """Everything is over: no node has anything left to say to an operator."""
        for node in self._pair.nodes():
            try:
                await within(30, f"no alarm at {node.id}", partial(self._is_quiet, node))
            except Overdue as overdue:
                self._problem(f"{overdue}: {await self._pair.status(node)}")

    async def _is_quiet(self, node: Node) -> bool:
        status = await self._pair.status(node)
        return status is not None and not status["alarms"]

    async def _stop_and_compare(self) -> None:
        """With nobody connected any more both nodes must hold the same, on their disks too."""
        heads: list[object] = []

        async def at_rest() -> bool:
            statuses = [await self._pair.status(node) for node in self._pair.nodes()]
            heads.append([status["seq"] if status else None for status in statuses])
            recent = heads[-int(QUIET_SECONDS / 0.25) :]
            return len(recent) > 4 and len({str(pair) for pair in recent}) == 1

        await within(60, "nothing changes any more", at_rest, every=0.25)
        code = await asyncio.to_thread(self._pair.stop)
        if code != 0:
            self._problem(f"`pair` ended with exit code {code}")
        first, second = (self._pair.directory / name / "state" for name in ("A", "B"))
        for problem in compare(first, second):
            self._problem(problem)

    def _problem(self, text: str) -> None:
        if text not in self._problems:
            self._problems.append(text)

    async def _outcome(self) -> Outcome:
        history = self._load.history
        figures = {
            "minutes": self._plan.minutes,
            "seed": self._plan.seed,
            "faults": self._nemesis.tally.strikes,
            "acknowledged": history.acknowledged(),
            "interrupted": sum(client.unknown for client in history.clients.values()),
            "full_reads": history.full_reads,
            "epochs": len(history.accepts),
            "lost": len(history.lost),
            "phantom": len(history.phantoms) + len(history.vanished),
            "duplicates": len(history.duplicates),
            "verdicts": self._verdicts,
            "problems": self._problems,
            "by_fault": self._nemesis.tally.figures(),
            "memory": {
                role: [self._memory.first[role], last] for role, last in self._memory.last.items()
            },
        }
        logs = self._pair.logs(80) if self._problems else ""
        return Outcome(self._plan, self._nemesis.tally, self._memory, self._problems, figures, logs)
