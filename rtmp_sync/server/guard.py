"""The guard: an origin's small parent process, which sees to it that a dead or hung origin
lets go (failover.md, "Watchdog and guard").

It watches a heartbeat on a pipe. When the child exits, or is silent for too long, the guard
kills the child's process group, reaps all of it, releases the record if the child had opened
its gate, and starts another child. If the guard itself dies, the origin serves on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.config import load_config
from rtmp_sync.coordinators import make_coordinator
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import ConfigError, StoreError
from rtmp_sync.server.clock import now
from rtmp_sync.server.guard_pipe import VARIABLE
from rtmp_sync.server.orphans import adopt_orphans, reap_group

__all__ = ["Guard", "run_guard"]

CLEAN, FAILED, WRONG_CONFIGURATION = 0, 1, 2

BUDGET = 5  # starts in a row that reached neither READY nor ACTIVE
BACKOFF_SECONDS = (0.2, 10.0)  # first and last
START_SECONDS = 30.0  # until the first sign of life: imports, loading a large journal
STOP_SECONDS = 10.0  # for a clean stop
LATE_TICK_SECONDS = 1.0  # the guard itself did not run: what it missed tells nothing
RELEASED_STATES = ("READY", "ACTIVE")


def run_guard(config_path: str | Path) -> int:
    """Keep an origin running until it stops cleanly; the exit code of the whole. Raises
    ConfigError before anything is started."""
    config = load_config(config_path)
    command = (
        *(sys.executable, "-m", "rtmp_sync", "serve"),
        *("--config", str(config_path), "--no-guard"),
    )
    coordinator = make_coordinator(config, owner=f"{config.node.id}-guard")
    return asyncio.run(Guard(command, coordinator, config.timing()).run())


@dataclass(slots=True)
class _Child:
    """One life of the origin, as it told of itself on the pipe."""

    process: subprocess.Popen[bytes]
    exited: asyncio.Event
    last_sign: float
    pipe: int
    unread: bytes = b""
    beaten: bool = False
    gate: tuple[int, str] | None = None  # (epoch, boot_id) of the gate it was about to open
    well: bool = False  # it reached READY or ACTIVE
    killed: str = ""  # why the guard killed it


class Guard:
    """Starts `command` again and again. Its exit code 2 is passed on, 0 ends the guard."""

    def __init__(self, command: Sequence[str], coordinator: Coordinator, timing: Timing) -> None:
        self._command = command
        self._coordinator = coordinator
        self._timing = timing
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("rtmp_sync.guard")

    async def run(self) -> int:
        """The exit code."""
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        # The helper's process is started now, so that a release takes milliseconds later. What
        # is wrong with the store is the child's to say.
        with contextlib.suppress(ConfigError):
            await self._coordinator.start()
        try:
            return await self._keep_running()
        finally:
            await self._coordinator.stop()

    async def _keep_running(self) -> int:
        failures = 0
        while True:
            child = self._start()
            code = await self._watch(child)
            await self._release(child)
            self._log.warning("origin_ended", code=code, killed=child.killed)
            if code in (CLEAN, WRONG_CONFIGURATION) or self._stopping.is_set():
                return code
            failures = 0 if child.well else failures + 1
            if failures > BUDGET:
                self._log.error("restart_budget_spent", starts=failures)
                return code
            first, last = BACKOFF_SECONDS
            await self._pause(min(last, first * 2.0 ** max(0, failures - 1)))
            if self._stopping.is_set():
                return CLEAN

    # -- one child ------------------------------------------------------------------------

    def _start(self) -> _Child:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            process = subprocess.Popen(
                self._command,
                env={**os.environ, VARIABLE: str(writing)},
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a group of its own; Ctrl-C reaches only the guard
            )
        finally:
            os.close(writing)
        child = _Child(process, asyncio.Event(), now(), reading)
        loop = asyncio.get_running_loop()
        loop.add_reader(reading, self._listen, child)
        pidfd = os.pidfd_open(process.pid)
        loop.add_reader(pidfd, self._see_exit, child, pidfd)
        return child

    async def _watch(self, child: _Child) -> int:
        """Until the child and its whole group are reaped; its exit code, 1 for a signal."""
        stop_by = None
        while not child.exited.is_set():
            if self._stopping.is_set() and stop_by is None:
                stop_by = now() + STOP_SECONDS
                child.process.terminate()
            ticked = now()
            await self._pause(self._timing.guard_interval, child.exited)
            if now() - ticked > self._timing.guard_interval + LATE_TICK_SECONDS:
                child.last_sign = now()
            elif stop_by is None and self._is_silent(child):
                self._kill(child, "hung")
            elif stop_by is not None and now() > stop_by:
                self._kill(child, "did not stop")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)  # its helpers
        self._listen(child)  # what it said last
        asyncio.get_running_loop().remove_reader(child.pipe)
        os.close(child.pipe)
        await reap_group(child.process.pid)
        code = child.process.returncode
        if stop_by is not None and code == -signal.SIGTERM:
            return CLEAN  # told to stop before it could listen to that
        return FAILED if code is None or code < 0 else code

    def _is_silent(self, child: _Child) -> bool:
        patience = self._timing.guard_deadline if child.beaten else START_SECONDS
        return now() - child.last_sign > patience

    def _kill(self, child: _Child, reason: str) -> None:
        if not child.killed:
            self._log.error("origin_killed", reason=reason, pid=child.process.pid)
        child.killed = reason
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)

    def _see_exit(self, child: _Child, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        child.process.wait()  # it has exited: this returns at once
        child.exited.set()

    def _listen(self, child: _Child) -> None:
        """Read the pipe."""
        try:
            data = os.read(child.pipe, 65536)
        except BlockingIOError:
            return
        if not data:  # EOF: every end of the child's is closed
            asyncio.get_running_loop().remove_reader(child.pipe)
            return
        child.last_sign, child.beaten = now(), True
        *lines, child.unread = (child.unread + data).split(b"\n")
        for line in lines:
            self._understand(child, line.decode("ascii", "replace").split())

    def _understand(self, child: _Child, words: list[str]) -> None:
        match words:
            case ["gate", epoch, boot_id] if epoch.isdecimal():
                child.gate = (int(epoch), boot_id)
            case ["state", name]:
                child.well = child.well or name in RELEASED_STATES
            case _:  # a beat: that it came is all it says
                return

    async def _pause(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """Sleep, or until `event`, or until the guard is told to stop."""
        waits = [asyncio.ensure_future(e.wait()) for e in (event, self._stopping) if e is not None]
        if event is not None and self._stopping.is_set():
            waits.pop().cancel()  # told already: wait for the child alone
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # -- letting go -----------------------------------------------------------------------

    async def _release(self, child: _Child) -> None:
        """Say in the record that the dead child serves no more, so that nobody waits for it.

        Only if it had opened its gate: one that died while its claim was waiting must not let
        a third claim go without that wait.
        """
        give_up_at = now() + self._timing.t_conf
        while child.gate is not None and now() < give_up_at:
            with contextlib.suppress(StoreError):
                if await self._try_to_release(child.gate, child.killed or "process_exit"):
                    return
            await asyncio.sleep(self._timing.guard_interval)

    async def _try_to_release(self, gate: tuple[int, str], reason: str) -> bool:
        """True when nothing is left to do. Raises StoreError."""
        epoch, boot_id = gate
        record = (await self._coordinator.read(beat=False)).sighting.record
        node_id = self._coordinator.node_id
        if record is None or not record.held_by(node_id, boot_id):
            return True
        if record.epoch != epoch or record.released:
            return True
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        author = Author(node_id, boot_id, secrets.token_hex(8), at)
        attempt = await self._coordinator.cas(record.let_go(author, record.seq, reason))
        outcome = attempt.result.outcome
        self._log.warning("released", epoch=epoch, reason=reason, outcome=outcome.value)
        return outcome is Outcome.LANDED  # else the record has changed: look again
