"""The simulated time: what happens next, in one order for a seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["Schedule"]


class Schedule:
    """`now` is in seconds. Events of one instant run in the order in which they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, act, arguments))

    def step(self, end: float) -> bool:
        """Run the next event that is due by `end`; False when there is none."""
        events = self._events
        if not events or events[0][0] > end:
            self.now = end
            return False
        self.now, _, act, arguments = heapq.heappop(events)
        act(*arguments)
        return True
