"""What one client may send in a second: `rtmp.max_byte_rate`, `rtmp.max_message_rate`, and the
limit of its own that the application gave it.

Who sends faster is read later, so its own TCP connection slows it down: nothing is lost, and what
it sends waits at its side. A second's worth may come at once. Its pings wait, too: it is shown now
and then that this end lives.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, Protocol

from rtmp_sync.server.bucket import Bucket

__all__ = ["Inflow", "InflowRates", "Reader"]

_SHOW_SECONDS: Final = 5.0  # from one sign of life to the next; `NetConnection` misses one for 20


class InflowRates(NamedTuple):
    """In a second; None for any number."""

    bytes: int | None = None
    messages: int | None = None


class Reader(Protocol):
    """The part of a session that an inflow uses."""

    def go_on(self) -> None:
        """It may be read again."""

    def show_life(self) -> None:
        """It is still not to be read."""


class Inflow:
    """Of one client. held: nothing is to be read of it now."""

    __slots__ = ("_bytes", "_loop", "_messages", "_rates", "_reader", "_seen", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, rates: InflowRates, reader: Reader) -> None:
        self._loop = loop
        self._rates = rates
        self._reader = reader
        now = loop.time()
        self._bytes = None if rates.bytes is None else Bucket(rates.bytes, now)
        self._messages = None if rates.messages is None else Bucket(rates.messages, now)
        self._seen = (0, 0)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        return self._timer is not None

    def take(self, total_bytes: int, total_messages: int) -> bool:
        """So much has come in all; whether to read nothing more for now."""
        if (self._bytes is None and self._messages is None) or self.held:
            return self.held
        now = self._loop.time()
        seen_bytes, seen_messages = self._seen
        self._seen = (total_bytes, total_messages)
        if self._bytes is not None:
            self._bytes.take(total_bytes - seen_bytes, now)
        if self._messages is not None:
            self._messages.take(total_messages - seen_messages, now)
        self._hold(now)
        return self.held

    def limit(self, rate: int | None, total_bytes: int) -> None:
        """From now on no more bytes a second than that either; None: any number. total_bytes:
        what has come in all: while there was no limit it counts for nothing."""
        rates = [one for one in (rate, self._rates.bytes) if one is not None]
        now = self._loop.time()
        if not rates:
            self._bytes = None
        elif self._bytes is None:
            self._bytes = Bucket(min(rates), now)
            self._seen = (total_bytes, self._seen[1])
        else:
            self._bytes.change(min(rates), now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._hold(now)
            if not self.held:
                self._reader.go_on()

    def end(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    def _hold(self, now: float) -> None:
        buckets = (self._bytes, self._messages)
        seconds = max((one.wait(now) for one in buckets if one is not None), default=0.0)
        if seconds > 0:
            self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        first = min(seconds, _SHOW_SECONDS)
        self._timer = self._loop.call_later(first, self._over, seconds - first)

    def _over(self, left: float) -> None:
        if left > 0:
            self._wait(left)
            self._reader.show_life()
        else:
            self._timer = None
            self._reader.go_on()
