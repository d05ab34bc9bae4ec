"""Gates: what keeps the load balancer from an origin. One driver a file; see `base.py`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmp_sync.config import Config
    from rtmp_sync.firewalls.base import Closer, Gate
    from rtmp_sync.firewalls.listener import ListenerGate

__all__ = ["make_closer", "make_gate"]


def make_gate(config: Config, listener: ListenerGate) -> Gate:
    """The driver that `firewall.driver` names. listener: the public port, which each drives."""
    gate: Gate = import_module(f"{__name__}.{config.firewall.driver}").make(config, listener)
    return gate


def make_closer(config: Config) -> Closer:
    """What closes the gate of that driver once the origin's process is dead."""
    closer: Closer = import_module(f"{__name__}.{config.firewall.driver}").make_closer(config)
    return closer
