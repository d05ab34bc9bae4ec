"""Who watches over an origin's process: its guard, systemd, or nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from rtmp_sync.server.guard_pipe import VARIABLE, GuardPipe
from rtmp_sync.server.systemd import Systemd

__all__ = ["Overseer", "overseer_of"]


class Overseer(Protocol):
    """Told by the origin; no method waits, and none fails."""

    @property
    def lost(self) -> bool:
        """It died, and this process goes on without it."""

    def started(self) -> None:
        """Everything that has to run does."""

    def beat(self) -> None:
        """The loop runs."""

    def gate(self, epoch: int, boot_id: str) -> None:
        """About to open the gate in that epoch."""

    def state(self, name: str) -> None:
        """The failover state."""

    def leaving(self, seconds: float) -> None:
        """Clients are asked to leave, which may take so long; beats go on."""

    def stopping(self) -> None:
        """A clean stop has begun: no more beats, for a while."""

    def close(self) -> None: ...


def overseer_of(environment: Mapping[str, str] = os.environ) -> Overseer:
    """The guard that started this process, or else whoever NOTIFY_SOCKET names, if anybody."""
    if VARIABLE in environment:
        return GuardPipe.from_environment(environment)
    return Systemd(environment)
