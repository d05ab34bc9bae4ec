"""A client that takes nothing of what is written to it: it is gone, without a word.

Watched from when its transport is full until that has drained. One that takes anything at all in
`seconds` is slow, which is its right: what it loses meanwhile is its outbox's business. A ping
cannot tell the two apart, for it stands behind all that waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StallWatch"]


class StallWatch:
    """Of one connection. on_stalled: called with the reason to end it."""

    __slots__ = ("_left", "_on_stalled", "_seconds", "_timer")

    def __init__(self, seconds: float, on_stalled: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._on_stalled = on_stalled
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    @property
    def watching(self) -> bool:
        return self._timer is not None

    def begin(self, transport: asyncio.WriteTransport) -> None:
        """Its transport is full."""
        self._left = transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._look, transport)

    def end(self) -> None:
        """It has drained, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.WriteTransport) -> None:
        if transport.get_write_buffer_size() < self._left:
            self.begin(transport)
        else:
            self._on_stalled(f"has taken nothing of what it is sent for {self._seconds:g} s")
