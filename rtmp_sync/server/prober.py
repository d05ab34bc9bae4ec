"""One round of probes every interval: the other origin on every path, and this one itself.

The probes of a round run beside each other and each has its deadline, which is shorter than the
interval: rounds never overlap, and nobody is asked more often than once a round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.view import State
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects, SelfTest

__all__ = ["Probe", "Prober", "Probes"]


class Probe(Protocol):
    """Asks the peer on a path other than the link: True, False, or None for "rejected"."""

    async def __call__(self) -> bool | None: ...


class Probes(Protocol):
    """Ways to ask the peer; None where the configuration has none."""

    @property
    def admin(self) -> Probe | None: ...
    @property
    def rtmp(self) -> Probe | None: ...

    async def close(self) -> None: ...


class Prober:
    """`wake` is called after each round."""

    def __init__(
        self,
        effects: Effects,
        member: Member,
        probes: Probes,
        *,
        interval_seconds: float,
        wake: Callable[[], None],
    ) -> None:
        self._effects = effects
        self._member = member
        self._probes = probes
        self._interval_seconds = interval_seconds
        self._wake = wake

    async def run(self) -> None:
        while True:
            begun = now()
            await self._round(begun)
            self._wake()
            await asyncio.sleep(max(0.0, begun + self._interval_seconds - now()))

    async def close(self) -> None:
        await self._probes.close()

    async def _round(self, begun: float) -> None:
        paths = {"admin": self._probes.admin}
        if self._peer_should_be_open():
            paths["rtmp"] = self._probes.rtmp
        asked = {path: probe for path, probe in paths.items() if probe is not None}
        test, answers = await asyncio.gather(
            self._effects.check_self(port_open=self._should_be_open),
            asyncio.gather(*(probe() for probe in asked.values())),
        )
        found: dict[str, bool | None] = dict(zip(asked, answers, strict=True))
        if (link := self._effects.replication) is not None:
            found["link"] = link.connected
        self._member.probed(found, begun=begun, now=now())
        self._tell(test)

    def _tell(self, test: SelfTest) -> None:
        """What this node found of itself, to its member and to the peer."""
        member, age = self._member, self._effects.lb_checks_age(now())
        member.self_tested(test.ok, test.reason)
        member.load_balancer_seen(age)
        if (link := self._effects.replication) is not None:
            link.report(
                healthy=test.ok,
                lb_checks_age=-1.0 if age is None else age,
                loop_lag=test.loop_lag,
            )

    def _should_be_open(self) -> bool:
        return self._member.state is State.ACTIVE and self._member.role == "active"

    def _peer_should_be_open(self) -> bool:
        """Its port says something only then: a closed one refuses. While the link works the
        peer looks at its port itself, and gives the service away if that does not answer; for
        that this node must be READY, and not doubt it."""
        record, link = self._member.record, self._effects.replication
        if record is None or link is None or link.connected:
            return False
        return record.holder != self._member.observer.identity.node_id and not record.released
