"""How `maintenance` stops an origin and starts it again; one class for each way.

`stop` returns once nothing of the origin runs, `start` once it was told to run; both raise
CommandFailed. What they ask of a person can be asked beforehand (`check`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, look
from rtmp_sync.server.pair_directory import kept_stopped
from rtmp_sync.server.pair_member import is_alive

__all__ = ["ByHand", "NodeProcess", "OfPair", "OfSystemd"]

STOP_SECONDS = 30.0  # a clean stop takes well under one; a guard kills after ten
SYSTEMD_SECONDS = 120.0  # its own limit for a stop is 90 by default
LOOK_SECONDS = 0.1


class NodeProcess(Protocol):
    def check(self) -> None:
        """Raises what `stop` or `start` would raise for want of something."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


class OfPair:
    """A node of `rtmp-sync pair`, whose process starts it again unless a file says no."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self._file = kept_stopped(folder)
        self._pair_json = folder.parent / "pair.json"

    def check(self) -> None:
        self._pids()

    def stop(self) -> None:
        origin, guard = self._pids()
        self._file.touch()
        for pid in (guard, origin):  # the guard stops its origin; one without a guard is told
            with contextlib.suppress(ProcessLookupError):
                if is_alive(pid) and (pid == guard or not is_alive(guard)):
                    os.kill(pid, signal.SIGTERM)
        _until(lambda: not (is_alive(origin) or is_alive(guard)), f"{self._node.id} still runs")

    def start(self) -> None:
        self._file.unlink(missing_ok=True)

    def _pids(self) -> tuple[int, int]:
        try:
            nodes = json.loads(self._pair_json.read_bytes())["nodes"]
            entry = next(entry for entry in nodes if entry["id"] == self._node.id)
            return int(entry["pid"]), int(entry["guard_pid"])
        except (OSError, ValueError, KeyError, StopIteration):
            raise terminal.CommandFailed(f"{self._pair_json}: no pair runs there") from None


class OfSystemd:
    """A unit of this machine."""

    def __init__(self, unit: str) -> None:
        self._unit = unit

    def check(self) -> None:
        self._systemctl("cat")

    def stop(self) -> None:
        self._systemctl("stop")

    def start(self) -> None:
        self._systemctl("start")

    def _systemctl(self, verb: str) -> None:
        try:
            done = subprocess.run(
                ["systemctl", verb, self._unit],
                capture_output=True,
                text=True,
                timeout=SYSTEMD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise terminal.CommandFailed(f"systemctl {verb} {self._unit}: {error}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise terminal.CommandFailed(f"systemctl {verb} {self._unit}: {why}")


class ByHand:
    """Whoever runs the command stops and starts it, and is told when."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def check(self) -> None:
        if not sys.stdin.isatty():
            raise terminal.WrongUse(
                f"how is {self._node.id} to be stopped? Add --unit UNIT (a systemd unit of this "
                "machine), or --dir DIR for a `pair`; on a terminal you are asked to do it"
            )

    def stop(self) -> None:
        terminal.wait_for_enter(f"Stop {self._node.id} now, and press Enter.", instead="--unit")
        _until(lambda: look([self._node])[0].status is None, f"{self._node.id} still answers")

    def start(self) -> None:
        terminal.wait_for_enter(f"Start {self._node.id} now, and press Enter.", instead="--unit")


def _until(so: Callable[[], bool], else_say: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while not so():
        if time.monotonic() > deadline:
            raise terminal.CommandFailed(f"{else_say} after {STOP_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
