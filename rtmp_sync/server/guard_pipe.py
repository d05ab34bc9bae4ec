"""The origin's end of the pipe to its guard.

beat                    the loop runs
started                 everything that has to run does
gate <epoch> <boot_id>  about to open the gate in that epoch
state <NAME>            the failover state, for the guard's restart budget
stopping                a clean stop has begun: no more beats
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

__all__ = ["FORMER_LIFE", "VARIABLE", "GuardPipe"]

VARIABLE = "RTMP_SYNC_GUARD_FD"
FORMER_LIFE = "RTMP_SYNC_FORMER_LIFE"  # how the origin ended that this one is started after


class GuardPipe:
    """Writes lines and never waits. Without a guard (fd None) it writes nowhere."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self.lost = False
        if fd is not None:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)  # it is of this process alone, not of its helpers

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> GuardPipe:
        """The pipe that the guard gave to this process, if one did."""
        text = environment.get(VARIABLE, "")
        return cls(int(text) if text.isdecimal() else None)

    def beat(self) -> None:
        self._write("beat")

    def started(self) -> None:
        self._write("started")

    def gate(self, epoch: int, boot_id: str) -> None:
        self._write(f"gate {epoch} {boot_id}")

    def state(self, name: str) -> None:
        self._write(f"state {name}")

    def leaving(self, seconds: float) -> None:
        """It is the guard that asked for it."""

    def stopping(self) -> None:
        self._write("stopping")

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _write(self, line: str) -> None:
        if self._fd is None or self.lost:
            return
        try:
            # The pipe holds hours of lines: it is full only if the guard itself is frozen.
            with contextlib.suppress(BlockingIOError):
                os.write(self._fd, f"{line}\n".encode())
        except OSError:
            self.lost = True
