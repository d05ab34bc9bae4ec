"""Reads the store for the watchdog: at every probe, and much more often when it matters.

After the end of the link the record is read at once and then every 50 ms for 5 s: a guard
releases within milliseconds, and that is what makes a takeover after a crash fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtmp_sync.cluster.observer import Observer
from rtmp_sync.coordinators.base import Coordinator, Reading
from rtmp_sync.errors import StoreError
from rtmp_sync.server.clock import now

__all__ = ["StoreReader"]

HASTE_INTERVAL_SECONDS = 0.05
HASTE_SECONDS = 5.0


class StoreReader:
    """`saw` is called after each attempt."""

    def __init__(
        self,
        coordinator: Coordinator,
        observer: Observer,
        *,
        interval_seconds: float,
        beats: Callable[[], bool],
        saw: Callable[[Reading | None], None],
    ) -> None:
        self._coordinator = coordinator
        self._observer = observer
        self._interval_seconds = interval_seconds
        self._beats = beats
        self._saw = saw
        self._now = asyncio.Event()
        self._haste_until = 0.0

    def hurry(self) -> None:
        """Read at once, and often for a while."""
        self._haste_until = now() + HASTE_SECONDS
        self._now.set()

    def read_now(self) -> None:
        self._now.set()

    async def run(self) -> None:
        while True:
            self._now.clear()
            await self._read()
            await self._pause()

    async def _read(self) -> None:
        try:
            reading = await self._coordinator.read(beat=self._beats())
        except StoreError:
            self._observer.could_not_read()
            self._saw(None)
            return
        self._observer.renamed(self._coordinator.node_id)
        self._observer.saw(reading.sighting)
        self._saw(reading)

    async def _pause(self) -> None:
        haste = now() < self._haste_until
        seconds = HASTE_INTERVAL_SECONDS if haste else self._interval_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._now.wait()
        except TimeoutError:
            pass
