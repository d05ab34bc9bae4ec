"""One run of the checker: a pair, clients, a nemesis, and verdicts while it lasts."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtmp_sync import NetConnection
from rtmp_sync.server.pair_directory import REPLICATION
from tests.support.chaos import ChaosProxy
from tests.support.clients import FULL_MIX
from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Pair, now, within

from .copies import compare
from .faults import Fault
from .field import WHOLE_SECONDS, Field
from .judge import Judge
from .memory import Memory
from .nemesis import Nemesis
from .schedule import schedule
from .tally import Tally

PATH = "proof/checker"
BALLAST_SLOTS = 6000  # of 1,000 bytes: a copy takes a few seconds on a slow link
BALLAST_AT_ONCE = 200
VERDICT_SECONDS = 150.0
LOOKS_SECONDS = 3.0  # between two full reads by fresh clients
SAMPLES_SECONDS = 0.3  # between two questions of both nodes who is active
SAMES = 8  # looks in a row, a quarter of a second apart, at which nothing had changed


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a run. minutes: of faults; what is before and after comes on top."""

    minutes: float
    seed: int
    faults: Sequence[Fault]
    writers: int = 8
    watchers: int = 2
    comers: int = 2
    leavers: int = 1
    rate: float = 30.0  # operations of each writer per second


@dataclass(frozen=True, slots=True)
class Outcome:
    """problems: one sentence each; empty is what must be. kept: the pair's folder, if so."""

    plan: Plan
    tally: Tally
    memory: Memory
    problems: list[str]
    figures: dict[str, Any]
    kept: Path | None


class Checker:
    """`run` once. `tell` gets a sentence for each verdict; `line` is how it stands now."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._directory = Path(tempfile.mkdtemp(prefix="rtmp-sync-checker-"))
        self._link = ChaosProxy()
        self._pair: Pair
        self._load: Load
        self._judge: Judge
        self._nemesis: Nemesis | None = None
        self._began = now()
        self._verdicts = 0
        self._problems: list[str] = []

    def line(self) -> str:
        """One line for people."""
        if self._nemesis is None:
            return "starting a pair"
        history, minutes = self._load.history, (now() - self._began) / 60
        return (
            f"{minutes:.1f} of {self._plan.minutes:g} min · {self._nemesis.tally.strikes} faults · "
            f"{history.acknowledged():,} acknowledged · {len(history.lost)} lost · "
            f"{len(history.phantoms) + len(history.vanished)} phantom · "
            f"{len(history.duplicates)} twice · {self._nemesis.doing}"
        )

    async def run(self) -> Outcome:
        """Whatever ends a run early is a problem, told with what was found until then."""
        await self._link.start(("127.0.0.1", 0))
        host, port = self._link.address
        self._pair = Pair(self._directory, link=f"{host}:{port}")
        self._link.aim((host, self._pair.port + REPLICATION[1]))
        try:
            await asyncio.to_thread(self._pair.start)
            tally = await self._under_load()
            if not self._problems:
                await self._stop_and_compare()
        finally:
            await asyncio.to_thread(self._pair.clean_up)
            await self._link.stop()
            if not self._problems:
                shutil.rmtree(self._directory, ignore_errors=True)
        return self._outcome(tally)

    async def _under_load(self) -> Tally:
        pair, plan = self._pair, self._plan
        await pair.settled(seconds=WHOLE_SECONDS)
        self._load = Load(
            pair.url(PATH),
            writers=plan.writers,
            watchers=plan.watchers,
            comers=plan.comers,
            leavers=plan.leavers,
            mix=FULL_MIX,
            rate=plan.rate,
            looks_every=LOOKS_SECONDS,
            moments=random.Random(plan.seed),
        )
        await self._put_ballast()
        async with (
            GateLog(pair) as gates,
            HealthSampler(pair, every=SAMPLES_SECONDS) as health,
            self._load as load,
        ):
            self._judge = Judge(pair, load.history, gates, health)
            field = Field(pair, self._link, gates, random.Random(plan.seed))
            strikes = schedule(plan.seed, plan.faults)
            nemesis = self._nemesis = Nemesis(field, load, strikes, note=self._note)
            try:
                await load.acknowledged(500)
                self._judge.memory.sample(pair)
                await self._strike_and_judge(nemesis, field)
                self._problems += await self._judge.open_alarms()
            except Exception as error:  # whatever a fault made fail
                self._problems.append(f"{nemesis.doing}: {error!r}")
                self._problems += self._judge.problems()
            return nemesis.tally

    async def _put_ballast(self) -> None:
        async with NetConnection() as client:
            await client.connect(self._pair.url(PATH), "ballast", "Writer")
            for offset in range(0, BALLAST_SLOTS, BALLAST_AT_ONCE):
                await client.call("ballast", float(BALLAST_AT_ONCE), float(offset), timeout=60)

    async def _strike_and_judge(self, nemesis: Nemesis, field: Field) -> None:
        self._began = now()
        end = self._began + self._plan.minutes * 60
        while now() < end and not self._problems:
            verdict_at = min(end, now() + VERDICT_SECONDS)
            while now() < verdict_at and not self._load.history.broken:
                await nemesis.strike()
            nemesis.doing = "verdict"
            await field.whole()
            await self._verdict()
            self._tell(f"verdict {self._verdicts}: {self.line()}")

    async def _verdict(self) -> None:
        """Bring the writers to rest, look at everything, judge, and let them go on."""
        self._verdicts += 1
        await self._load.rest()
        await self._load.agree(f"verdict-{self._verdicts}", seconds=WHOLE_SECONDS)
        self._judge.memory.sample(self._pair)
        self._problems += self._judge.problems()
        self._load.history.compact()
        self._load.resume()

    async def _stop_and_compare(self) -> None:
        """With nobody connected any more both nodes must hold the same, on their disks too."""
        heads: list[str] = []

        async def at_rest() -> bool:
            statuses = [await self._pair.status(node) for node in self._pair.nodes()]
            heads.append(str([status["seq"] if status else None for status in statuses]))
            return len(heads) >= SAMES and len(set(heads[-SAMES:])) == 1

        await within(60, "nothing changes any more", at_rest, every=0.25)
        code = await asyncio.to_thread(self._pair.stop)
        if code != 0:
            self._problems.append(f"`pair` ended with exit code {code}")
        first, second = (self._directory / name / "state" for name in ("A", "B"))
        self._problems += compare(first, second)

    def _note(self, text: str) -> None:
        """Beside the nodes' logs, for who looks into them."""
        with (self._directory / "strikes").open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}\n")

    def _outcome(self, tally: Tally) -> Outcome:
        history, memory = self._load.history, self._judge.memory
        figures = {
            "minutes": self._plan.minutes,
            "seed": self._plan.seed,
            "faults": tally.strikes,
            "acknowledged": history.acknowledged(),
            "interrupted": sum(client.unknown for client in history.clients.values()),
            "full_reads": history.full_reads,
            "epochs": len(history.accepts),
            "lost": len(history.lost),
            "phantom": len(history.phantoms) + len(history.vanished),
            "duplicates": len(history.duplicates),
            "verdicts": self._verdicts,
            "problems": self._problems,
            "by_fault": tally.figures(),
            "memory": {role: [memory.first[role], last] for role, last in memory.last.items()},
        }
        kept = self._directory if self._problems else None
        return Outcome(self._plan, tally, memory, self._problems, figures, kept)
