"""Calls whose method waits for something: how many each client has, and for how long.

A method that never returns keeps one of its caller's places, harms nobody else, and is cancelled
after the application's `call_timeout`; its caller is told then. One that does not even end when
it is cancelled keeps its place, unanswered, and is cancelled again each time as much has passed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from structlog.stdlib import BoundLogger

from rtmp_sync.server.overdue import Waiter

__all__ = ["MAX_RUNNING", "RunningCalls"]

MAX_RUNNING: Final = 256  # of one client; ours has at most 64 under way


class RunningCalls:
    """Of one instance. timeout: seconds that a call may run."""

    def __init__(self, timeout: float, log: BoundLogger) -> None:
        self.timeout = timeout
        self._log = log
        self._of_client: Counter[str] = Counter()
        self._timers: dict[Waiter, asyncio.TimerHandle] = {}
        self._overtime: set[Waiter] = set()

    def full(self, client_id: str) -> bool:
        """Whether this client has to wait for an answer before it calls again."""
        return self._of_client[client_id] >= MAX_RUNNING

    def watch(self, task: asyncio.Task[Any], client_id: str, waiter: Waiter, method: str) -> None:
        """A method goes on in `task`."""
        self._of_client[client_id] += 1
        self._arm(task, waiter, method)
        task.add_done_callback(lambda _: self._ended(client_id, waiter))

    def overtime(self, waiter: Waiter) -> bool:
        """Whether the call was cancelled because it ran for too long."""
        return waiter in self._overtime

    def _arm(self, task: asyncio.Task[Any], waiter: Waiter, method: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers[waiter] = loop.call_later(self.timeout, self._cancel, task, waiter, method)

    def _cancel(self, task: asyncio.Task[Any], waiter: Waiter, method: str) -> None:
        self._log.error("call_overtime", method=method, seconds=self.timeout)
        self._overtime.add(waiter)
        task.cancel()
        self._arm(task, waiter, method)

    def _ended(self, client_id: str, waiter: Waiter) -> None:
        self._timers.pop(waiter).cancel()
        self._overtime.discard(waiter)
        self._of_client[client_id] -= 1
        if not self._of_client[client_id]:
            del self._of_client[client_id]
