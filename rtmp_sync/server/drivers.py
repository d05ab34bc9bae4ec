"""From configuration to the drivers that it names."""

from __future__ import annotations

import math

from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import Policy
from rtmp_sync.config import Config
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.none import NoneCoordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import Gate
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.none import NoneGate
from rtmp_sync.server.probes import AdminPing
from rtmp_sync.server.watchdog import Probe

__all__ = ["make_coordinator", "make_gate", "make_policy", "make_probe"]


def make_gate(config: Config, listener: ListenerGate) -> Gate:
    """The gate that `firewall.driver` names; raises ConfigError. listener: the public port."""
    match config.firewall.driver:
        case "listener":
            return listener
        case "none":
            return NoneGate(listener)
        case driver:
            raise ConfigError("firewall.driver", driver, 'there is "listener" and "none"')


def make_coordinator(config: Config, boot_id: str, last_epoch: int, timing: Timing) -> Coordinator:
    """The coordinator that `failover` names; raises ConfigError."""
    match config.coordinator:
        case "none":
            return NoneCoordinator(config.node.id, boot_id, last_epoch)
        case "file":
            pair_file = config.failover.pair_file
            if pair_file is None:
                raise ConfigError("failover.pair_file", None, "give the path of the pair file")
            return FileCoordinator(
                pair_file, config.node.id, deadline_seconds=timing.probe_deadline
            )
        case name:
            raise ConfigError("failover.coordinator", name, 'there is "file" and "none"')


def make_policy(config: Config) -> Policy:
    """What the operator chose for the failover machine."""
    failover = config.failover
    alone = failover.cold_start_alone
    return Policy(
        mode=config.replication.mode,
        promote_lag_max=failover.promote_lag_max,
        cold_start_alone=alone if isinstance(alone, float) else math.inf,
        guard_lost=failover.guard_lost,
        drain_seconds=failover.drain_seconds,
    )


def make_probe(config: Config, timing: Timing) -> Probe | None:
    """FMS's admin ping of the other origin; None where there is none to ping."""
    peer, user = config.failover.peer_admin, config.admin.user
    if peer is None or user is None:
        return None
    return AdminPing(str(peer), user, config.password(), timing.probe_deadline)
