"""Gates: what keeps the load balancer from an origin. One driver a file; see `base.py`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

    from rtmp_sync.config import Config
    from rtmp_sync.firewalls.base import Closer, Gate, Report
    from rtmp_sync.firewalls.listener import ListenerGate

__all__ = ["check", "make_closer", "make_gate"]


def make_gate(config: Config, listener: ListenerGate, report: Report) -> Gate:
    """The driver that `firewall.driver` names. listener: the public port, which each drives."""
    gate: Gate = _driver(config).make(config, listener, report)
    return gate


def make_closer(config: Config) -> Closer:
    """What closes the gate of that driver once the origin's process is dead."""
    closer: Closer = _driver(config).make_closer(config)
    return closer


def check(config: Config) -> list[ConfigError]:
    """What the driver misses on this machine: programs, rights, keys."""
    missing: Iterable[ConfigError] = _driver(config).check(config)
    return list(missing)


def _driver(config: Config) -> ModuleType:
    return import_module(f"{__name__}.{config.firewall.driver}")
