"""What a fault works on: a pair under load, and what is looked at while it is done.

A fault does things to the site, says with `strike` when, and asks for what must come of it. Each
question becomes a `Check`; nothing that was asked is forgotten, and nothing passes by itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.checker.logs import Log
from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Overdue, now, within

from .etcd_store import EtcdStore
from .fault import Check
from .machine import GUARD, ORIGIN
from .port_sampler import PortSampler
from .site import Site
from .store import Nas

WHOLE_SECONDS = 60.0
HEARD_SECONDS = 8.0  # for what an operator must be told
POLL_SECONDS = 0.05
PORT_SECONDS = 1.0  # from a health check that says so to a connect
MAX_WORDS = 200  # of an exception
CLOCK_SLACK = 0.2  # between our noting a fault and its being done


class Scene:
    """One fault's. The observers outlive it; `checks` and `observed` are what it leaves."""

    def __init__(
        self, site: Site, load: Load, gates: GateLog, health: HealthSampler, ports: PortSampler
    ) -> None:
        self.site = site
        self.load = load
        self.gates = gates
        self.health = health
        self.ports = ports
        self.checks: list[Check] = []
        self.observed: list[str] = []
        self.struck_at = now()
        self.may_lose = False  # what was acknowledged may be gone after this fault, as stated
        self.spoiled = False  # the pair is not one that another fault could begin with
        self._frozen: dict[str, float] = {}
        self._logs = {node: Log(machine.log) for node, machine in site.machines.items()}
        for log in self._logs.values():
            log.collect()
            log.problems.clear()
            log.guard_kills.clear()

    @property
    def nas(self) -> Nas:
        assert isinstance(self.site.store, Nas)
        return self.site.store

    @property
    def etcd(self) -> EtcdStore:
        assert isinstance(self.site.store, EtcdStore)
        return self.site.store

    # ---- what is done ----

    def strike(self, what: str) -> float:
        """The fault begins now; of several, the pause of clients is measured at each."""
        at = now()
        if not self.load.history.faults:
            self.struck_at = at
        self.load.history.fault(at, what)
        return at

    def kill(self, node: str, *roles: str) -> None:
        """SIGKILL; none named: origin and guard with their helpers."""
        self.site.machines[node].signal(signal.SIGKILL, *roles)
        if not roles or ORIGIN in roles:
            self.gates.ended(self.site.machines[node].as_node(), now())

    def freeze(self, node: str, *roles: str) -> None:
        """SIGSTOP; none named: the whole host."""
        self.site.machines[node].signal(signal.SIGSTOP, *roles)
        self._frozen.setdefault(node, now())

    def thaw(self, node: str) -> None:
        since = self._frozen.pop(node)
        until = now()
        self.gates.frozen(self.site.machines[node].as_node(), since, until)
        if self.site.setup.gate == "listener":
            self.ports.ignore(node, since, until + 1.0)
        self.site.machines[node].signal(signal.SIGCONT)

    def power_off(self, *nodes: str) -> None:
        """At once. The cable is dead first: of dead processes the kernel still sends what they
        wrote."""
        machines = [self.site.machines[node] for node in nodes]
        for machine in machines:
            self.site.network.unplug(machine.host)
            machine.signal(signal.SIGSTOP)
        for machine in machines:
            self.site.store.power_off(machine.node)
            self.gates.ended(machine.as_node(), machine.power_off())

    def power_on(self, node: str) -> None:
        self.site.store.power_on(node)
        self.site.network.plug(self.site.machines[node].host)
        self.site.switch_on(node)

    # ---- what must be ----

    def check(self, what: str, ok: object, seen: object = "") -> bool:
        self.checks.append(Check(what, bool(ok), str(seen)))
        return bool(ok)

    def note(self, text: str) -> None:
        """Something for the table."""
        self.observed.append(text)

    async def comes(
        self, what: str, look: Callable[[], Awaitable[Any]], *, seconds: float = HEARD_SECONDS
    ) -> Any:
        """Poll `look` until it tells something true, and return that; else a failed check."""
        try:
            found = await within(seconds, what, look, every=POLL_SECONDS)
        except Overdue as overdue:
            self.check(what, False, overdue)
            return None
        self.check(what, True)
        return found

    async def serves(self, node: str, *, seconds: float, since: float | None = None) -> bool:
        """The node opens within so many seconds of the fault, or of `since`; noted is when its
        port did."""
        since = self.struck_at if since is None else since
        left = max(0.0, since + seconds - now())
        what = f"{node} serves within {seconds:g} s"
        if not await self.comes(what, lambda: self.site.healthy(node, "active"), seconds=left):
            return False

        async def opened() -> float | None:
            return self.ports.opened(node, self.ports.closed(node, since) or since)

        with suppress(Overdue):
            at = await within(PORT_SECONDS, "its port is open", opened)
            self.note(f"{node} open after {at - since:.2f} s")
        return True

    async def nobody_serves(self, *, seconds: float) -> None:
        """For so long no port opens, once whoever was open is closed."""
        since = now()
        await asyncio.sleep(seconds)
        opened = [n for n in self.ports.samples if self.ports.opened(n, since) is not None]
        self.check(f"nobody serves for {seconds:g} s", not opened, " ".join(opened))

    async def serves_on(self, node: str, *, seconds: float) -> None:
        """For so long the node is open, in the epoch that it had, and the other one is not."""
        epoch = (await self.site.status(node)).get("epoch")
        since = now()
        await asyncio.sleep(seconds)
        status = await self.site.status(node)
        closed = self.ports.closed(node, since)
        other = self.ports.opened(self.site.other(node), since)
        self.check(f"{node} is open all the time", closed is None, closed and closed - since)
        self.check("the other port stays closed", other is None)
        same = status.get("role") == "active" and status.get("epoch") == epoch
        if self.check(f"{node} serves on in its epoch", same, status.get("epoch")):
            self.note(f"{node} serves on, epoch {epoch}")

    async def event(self, node: str, name: str, *, wait: float = HEARD_SECONDS, **said: Any) -> Any:
        """The node's history has this event since the fault, with these fields. A field
        may be a function of its value. wait: seconds."""

        async def look() -> Any:
            for event in reversed(await self.site.history(node)):
                fits = all(_fits(event.get(key.rstrip("_")), value) for key, value in said.items())
                if (
                    event["event"] == name
                    and fits
                    and event["clock"] > self.struck_at - CLOCK_SLACK
                ):
                    return event
            return None

        fields = " ".join(f"{key.rstrip('_')}={_shown(value)}" for key, value in said.items())
        found = await self.comes(f"{node} tells: {name} {fields}".strip(), look, seconds=wait)
        if found:
            self.note(f"{node}: {name}{f' ({fields})' if fields else ''}")
        else:
            names = [
                event["event"]
                for event in await self.site.history(node)
                if event["clock"] > self.struck_at - CLOCK_SLACK
            ]
            self.note(f"{node} told {', '.join(dict.fromkeys(names)) or 'nothing'}")
        return found

    async def decision(self, node: str, *names: str) -> str:
        """One of these events, by which the node says why it serves: name and reason."""

        async def look() -> str:
            for event in reversed(await self.site.history(node)):
                if event["event"] in names and event["clock"] > self.struck_at:
                    return f"{event['event']} {event.get('reason', '')}".strip()
            return ""

        return str(await self.comes(f"{node} says why it serves", look))

    async def alarm(self, node: str, name: str, *, seconds: float = HEARD_SECONDS) -> Any:
        """The node raises this alarm; its text."""

        async def look() -> Any:
            return (await self.site.status(node)).get("alarms", {}).get(name)

        text = await self.comes(f"{node} raises {name}", look, seconds=seconds)
        if text:
            self.note(f"{node}: alarm {name}")
        else:
            raised = (await self.site.status(node)).get("alarms", {})
            self.note(f"{node} raises {', '.join(raised) or 'nothing'}")
        return text

    async def quiet(self, node: str, name: str, *, seconds: float = HEARD_SECONDS) -> None:
        """The node's alarm ends."""

        async def look() -> bool:
            status = await self.site.status(node)
            return bool(status) and name not in status["alarms"]

        await self.comes(f"{node}: {name} has ended", look, seconds=seconds)

    async def state(self, node: str, key: str, value: object, *, seconds: float = 10.0) -> bool:
        """`/status` of the node says so."""

        async def look() -> bool:
            return bool((await self.site.status(node)).get(key) == value)

        return bool(await self.comes(f"{node}: {key} is {value}", look, seconds=seconds))

    async def whole(self, active: str | None = None, *, seconds: float = WHOLE_SECONDS) -> bool:
        """Both are there and in sync again."""

        async def look() -> bool:
            nodes = [active] if active else list(self.site.machines)
            for node in nodes:
                if await self.site.healthy(node, "active"):
                    return await self.site.healthy(self.site.other(node), "standby")
            return False

        what = f"whole again{f', {active} serving' if active else ''}"
        return bool(await self.comes(what, look, seconds=seconds))

    async def acknowledged(self, more: int, *, seconds: float = 20.0) -> None:
        """So many writes are acknowledged from now on."""
        try:
            await self.load.acknowledged(more, seconds=seconds)
        except Overdue as overdue:
            self.check("clients are served", False, overdue)
            return
        self.check("clients are served", True)

    # ---- the end ----

    async def judge(self) -> None:
        """Bring the clients to rest, look at everything, and say what promise was broken."""
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await self.load.rest()
                await self.load.agree("last-look", seconds=WHOLE_SECONDS / 2)
        except (TimeoutError, Overdue, ExceptionGroup) as error:
            self.check("clients are served in the end", False, repr(error))
        self.gates.collect()
        for node, log in self._logs.items():
            log.collect()
            for at in log.guard_kills:
                self.gates.ended(self.site.machines[node].as_node(), at)
            fell = [line for line in log.problems if "Traceback" in line or '"exception"' in line]
            last_words = fell[0][-MAX_WORDS:] if fell else ""
            self.check(f"nothing fell over in {node}", not fell, last_words)
        broken = self.load.history.problems()
        if self.may_lose and broken:
            self.note(f"{len(broken)} acknowledged writes or looks gone, as stated")
            broken = [text for text in broken if text.startswith(("two accepted", "one epoch"))]
        self.check("nothing acknowledged is lost, taken back or done twice", not broken, broken[:3])
        both = [*self.gates.problems(), *self.ports.problems()]
        both += [f"both said active at {at:.3f}" for at in self.health.both]
        self.check("never two gates open", not both, both[:3])


def _fits(found: object, wanted: object) -> bool:
    return found is not None and bool(wanted(found)) if callable(wanted) else found == wanted


def _shown(value: object) -> str:
    return "…" if callable(value) else str(value)


__all__ = ["GUARD", "ORIGIN", "Scene"]
