"""Notices when the machine's wall clock is set: nothing here depends on it, but the times in
logs and histories do."""

from __future__ import annotations

import time
from collections.abc import Callable

from rtmp_sync.server.clock import now

__all__ = ["WallClock"]

STEP_SECONDS = 1.0  # less is a clock that is kept in time, not one that was set
STEADY_SECONDS = 0.1  # a look that took longer compares two different instants


class WallClock:
    """`wall` and `clock` give seconds, each since a point of its own."""

    def __init__(
        self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = now
    ) -> None:
        self._wall = wall
        self._clock = clock
        self._ahead = wall() - clock()

    def step(self) -> float:
        """Seconds by which it was set since the last look; 0 for none worth telling."""
        before = self._clock()
        ahead = self._wall() - before
        if self._clock() - before > STEADY_SECONDS:
            return 0.0
        step, self._ahead = ahead - self._ahead, ahead
        return step if abs(step) > STEP_SECONDS else 0.0
