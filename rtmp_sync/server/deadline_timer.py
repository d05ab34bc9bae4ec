"""The timer of a `protocol.Connection`, which itself has no clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtmp_sync.protocol.connection import Connection
from rtmp_sync.server.clock import now

__all__ = ["DeadlineTimer"]


class DeadlineTimer:
    """Calls `ring` no later than the connection's next deadline, once for each `arm`."""

    __slots__ = ("_at", "_connection", "_loop", "_ring", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Connection, ring: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0  # when it rings, of `now`

    def arm(self) -> None:
        """After anything that may have moved the deadline."""
        deadline = self._connection.next_deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if self._at <= deadline:
                return  # it rings too early and is armed again: cheaper than a new one each time
            self._timer.cancel()
        self._at = deadline
        self._timer = self._loop.call_later(max(deadline - now(), 0.0), self._rings)

    def cancel(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        self._ring()
