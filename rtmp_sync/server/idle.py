"""Clients that nothing comes from and nothing goes to: `rtmp.idle_timeout`.

Pings and what keeps a connection alive do not count; a message of a stream, of a shared object or
a call does, in either direction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["IdleClients"]

_LOOKS: Final = 4  # in the time after which one is idle


class IdleClients:
    """seconds: None for ever. clients: those that are connected now."""

    def __init__(self, seconds: float | None, clients: Iterable[Session]) -> None:
        self._seconds = seconds
        self._clients = clients
        self._last: dict[Session, tuple[int, float]] = {}  # what it had moved, and since when
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look after them from now on."""
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds / _LOOKS, self._look, self._seconds)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, seconds: float) -> None:
        last, self._last = self._last, {}
        for client in self._clients:
            if not client.joined or client.closing:
                continue
            moved = client.moved
            seen, since = last.get(client, (-1, now()))
            if seen != moved:
                since = now()
            elif now() - since >= seconds:
                client.link.leave_idle(seconds)
            self._last[client] = (moved, since)
        self.start()
