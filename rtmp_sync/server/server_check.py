"""Is a server fit for new connections? HAProxy's rules, as in our sample configuration.

    option httpchk GET /health/active
    timeout check 800ms
    default-server inter 1s fastinter 100ms downinter 100ms fall 2 rise 1
                   on-marked-down shutdown-sessions
                   observe layer4 error-limit 1 on-error mark-down

One check runs at a time, and the next is due an interval after it ended, so a server that
does not answer is asked about once a second, never more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from rtmp_sync.config_values import Address

__all__ = ["CheckTimes", "CheckedServer"]

_log = structlog.get_logger("rtmp_sync.front_door")


@dataclass(frozen=True, slots=True)
class CheckTimes:
    """When to ask (seconds), and how many answers in a row change the verdict."""

    inter: float = 1.0
    fastinter: float = 0.1  # while answers contradict the verdict
    downinter: float = 0.1
    timeout: float = 0.8
    fall: int = 2
    rise: int = 1


class CheckedServer:
    """One server behind the load balancer and what is known of it.

    `on_marked_down` is called whenever `up` goes from True to False.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        health: Address,
        *,
        times: CheckTimes,
        on_marked_down: Callable[[CheckedServer], None],
    ) -> None:
        self.name = name
        self.address = address
        self.health = health
        self.up = False
        self._times = times
        self._on_marked_down = on_marked_down
        self._contradictions = 0  # answers in a row that contradict `up`
        self._recheck = asyncio.Event()

    def connection_failed(self) -> None:
        """A client's connection could not be made: one such error is enough."""
        if self.up:
            self._mark(False, "connection_failed")
            self._recheck.set()

    async def run(self) -> None:
        """Check for ever."""
        while True:
            self._note(await self._check())
            self._recheck.clear()
            try:
                async with asyncio.timeout(self._interval()):
                    await self._recheck.wait()
            except TimeoutError:
                continue
            # Marked down by an error meanwhile: from now on the interval of a down server.
            await asyncio.sleep(self._times.downinter)

    def _interval(self) -> float:
        if not self.up:
            return self._times.downinter
        return self._times.fastinter if self._contradictions else self._times.inter

    def _note(self, passed: bool) -> None:
        if passed == self.up:
            self._contradictions = 0
            return
        self._contradictions += 1
        if self._contradictions >= (self._times.rise if passed else self._times.fall):
            self._mark(passed, "check")

    def _mark(self, up: bool, reason: str) -> None:
        self.up = up
        self._contradictions = 0
        _log.info("server_marked_up" if up else "server_marked_down", id=self.name, reason=reason)
        if not up:
            self._on_marked_down(self)

    async def _check(self) -> bool:
        """One GET /health/active: True for status 200 within the time."""
        writer = None
        try:
            async with asyncio.timeout(self._times.timeout):
                reader, writer = await asyncio.open_connection(*self.health)
                writer.write(b"GET /health/active HTTP/1.0\r\n\r\n")
                status_line = await reader.readline()
        except (OSError, TimeoutError, ValueError):  # ValueError: a line without an end
            return False
        finally:
            if writer is not None:
                writer.transport.abort()
        return status_line.split()[1:2] == [b"200"]
