"""The faults of failover.md section 4, a file for each kind of trouble."""

from __future__ import annotations

from tests.lab.fault import Fault

from . import copies, deaths, etcd, health, moves, store, ways

_GROUPS = (deaths, ways, store, health, copies, etcd, moves)

FAULTS: tuple[Fault, ...] = tuple(
    sorted((fault for module in _GROUPS for fault in module.fault.all), key=lambda f: f.number)
)
