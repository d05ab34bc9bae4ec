"""How late the event loop runs what was due: the measure of a process that is overloaded."""

from __future__ import annotations

import asyncio

__all__ = ["LoopLag"]

INTERVAL_SECONDS = 0.1
WINDOW = 10  # samples: the worst of the last second counts


class LoopLag:
    """Samples by a timer, ten times a second."""

    def __init__(self) -> None:
        self._samples = [0.0] * WINDOW
        self._next = 0
        self._worst = 0.0  # since it was last asked for
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """The worst lag of the last second, or what the present stall has come to."""
        worst = max(self._samples)
        if self._timer is not None:
            worst = max(worst, asyncio.get_running_loop().time() - self._due)
        return worst

    def since_last_asked(self) -> float:
        """The worst lag that was seen since this was called before: so each stall counts once."""
        worst, self._worst = self._worst, 0.0
        return worst

    def start(self) -> None:
        """Sample from now on."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + INTERVAL_SECONDS
        self._timer = loop.call_at(self._due, self._sample)

    def stop(self) -> None:
        """Sample no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        late = asyncio.get_running_loop().time() - self._due
        self._samples[self._next % WINDOW] = max(0.0, late)
        self._worst = max(self._worst, late)
        self._next += 1
        self.start()
