"""Runs faults, one after the other, on as few pairs as it can: a pair that is as it was before
the fault is kept for the next one that wants the same."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise

from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.history import History
from tests.support.load import Load
from tests.support.pair import Overdue, now

from .fault import Check, Fault, Result
from .port_sampler import PortSampler
from .scene import Scene
from .setup import RTMP
from .site import Site

WRITERS, WATCHERS, RATE = 6, 1, 20.0
WARM_UP = 60  # acknowledged writes before the fault
FAULT_SECONDS = 240.0
MAX_TOLD = 300  # characters of a failed check
MILLISECONDS = 1000.0


class Lab:
    """tell: gets a line for people, now and then. keep: gets each result when it is there."""

    def __init__(self, *, tell: Callable[[str], None], keep: Callable[[Result], None]) -> None:
        self._tell = tell
        self._keep = keep
        self._site: Site | None = None
        self._done = 0

    async def run(self, faults: Sequence[Fault], coordinator: str, gate: str) -> None:
        """In the order of their setups, so that pairs are started seldom."""
        try:
            for fault in sorted(faults, key=_kinship):
                result = await self._one(fault, coordinator, gate)
                verdict = "pass" if result.passed else "FAIL"
                self._tell(
                    f"{coordinator} {fault.number:2} {verdict} {result.seconds:5.1f} s  {fault.how}"
                )
                for check in result.failed:
                    self._tell(f"        not: {str(check)[:MAX_TOLD]}")
                self._keep(result)
        finally:
            await self.close()

    async def close(self, *, keep_logs: bool = False) -> None:
        """keep_logs: they are told where."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.close(keep_logs=keep_logs)
            if keep_logs:
                self._tell(f"logs of the following are in {site.directory}")

    async def _one(self, fault: Fault, coordinator: str, gate: str) -> Result:
        began = now()
        try:
            site = await self._pair_for(fault, coordinator, gate)
        except Overdue as overdue:
            checks = [Check("a pair to do it to", False, str(overdue))]
            return Result(fault, coordinator, gate, checks, [], [], now() - began)
        began = now()
        self._done += 1
        instance = f"proof/fault{fault.number}-{self._done}"  # nobody else's slots
        load = Load(site.url(instance), writers=WRITERS, watchers=WATCHERS, rate=RATE)
        async with AsyncExitStack() as stack:
            gates = await stack.enter_async_context(GateLog(site))
            health = await stack.enter_async_context(HealthSampler(site))
            targets = {node: (one.host.ipv4, RTMP) for node, one in site.machines.items()}
            ports = stack.enter_context(PortSampler(site.balancer.host, targets))
            await stack.enter_async_context(load)
            scene = Scene(site, load, gates, health, ports)
            await self._act(fault, scene)
            site.heal()
            await scene.whole()
            await scene.judge()
        gaps = [seconds * MILLISECONDS for seconds in longest_pauses(load.history)]
        result = Result(fault, coordinator, gate, scene.checks, scene.observed, gaps, now() - began)
        if scene.spoiled or fault.fresh or not result.passed:
            await self.close(keep_logs=not result.passed)
        return result

    async def _act(self, fault: Fault, scene: Scene) -> None:
        try:
            async with asyncio.timeout(FAULT_SECONDS):
                await scene.load.acknowledged(WARM_UP)
                await fault.act(scene)
        except Exception as error:  # whatever a fault made fail is its verdict
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
            scene.check("the fault runs to its end", False, f"{error!r} {line}")

    async def _pair_for(self, fault: Fault, coordinator: str, gate: str) -> Site:
        """A serves, B is ready. Raises Overdue."""
        setup = fault.setup(coordinator, gate)
        if self._site is not None and (self._site.setup != setup or fault.fresh):
            await self.close()
        if self._site is not None:
            try:
                if await self._site.settled() != "A":
                    await self._site.post("B", "/failback")
                await self._site.settled("A")
                await self._site.served()
                return self._site
            except Overdue as overdue:
                self._tell(f"a new pair: {overdue}")
                await self.close(keep_logs=True)
        self._site = Site(setup)
        try:
            await self._site.start()
            await self._site.served()
        except Overdue:
            await self.close(keep_logs=True)
            raise
        return self._site


def _kinship(fault: Fault) -> tuple[object, ...]:
    setup = fault.setup("", "")
    return (fault.fresh, str(setup), fault.number)


def longest_pauses(history: History) -> list[float]:
    """Of each client in seconds, from its last acknowledged write before the fault to its rest."""
    if not history.faults:
        return []
    at = history.faults[0][0]
    found = []
    for client in history.clients.values():
        times = client.acked_at
        since = times[max(0, bisect.bisect_right(times, at) - 1) :]
        ends = [*since, history.rested_at]
        found.append(max((later - earlier for earlier, later in pairwise(ends)), default=0.0))
    return found
