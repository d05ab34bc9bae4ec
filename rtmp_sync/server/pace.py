"""How fast what waits for one client leaves: so many bytes a second, with a second's worth at once.

A message is never cut, for the protocol's own talk passes between messages: one that is longer than
what may leave goes, and is made up for afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from rtmp_sync.server.bucket import Bucket

__all__ = ["Pace"]

# What may leave gathers for so long: one write then, where each small message would have its own.
_STEP_SECONDS: Final = 0.02


class Pace:
    """Of one outbox. rate: bytes a second. go_on: called when more may leave of what stayed."""

    __slots__ = ("_bucket", "_go_on", "_loop", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rate: int, go_on: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._go_on = go_on
        self._bucket = Bucket(rate, loop.time())
        self._timer: asyncio.TimerHandle | None = None

    def take(self, messages: list[bytes]) -> list[bytes]:
        """Those of the messages, in order, that leave now; the others stay in the list."""
        if self._timer is not None:
            return []
        now = self._loop.time()
        credit = self._bucket.credit(now)
        count = size = 0
        for message in messages:
            if size >= credit:
                break
            size += len(message)
            count += 1
        leaving = messages[:count]
        del messages[:count]
        self._bucket.take(size, now)
        if messages:
            seconds = self._bucket.wait(now) + _STEP_SECONDS
            self._timer = self._loop.call_later(seconds, self._over)
        return leaving

    def change(self, rate: int) -> None:
        """From now on another rate; ask `take` again."""
        self._bucket.change(rate, self._loop.time())
        self.end()

    def end(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        self._go_on()
