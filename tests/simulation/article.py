r"""The article's own watchdog (its VBScript, line by line) on two simulated machines.

`script` is one run of it on one machine: it reads the line `PRIMARY\SECONDARY[\secondaryUP]`,
pings the primary's admin server, and opens or closes this machine's firewall. The runs are
scheduled every `interval` seconds; the article has them a minute apart and recommends seconds.
The faults are those of the simulation. What must hold, and does not (failover.md 5a):

    I1   never do both serve                                    (D24)
    I4   once everything is repaired, somebody serves again     (D1, D8)
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.simulation import Fault, Violation

__all__ = ["INTERVAL", "OUTAGE", "TWO_WRITERS", "ScriptError", "Step", "script", "simulate_article"]

PRIMARY, SECONDARY = "A", "B"
FLAG: Final = "secondaryUP"
OUTAGE, TWO_WRITERS = "I4", "I1"

SECONDS: Final = 60.0  # of faults; what still lasts then is repaired
REPAIRED_SECONDS: Final = 60.0  # without any
INTERVAL: Final = 1.0  # between two runs on one machine

# What the simulation's faults are to these machines, which know nothing of the rest of ours.
DOWN: Final = frozenset(("crash", "power", "stop", "both_crash", "both_power", "disk_lost"))
FROZEN: Final = frozenset(("freeze", "vm"))
STORELESS: Final = frozenset(("store", "store_one", "isolate"))
CUT: Final = frozenset(("cut", "one_way", "isolate"))
BOTH_SERVE: Final = 2
BOTH: Final = frozenset(("both_crash", "both_power", "store"))


class ScriptError(Exception):
    """The script dies of a runtime error: nothing further of this run happens."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one run did: the gate as it is now, the line if it wrote one."""

    gate_open: bool
    line: str | None = None


def script(me: str, line: str | None, reply: str) -> Step:
    """One run. `line`: the file's content, None when there is none; `reply`: of the primary's
    /admin/ping, "failed" when there was none. "The firewall is on" is a closed gate."""
    names = (line if line is not None else "null").split("\\")
    if len(names) < 2:
        raise ScriptError("subscript out of range: aNms(1)")
    text = reply.lower()
    primary_answers = "rejected" in text or "success" in text
    flagged = names[-1].strip(" ") == FLAG
    if names[0].lower() == me.lower():
        if primary_answers and not flagged:
            return Step(gate_open=True)  # "make sure the firewall is off"
        return Step(gate_open=False)
    if primary_answers:
        return Step(gate_open=False)  # whatever the flag says
    if flagged:
        return Step(gate_open=True)
    return Step(gate_open=True, line="\\".join([*names, FLAG]))


@dataclass(slots=True)
class Machine:
    """One origin with its scheduled script. The counts are of faults under way."""

    name: str
    gate_open: bool
    down: int = 0  # neither server nor script
    frozen: int = 0  # nothing runs, the gate stays what it is
    storeless: int = 0  # the file can be neither read nor written

    @property
    def runs(self) -> bool:
        return not self.down and not self.frozen

    @property
    def serves(self) -> bool:
        return self.gate_open and self.runs


class ArticlePair:
    """Both machines, the file and the network between them, on one clock."""

    def __init__(self, seed: int, faults: Sequence[Fault]) -> None:
        self.now = 0.0
        self.line = f"{PRIMARY}\\{SECONDARY}"
        self.machines = {name: Machine(name, name == PRIMARY) for name in (PRIMARY, SECONDARY)}
        self.cuts = 0
        self.two_writers_seconds = 0.0
        self.violations: list[Violation] = []
        self.trace: list[str] = []
        self._random = random.Random(f"{seed}/article")
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        for machine in self.machines.values():
            self._at(self._random.uniform(0, INTERVAL), partial(self._scheduled, machine))
        for fault in faults:
            self._at(fault.at, partial(self._begin, fault))

    def run(self) -> None:
        end = SECONDS + REPAIRED_SECONDS
        while self._events and self._events[0][0] <= end:
            when, _, event = heapq.heappop(self._events)
            if self._serving == BOTH_SERVE:
                self.two_writers_seconds += when - self.now
            self.now = when
            event()
            if self._serving == BOTH_SERVE:
                self._found(TWO_WRITERS, "both serve")
        if not self._serving:
            self._found(OUTAGE, "everything is repaired and both gates are closed")

    @property
    def _serving(self) -> int:
        return sum(machine.serves for machine in self.machines.values())

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _scheduled(self, machine: Machine) -> None:
        self._at(self.now + INTERVAL, partial(self._scheduled, machine))
        if not machine.runs:
            return
        try:
            step = self._run_script(machine)
        except ScriptError as error:
            self._say(f"{machine.name}: the script dies: {error}")
            return
        if step.line is not None:
            self.line = step.line
            self._say(f"{machine.name} writes {step.line}")
        if step.gate_open is not machine.gate_open:
            machine.gate_open = step.gate_open
            self._say(f"{machine.name} {'OPENS' if step.gate_open else 'closes'}")

    def _run_script(self, machine: Machine) -> Step:
        if machine.storeless:
            raise ScriptError("the NAS does not answer")
        primary = self.machines[PRIMARY]
        reached = primary.runs and (machine is primary or not self.cuts)
        reply = "NetConnection.Call.Success" if reached else "failed"
        return script(machine.name, self.line, reply)

    def _begin(self, fault: Fault) -> None:
        self._say(f"fault: {fault}")
        machines = [*self.machines.values()]
        if fault.kind not in BOTH:
            machines = [self._target(fault.node)]
        if fault.kind in DOWN:
            self._count(fault, "down", machines)
        elif fault.kind in FROZEN:
            self._count(fault, "frozen", machines)
        if fault.kind in STORELESS:
            self._count(fault, "storeless", machines)
        if fault.kind in CUT:
            self._cut(+1)
            self._at(min(self.now + fault.seconds, SECONDS), partial(self._cut, -1))

    def _target(self, node: str) -> Machine:
        """A name, or "active" and "standby": who has an open gate now, and the other one."""
        primary, secondary = self.machines.values()
        by_role = (secondary, primary) if secondary.gate_open else (primary, secondary)
        roles = dict(zip(("active", "standby"), by_role, strict=True))
        return (roles | self.machines)[node]

    def _count(self, fault: Fault, what: str, machines: Sequence[Machine]) -> None:
        def add(step: int) -> None:
            for machine in machines:
                setattr(machine, what, getattr(machine, what) + step)

        add(+1)
        self._at(min(self.now + fault.seconds, SECONDS), partial(add, -1))

    def _cut(self, step: int) -> None:
        self.cuts += step

    def _found(self, invariant: str, text: str) -> None:
        if all(known.invariant != invariant for known in self.violations):
            self._say(f"VIOLATION {invariant}: {text}")
            self.violations.append(Violation(invariant, self.now, text))

    def _say(self, text: str) -> None:
        self.trace.append(f"{self.now:8.3f} {text}")


def simulate_article(seed: int, faults: Sequence[Fault]) -> ArticlePair:
    """The article's pair after these faults and their repair."""
    pair = ArticlePair(seed, faults)
    pair.run()
    return pair
