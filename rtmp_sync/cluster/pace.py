"""When a node reads the store, and whether it ran at all.

After the end of the link the record is read at once and then every 50 ms for 5 s: a guard
releases within milliseconds, and that is what makes a takeover after a crash fast.
"""

from __future__ import annotations

from math import inf

__all__ = ["Pace"]

HASTE_INTERVAL_SECONDS = 0.05
HASTE_SECONDS = 5.0
STALL_SECONDS = 1.0  # a node late by more has slept through its own probes


class Pace:
    """interval_seconds: between probes, and between reads when nothing is urgent."""

    def __init__(self, interval_seconds: float, read_seconds: float, now: float) -> None:
        self.wants_read = False
        self.stalled_at = -inf  # when the last stall was noticed
        self._interval_seconds = interval_seconds
        self._read_seconds = read_seconds
        self._haste_until = -inf
        self._ran_at = now

    def read_soon(self) -> None:
        self.wants_read = True

    def hurry(self, now: float) -> None:
        """Read at once, and often for a while."""
        self._haste_until = now + HASTE_SECONDS
        self.wants_read = True

    def read_began(self) -> None:
        self.wants_read = False

    def read_interval(self, now: float) -> float:
        """Seconds from the end of a read to the next one."""
        return HASTE_INTERVAL_SECONDS if now < self._haste_until else self._read_seconds

    def ran(self, now: float) -> float:
        """This node runs; for how long it did not, if that was a stall (else 0)."""
        late = now - self._ran_at - self._interval_seconds
        self._ran_at = now
        if late <= STALL_SECONDS:
            return 0.0
        self.stalled_at = now
        return late
