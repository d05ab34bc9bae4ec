"""A disk that hangs, fills up or breaks when a test says so. See `fuse_server`."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MNT_DETACH = 2


class FuseDisk:
    """`path` is on that disk, `beneath` is the same directory without it; both are made if
    they are not there. server: the module that serves it.

    Skips the test where a file system cannot be mounted: that needs root and /dev/fuse.
    """

    def __init__(
        self, path: Path, beneath: Path, *, server: str = "tests.support.fuse_server"
    ) -> None:
        self.path = path
        self.beneath = beneath
        self.path.mkdir(parents=True, exist_ok=True)
        self.beneath.mkdir(exist_ok=True)
        self._server = subprocess.Popen(
            [sys.executable, "-m", server, self.beneath, self.path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if (answer := self._said()) != "ready":
            self._server.communicate()
            pytest.skip(f"hung, slow and read-only disks are left out: {answer}")

    def hang(self) -> None:
        self._tell("hang")

    def slow(self, seconds: float) -> None:
        self._tell(f"slow {seconds:g}")

    def fill(self) -> None:
        self._tell("full")

    def make_readonly(self) -> None:
        self._tell("readonly")

    def break_down(self) -> None:
        self._tell("broken")

    def break_all(self) -> None:
        self._tell("gone")

    def hold_links(self) -> None:
        """Whoever makes a hard link waits; the rest goes on."""
        self._tell("hold-links")

    def have_no_links(self, *, exclusive_rename: bool = True) -> None:
        """As a share without hard links, with or without a rename that replaces nothing."""
        self._tell("no-links" if exclusive_rename else "no-exclusive")

    def lose_power(self) -> None:
        """What nobody flushed is gone; whoever wrote it must be dead."""
        self._tell("power-loss")

    def heal(self) -> None:
        self._tell("well")

    def close(self) -> None:
        """Whoever still waits for it gets an error; nothing stays mounted."""
        self._server.kill()
        self._server.communicate()
        ctypes.CDLL(None).umount2(os.fsencode(self.path), MNT_DETACH)

    def stale(self) -> None:
        """What others change is not seen any more (`tests.lab.fuse_nas`)."""
        self._tell("stale")

    def _tell(self, line: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{line}\n")
        self._server.stdin.flush()
        assert self._said() == line

    def _said(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()
