"""Coordinators: where the pair's record lives. One driver a file; `base.py` says what it is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmp_sync.config import Config
    from rtmp_sync.coordinators.base import Coordinator

__all__ = ["make_coordinator"]


def make_coordinator(
    config: Config, *, boot_id: str = "", last_epoch: int = 0, owner: str = ""
) -> Coordinator:
    """The driver that `failover.coordinator` names; raises ConfigError."""
    driver = import_module(f"{__name__}.{config.coordinator}")
    coordinator: Coordinator = driver.make(
        config, boot_id=boot_id, last_epoch=last_epoch, owner=owner or config.node.id
    )
    return coordinator
