"""Makes an origin's watchdog from its configuration."""

from __future__ import annotations

import os
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from rtmp_sync.cluster.view import Policy
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects
from rtmp_sync.server.guard_pipe import GuardPipe
from rtmp_sync.server.probes import AdminPing
from rtmp_sync.server.watchdog import Watchdog

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["make_coordinator", "make_watchdog", "process_started_at"]


def make_coordinator(
    config: Config, *, boot_id: str = "", last_epoch: int = 0, owner: str = ""
) -> Coordinator:
    """The driver that `failover.coordinator` names: the `make` of its file."""
    driver = import_module(f"rtmp_sync.coordinators.{config.coordinator}")
    coordinator: Coordinator = driver.make(
        config, boot_id=boot_id, last_epoch=last_epoch, owner=owner or config.node.id
    )
    return coordinator


def make_watchdog(effects: Effects, config: Config, *, boot_id: str, last_epoch: int) -> Watchdog:
    """last_epoch: of the last Change in this node's own copy. Raises ConfigError."""
    timing = config.timing()
    probe = None
    if config.failover.peer_admin is not None:
        address, user = str(config.failover.peer_admin), config.admin.user or ""
        probe = AdminPing(address, user, config.password(), timing.probe_deadline)
    return Watchdog(
        effects,
        make_coordinator(config, boot_id=boot_id, last_epoch=last_epoch),
        boot_id=boot_id,
        started_at=process_started_at(),
        timing=timing,
        policy=_policy(config),
        guard=GuardPipe.from_environment(),
        probe=probe,
    )


def process_started_at() -> float:
    """When this process was started, on `clock.now()`: what an earlier one of this node
    promised was promised before."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):  # not Linux
        return now()
    # A wrong guess must not shorten the hold-off: only a plausible value is taken.
    return started if now() - 3600 < started <= now() else now()


def _policy(config: Config) -> Policy:
    failover = config.failover
    alone = failover.cold_start_alone
    return Policy(
        mode=config.replication.mode,
        promote_lag_max=failover.promote_lag_max,
        cold_start_alone=inf if alone == "never" else float(alone),
        guard_lost=failover.guard_lost,
        drain_seconds=failover.drain_seconds,
    )
