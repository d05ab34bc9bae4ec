"""One round of probes every interval: the other origin on every path, and this one itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from rtmp_sync.cluster.member import Member
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects

__all__ = ["Probe", "Prober"]


class Probe(Protocol):
    """Asks the peer on a path other than the link: True, False, or None for "rejected"."""

    async def __call__(self) -> bool | None: ...

    async def close(self) -> None: ...


class Prober:
    """`wake` is called after each round."""

    def __init__(
        self,
        effects: Effects,
        member: Member,
        probe: Probe | None,
        *,
        interval_seconds: float,
        wake: Callable[[], None],
    ) -> None:
        self._effects = effects
        self._member = member
        self._probe = probe
        self._interval_seconds = interval_seconds
        self._wake = wake

    async def run(self) -> None:
        while True:
            begun = now()
            await self._round(begun)
            self._wake()
            await asyncio.sleep(max(0.0, begun + self._interval_seconds - now()))

    async def close(self) -> None:
        if self._probe is not None:
            await self._probe.close()

    async def _round(self, begun: float) -> None:
        answers: dict[str, bool | None] = {}
        if self._effects.replication is not None:
            answers["link"] = self._effects.replication.connected
        if self._probe is not None:
            answers["admin"] = await self._probe()
        self._member.probed(answers, begun=begun, now=now())
        self._member.self_tested(self._effects.self_test().ok)
