"""An origin's checks of itself: does its loop run, does its port answer, does its disk write.

A disk that is full or hangs is an alarm and no reason to stop: the pair's memory has everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtmp_sync.server.loop_lag import LoopLag
from rtmp_sync.server.persistence import Persistence

__all__ = ["MAX_LOOP_LAG_SECONDS", "OwnHealth", "SelfTest"]

MAX_LOOP_LAG_SECONDS = 1.0  # a loop this late serves nobody well


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What one look found. rtmp: whether the own port answered; None: it was not asked."""

    loop_lag: float
    persist_failed: bool
    rtmp: bool | None = None

    @property
    def reason(self) -> str:
        """Why this origin should not go on serving: "loop_lag", "self_probe_rtmp" or ""."""
        if self.loop_lag >= MAX_LOOP_LAG_SECONDS:
            return "loop_lag"
        return "self_probe_rtmp" if self.rtmp is False else ""

    @property
    def ok(self) -> bool:
        return not self.reason


class OwnHealth:
    """`probe_rtmp` asks the own public port."""

    def __init__(
        self,
        loop_lag: LoopLag,
        persistence: Persistence,
        probe_rtmp: Callable[[], Awaitable[bool]],
    ) -> None:
        self._loop_lag = loop_lag
        self._persistence = persistence
        self._probe_rtmp = probe_rtmp

    async def check(self, *, port_open: Callable[[], bool]) -> SelfTest:
        """For the watchdog, which counts: one stall fails one check. The port is asked while
        it should be open, and what was found counts if it should be still."""
        answered = await self._probe_rtmp() if port_open() else None
        if not port_open():
            answered = None
        return SelfTest(self._loop_lag.since_last_asked(), self._persistence.failed, answered)

    def look(self) -> SelfTest:
        """As it is now, without asking the port: for monitors."""
        return SelfTest(self._loop_lag.seconds, self._persistence.failed)
