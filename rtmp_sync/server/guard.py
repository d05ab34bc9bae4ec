"""The guard: an origin's small parent process, which sees to it that a dead or hung origin
lets go (failover.md, "Watchdog and guard").

It watches a heartbeat on a pipe. When the child exits, or is silent for too long, the guard
kills the child's process group, reaps all of it, proves the gate closed, releases the record
if the child had opened its gate, and starts another child. If the guard itself dies, the
origin serves on. Under systemd the guard speaks for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from rtmp_sync.cluster.timing import Timing
from rtmp_sync.config import load_config
from rtmp_sync.coordinators import make_coordinator
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls import make_closer
from rtmp_sync.firewalls.base import Closer
from rtmp_sync.server.clock import now
from rtmp_sync.server.departure import departure_seconds
from rtmp_sync.server.guard_child import CLEAN, GuardChild
from rtmp_sync.server.guard_release import GuardRelease
from rtmp_sync.server.orphans import adopt_orphans
from rtmp_sync.server.systemd import Systemd

__all__ = ["Guard", "run_guard"]

WRONG_CONFIGURATION = 2

BUDGET = 5  # starts in a row that reached neither READY nor ACTIVE
BACKOFF_SECONDS = (0.2, 10.0)  # first and last
LATE_TICK_SECONDS = 1.0  # the guard itself did not run: what it missed tells nothing


def run_guard(config_path: str | Path) -> int:
    """Keep an origin running until it stops cleanly; the exit code of the whole. Raises
    ConfigError before anything is started."""
    config = load_config(config_path)
    command = (
        *(sys.executable, "-m", "rtmp_sync", "serve"),
        *("--config", str(config_path), "--no-guard"),
    )
    coordinator = make_coordinator(config, owner=f"{config.node.id}-guard")
    guard = Guard(
        command,
        coordinator,
        make_closer(config),
        config.timing(),
        leave_seconds=departure_seconds(config),
    )
    return asyncio.run(guard.run())


class Guard:
    """Starts `command` again and again. Its exit code 2 is passed on, 0 ends the guard.
    leave_seconds: that its clients may keep it when it is told to stop."""

    def __init__(
        self,
        command: Sequence[str],
        coordinator: Coordinator,
        closer: Closer,
        timing: Timing,
        *,
        leave_seconds: float = 0.0,
    ) -> None:
        self._command = command
        self._coordinator = coordinator
        self._timing = timing
        self._leave_seconds = leave_seconds
        self._child: GuardChild | None = None
        self._release = GuardRelease(
            coordinator,
            closer,
            patience_seconds=timing.t_conf,
            retry_seconds=timing.guard_interval,
        )
        self._systemd = Systemd()
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("rtmp_sync.guard")

    async def run(self) -> int:
        """The exit code."""
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        # The helper's process is started now, so that a release takes milliseconds later. What
        # is wrong with the store is the child's to say.
        with contextlib.suppress(ConfigError):
            await self._coordinator.start()
        beating = asyncio.ensure_future(self._beat())
        try:
            return await self._keep_running()
        finally:
            self._systemd.stopping()
            beating.cancel()
            await self._release.end()
            await self._coordinator.stop()
            self._systemd.close()

    def _told_to_stop(self) -> None:
        """Each signal goes on to the origin: it takes the second one for a reason to hurry."""
        if not self._stopping.is_set():
            self._systemd.leaving(self._leave_seconds)
        self._stopping.set()
        if self._child is not None:
            self._child.ask_to_stop(self._leave_seconds)

    async def _beat(self) -> None:
        """This loop runs, whatever it waits for."""
        while True:
            self._systemd.beat()
            await asyncio.sleep(self._timing.guard_interval)

    async def _keep_running(self) -> int:
        failures, former_life = 0, ""
        while not self._stopping.is_set():
            child = self._child = GuardChild(self._command, former_life, self._systemd)
            code = await self._watch(child)
            await self._release.release(child.gate, child.killed or "process_exit")
            former_life = child.former_life
            self._log.warning("origin_ended", code=code, life=former_life)
            if code in (CLEAN, WRONG_CONFIGURATION) or self._stopping.is_set():
                return code
            failures = 0 if child.well else failures + 1
            if failures > BUDGET:
                self._log.error("restart_budget_spent", starts=failures)
                return code
            first, last = BACKOFF_SECONDS
            await self._pause(min(last, first * 2.0 ** max(0, failures - 1)))
        return CLEAN

    async def _watch(self, child: GuardChild) -> int:
        """Until the child and its whole group are reaped; its exit code, 1 for a signal."""
        interval = self._timing.guard_interval
        while not child.exited.is_set():
            ticked = now()
            await self._pause(interval, child.exited)
            if now() - ticked > interval + LATE_TICK_SECONDS:
                child.count_again()
            elif child.is_silent(self._timing.guard_deadline):
                child.kill("hung")
            elif child.stop_by is not None and now() > child.stop_by:
                child.kill("did not stop")
        return await child.bury()

    async def _pause(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """Sleep, or until `event`, or until the guard is told to stop."""
        waits = [asyncio.ensure_future(e.wait()) for e in (event, self._stopping) if e is not None]
        if event is not None and self._stopping.is_set():
            waits.pop().cancel()  # told already: wait for the child alone
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
