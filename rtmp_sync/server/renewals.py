"""How long the renewals of the authority take: what tells of a slow store before it costs
anything."""

from __future__ import annotations

__all__ = ["Renewals"]

WINDOW_SECONDS = 60.0  # a Prometheus that asks once a minute sees the slowest one


class Renewals:
    """One heartbeat or renewed lease, and the read after it, is one renewal. Times are seconds of
    one monotonic clock."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0
        self.last_seconds = 0.0
        self._window = -1
        self._worst = [0.0, 0.0]  # of the window before, and of this one

    def took(self, seconds: float, now: float) -> None:
        """One succeeded."""
        self._move_on(now)
        self.count += 1
        self.last_seconds = seconds
        self._worst[1] = max(self._worst[1], seconds)

    def worst_seconds(self, now: float) -> float:
        """The slowest one of the last minute, or of up to two."""
        self._move_on(now)
        return max(self._worst)

    def _move_on(self, now: float) -> None:
        window = int(now // WINDOW_SECONDS)
        if window != self._window:
            follows = window == self._window + 1
            self._window, self._worst = window, [self._worst[1] if follows else 0.0, 0.0]
