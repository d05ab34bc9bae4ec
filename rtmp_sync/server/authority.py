"""May this origin serve, and until when.

The watchdog writes it; the commit guard (`turn.py`) reads it before a client's write is
applied and again before anything leaves. Invariant: with `deadline` passed nothing is applied
and nothing is sent, whatever the rest of the process believes.
"""

from __future__ import annotations

import math

from rtmp_sync.errors import RtmpSyncError

__all__ = ["Authority", "Deposed"]


class Deposed(RtmpSyncError):
    """This origin may not change anything now: it is not the active one."""


class Authority:
    """`epoch` under which this origin serves, and the CLOCK_BOOTTIME `deadline` of that."""

    __slots__ = ("_ended", "deadline", "epoch", "gate_open")

    def __init__(self) -> None:
        self.epoch = 0
        self.deadline = -math.inf
        self.gate_open = False
        self._ended = False

    def valid(self, now: float) -> bool:
        """Whether writes may be applied and answers may leave at this instant."""
        return now < self.deadline

    def grant(self, epoch: int, deadline: float) -> None:
        """Serve in `epoch` until `deadline` (seconds; infinity without a coordinator)."""
        if not self._ended:
            self.epoch = epoch
            self.deadline = deadline

    def revoke(self) -> None:
        """Serve no longer, from this instant."""
        self.deadline = -math.inf

    def end(self) -> None:
        """The process stops, or its watchdog failed: revoke, for good."""
        self._ended = True
        self.revoke()
