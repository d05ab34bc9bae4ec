"""What one client may send in a second: `rtmp.max_byte_rate`, `rtmp.max_message_rate`.

Who sends faster is read later, so its own TCP connection slows it down: nothing is lost, and what
it sends waits at its side. A second's worth may come at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Inflow", "InflowRates"]


class InflowRates(NamedTuple):
    """In a second; None for any number."""

    bytes: int | None = None
    messages: int | None = None


class Inflow:
    """Of one client. held: nothing is to be read of it now. go_on: called when that ends."""

    __slots__ = ("_credit", "_go_on", "_loop", "_rates", "_seen", "_taken_at", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rates: InflowRates, go_on: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._rates = rates
        self._go_on = go_on
        self._credit = [float(rate or 0) for rate in rates]
        self._seen = (0, 0)
        self._taken_at = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        return self._timer is not None

    def take(self, total_bytes: int, total_messages: int) -> bool:
        """So much has come in all; whether to read nothing more for now."""
        if self._rates == (None, None) or self.held:
            return self.held
        now = self._loop.time()
        passed, self._taken_at = now - self._taken_at, now
        seconds = 0.0
        totals = (total_bytes, total_messages)
        for index, (rate, total, seen) in enumerate(
            zip(self._rates, totals, self._seen, strict=True)
        ):
            if rate is None:
                continue
            credit = min(rate, self._credit[index] + passed * rate) - (total - seen)
            self._credit[index] = credit
            seconds = max(seconds, -credit / rate)
        self._seen = totals
        if seconds > 0:
            self._timer = self._loop.call_later(seconds, self._over)
        return self.held

    def end(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    def _over(self) -> None:
        self._timer = None
        self._go_on()
