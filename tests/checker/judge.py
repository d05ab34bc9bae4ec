"""What was recorded of a run so far, and what in it breaks a promise."""

from __future__ import annotations

from functools import partial

from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.history import History
from tests.support.pair import Node, Overdue, Pair, within

from .logs import Log
from .memory import Memory

MAX_TOLD = 30  # problems at once: who has so many needs the first ones
ALARM_SECONDS = 60.0  # for an alarm to end whose cause has ended


class Judge:
    """`problems` as often as wanted: everything found since the start, one sentence each."""

    def __init__(self, pair: Pair, history: History, gates: GateLog, health: HealthSampler) -> None:
        self.memory = Memory()
        self._pair = pair
        self._history = history
        self._gates = gates
        self._health = health
        self._logs = {node.id: Log(node.log) for node in pair.nodes()}
        self._logs["pair"] = Log(pair.directory / "log")

    def problems(self) -> list[str]:
        for log in self._logs.values():
            log.collect()
        for node in self._pair.nodes():
            kills = self._logs[node.id].guard_kills
            for at in kills:
                self._gates.ended(node, at)
            kills.clear()
        self._gates.collect()
        found = [*self._history.problems(), *self._gates.problems(), *self.memory.problems()]
        found += [problem for log in self._logs.values() for problem in log.problems]
        found += [f"both said that they are active at {at:.3f}" for at in self._health.both]
        more = len(found) - MAX_TOLD
        return found if more <= 0 else [*found[:MAX_TOLD], f"and {more} more"]

    async def open_alarms(self) -> list[str]:
        """When everything is over, no node should have anything left to say to an operator."""
        found = []
        for node in self._pair.nodes():
            try:
                await within(ALARM_SECONDS, f"no alarm at {node.id}", partial(self._is_quiet, node))
            except Overdue as overdue:
                found.append(f"{overdue}: {await self._pair.status(node)}")
        return found

    async def _is_quiet(self, node: Node) -> bool:
        status = await self._pair.status(node)
        return status is not None and not status["alarms"]
