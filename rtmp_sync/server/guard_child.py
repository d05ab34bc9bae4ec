"""One life of an origin under its guard: its process group, and what it says on the pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

import structlog

from rtmp_sync.server.clock import now
from rtmp_sync.server.guard_pipe import FORMER_LIFE, VARIABLE
from rtmp_sync.server.orphans import reap_group
from rtmp_sync.server.overseer import Overseer
from rtmp_sync.server.systemd import VARIABLES

__all__ = ["CLEAN", "FAILED", "STOP_SECONDS", "GuardChild"]

CLEAN, FAILED = 0, 1

START_SECONDS = 120.0  # until the first sign of life: a large journal loads, and nobody serves
STOP_SECONDS = 10.0  # for a clean stop
WELL_STATES = ("READY", "ACTIVE")


class GuardChild:
    """Starts `command` in a process group of its own. former_life: how the origin ended that
    this one follows, "" for none. What concerns systemd goes on to `systemd`."""

    def __init__(self, command: Sequence[str], former_life: str, systemd: Overseer) -> None:
        self.exited = asyncio.Event()
        self.gate: tuple[int, str] | None = None  # (epoch, boot_id), about to be opened
        self.well = False  # it reached READY or ACTIVE
        self.killed = ""  # why the guard killed it
        self.stop_by: float | None = None  # it was told to stop, and must have ended by then
        self._ending = False  # it beats no more
        self._systemd = systemd
        self._last_sign = now()
        self._beaten = False
        self._unread = b""
        self._log = structlog.get_logger("rtmp_sync.guard")
        self._start(command, former_life)

    @property
    def former_life(self) -> str:
        """How this one ended, for the history of the next."""
        if self.killed:
            return f"killed_by_guard {self.killed}"
        code = self._process.returncode
        if code is not None and code < 0:
            return f"process_exit {signal.Signals(-code).name}"
        return f"process_exit {code}"

    def _start(self, command: Sequence[str], former_life: str) -> None:
        self._pipe, writing = os.pipe()
        os.set_blocking(self._pipe, False)
        mine = {VARIABLE: str(writing), FORMER_LIFE: former_life}
        environment = {key: text for key, text in os.environ.items() if key not in VARIABLES}
        try:
            self._process = subprocess.Popen(
                command,
                env={**environment, **mine},
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a group of its own; Ctrl-C reaches only the guard
            )
        finally:
            os.close(writing)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe, self._listen)
        pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(pidfd, self._see_exit, pidfd)

    # -- what the guard does to it --------------------------------------------------------

    def ask_to_stop(self, leave_seconds: float) -> None:
        """It has its time from the first call on; another one has it wait for nobody."""
        if self.stop_by is None:
            self.stop_by = now() + leave_seconds + STOP_SECONDS
        self._process.terminate()

    def count_again(self) -> None:
        """Its silence so far tells nothing: the guard itself did not run."""
        self._last_sign = now()

    def is_silent(self, deadline: float) -> bool:
        """For longer than it may be; an end has no beats, and a start takes what it takes."""
        if self._ending:
            return False
        patience = deadline if self._beaten else START_SECONDS
        return now() - self._last_sign > patience

    def kill(self, reason: str) -> None:
        """The whole group."""
        if not self.killed:
            self._log.error("origin_killed", reason=reason, pid=self._process.pid)
        self.killed = reason
        self._kill_group()

    async def bury(self) -> int:
        """When it has exited: end what it left running and reap all of it; its exit code, 1 for
        a signal."""
        self._kill_group()  # its helpers
        self._listen()  # what it said last
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        await reap_group(self._process.pid)
        code = self._process.returncode
        if self.stop_by is not None and code == -signal.SIGTERM:
            return CLEAN  # told to stop before it could listen to that
        return FAILED if code is None or code < 0 else code

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    # -- what it shows --------------------------------------------------------------------

    def _see_exit(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._process.wait()  # it has exited: this returns at once
        self.exited.set()

    def _listen(self) -> None:
        """Read the pipe."""
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        if not data:  # EOF: every end of the child's is closed
            asyncio.get_running_loop().remove_reader(self._pipe)
            return
        self._last_sign, self._beaten = now(), True
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._understand(line.decode("ascii", "replace").split())

    def _understand(self, words: list[str]) -> None:
        match words:
            case ["gate", epoch, boot_id] if epoch.isdecimal():
                self.gate = (int(epoch), boot_id)
            case ["state", name]:
                self.well = self.well or name in WELL_STATES
                self._systemd.state(name)
            case ["started"]:
                self._systemd.started()
            case ["stopping"]:
                self._ending = True
                self.stop_by = now() + STOP_SECONDS
            case _:  # a beat: that it came is all it says
                return
