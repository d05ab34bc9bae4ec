"""Reads the store for the member: at every probe, and much more often when it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtmp_sync.cluster.member import Member
from rtmp_sync.coordinators.base import Coordinator, Reading
from rtmp_sync.errors import StoreError
from rtmp_sync.server.clock import now
from rtmp_sync.server.renewals import Renewals

__all__ = ["StoreReader"]


class StoreReader:
    """`saw` is called after each attempt, with what was read if anything was."""

    def __init__(
        self, coordinator: Coordinator, member: Member, saw: Callable[[Reading | None], None]
    ) -> None:
        self.renewals = Renewals()
        self._coordinator = coordinator
        self._member = member
        self._saw = saw
        self._urgent = asyncio.Event()
        coordinator.on_change(self.told)

    def look(self) -> None:
        """The member may want to read at once."""
        if self._member.wants_read:
            self._urgent.set()

    def told(self) -> None:
        """The store says by itself that something changed: read at once, or once more."""
        self._urgent.set()

    async def run(self) -> None:
        while True:
            self._member.read_began()
            self._urgent.clear()
            await self._read()
            await self._pause()

    async def _read(self) -> None:
        began, beats = now(), self._member.beats
        try:
            reading = await self._coordinator.read(beat=beats)
        except StoreError:
            self.renewals.failed += beats
            self._member.could_not_read(self._coordinator.condition)
            self._saw(None)
            return
        if beats:
            self.renewals.took(now() - began, now())
        self._member.renamed(self._coordinator.node_id)
        self._member.saw(
            reading.sighting,
            now(),
            nodes=reading.nodes,
            line=reading.line,
            wished_holder=reading.wished_holder,
        )
        self._saw(reading)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._member.read_interval(now())):
                await self._urgent.wait()
        except TimeoutError:
            pass
