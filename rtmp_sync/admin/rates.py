"""How fast counters go up, for whoever asks: since the last look that is a second old or more."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["Rates"]

WINDOW_SECONDS = 1.0
COUNTERS = 4096  # remembered at once; the one asked for longest ago is forgotten


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    total: float
    per_second: float


class Rates:
    """begun: when all counters were 0, on the clock that `now` is of."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self._looks: OrderedDict[str, _Look] = OrderedDict()

    def per_second(self, counter: str, total: float, now: float) -> float:
        """How fast `counter`, which is at `total`, went up since the last look; at the first
        one since it all began."""
        last = self._looks.pop(counter, None) or _Look(self.begun, 0.0, 0.0)
        elapsed = now - last.at
        if elapsed >= WINDOW_SECONDS:
            # a counter that went down began anew: an instance that ended and was started again
            last = _Look(now, total, max(0.0, total - last.total) / elapsed)
        self._looks[counter] = last
        if len(self._looks) > COUNTERS:
            self._looks.popitem(last=False)
        return last.per_second
