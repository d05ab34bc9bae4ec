"""One of the two machines: a network namespace, an origin under its guard, its own disk.

Everything that is done to processes is done guards first: they must not be able to react to what
happens to their child.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.namespaces import Host
from tests.support.pair import ROOT, Node, now

from .setup import ADMIN, HEALTH, REPLICATION, RTMP

STATE_BYTES = 64 * 1024 * 1024
MNT_DETACH = 2
GUARD, ORIGIN, OTHER = "guard", "origin", "other"


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs on the machine; role: guard, origin or other (their helpers)."""

    pid: int
    role: str


class Machine:
    """`folder`: of the pair. The state folder is a disk of its own, made and mounted here."""

    def __init__(self, node: str, host: Host, folder: Path) -> None:
        self.node = node
        self.host = host
        self.folder = folder / node
        self.config = self.folder / "config.toml"
        self.log = self.folder / "log"
        self.state = self.folder / "state"
        self._guard: subprocess.Popen[bytes] | None = None
        self.state.mkdir(parents=True)
        self._mount()

    # ---- addresses ----

    def at(self, port: int) -> str:
        return f"{self.host.ipv4}:{port}"

    def as_node(self) -> Node:
        """As the rest of the proofs knows it; 0 for what does not run."""
        return Node(
            id=self.node,
            rtmp=self.at(RTMP),
            replication=self.at(REPLICATION),
            admin=self.at(ADMIN),
            health=self.at(HEALTH),
            pid=self.pid(ORIGIN) or 0,
            guard_pid=self.pid(GUARD) or 0,
            log=self.log,
        )

    # ---- life ----

    def start(self, environment: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            self._guard = self.host.start(
                [sys.executable, "-m", "rtmp_sync", "serve", "--config", self.config],
                cwd=ROOT,
                env={**os.environ, "COLUMNS": "200", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """Of the guard; None while it runs."""
        return self._guard.poll() if self._guard is not None else None

    def stop(self, seconds: float = 15.0) -> int:
        """A clean stop; the guard's exit code."""
        assert self._guard is not None
        self._guard.terminate()
        return self._guard.wait(seconds)

    def power_off(self) -> float:
        """Every process ends, none sees how another one does; when that was. What the kernel
        holds for them goes with them."""
        at = now()
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for process in self.processes():
                _signal(process.pid, sign)
        self.host.end()
        self.host.output("nft", "flush", "ruleset")
        return at

    def empty_disk(self) -> None:
        """Of a host without power: its disk is replaced by a new one."""
        self.close()
        self._mount()

    def _mount(self) -> None:
        options = f"size={STATE_BYTES}".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"rtmp-sync-lab", os.fsencode(self.state), b"tmpfs", 0, options):
            raise OSError(ctypes.get_errno(), "cannot mount a disk", str(self.state))

    def close(self) -> None:
        ctypes.CDLL(None).umount2(os.fsencode(self.state), MNT_DETACH)

    # ---- processes ----

    def processes(self) -> list[Process]:
        """All that live here, guards first."""
        inode = Path(f"/run/netns/{self.host.namespace}").stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit() and (entry / "ns/net").stat().st_ino == inode:
                    found.append(Process(int(entry.name), _role(entry)))
        order = (GUARD, ORIGIN, OTHER)
        return sorted(found, key=lambda process: order.index(process.role))

    def pid(self, role: str) -> int | None:
        """Of the newest one."""
        return max((one.pid for one in self.processes() if one.role == role), default=None)

    def signal(self, sign: int, *roles: str) -> list[int]:
        """To all processes of these roles (none named: to all); the pids of those it reached."""
        return [
            one.pid
            for one in self.processes()
            if (not roles or one.role in roles) and _signal(one.pid, sign)
        ]


def _role(entry: Path) -> str:
    words = (entry / "cmdline").read_bytes().split(b"\0")
    if b"serve" not in words:
        return OTHER
    return ORIGIN if b"--no-guard" in words else GUARD


def _signal(pid: int, sign: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
        return True
    return False
