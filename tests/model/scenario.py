"""What is searched: which rules, on which coordinator, with which faults."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import inf

from rtmp_sync.cluster.view import Policy
from tests.model.constants import short_patience
from tests.model.happenings import World
from tests.model.life import Lives
from tests.model.sabotage import BROKEN
from tests.model.search import Report, Search
from tests.model.state import beginning
from tests.model.store import EtcdStore, FileStore

__all__ = ["Scenario", "broken", "explore"]

STORES: dict[str, type[FileStore] | type[EtcdStore]] = {"file": FileStore, "etcd": EtcdStore}


@dataclass(frozen=True, slots=True)
class Scenario:
    """rules: "ours", or the name of a sabotage. begin: "settled" (A serves, B is READY) or
    "cold" (two machines that were just switched on, and an empty store). kinds: of faults; None:
    all. writes: one client's write is followed. journal: disks keep what processes had."""

    rules: str = "ours"
    coordinator: str = "file"
    begin: str = "settled"
    faults: int = 1
    kinds: frozenset[str] | None = None
    mode: str = "semi"
    writes: bool = False
    journal: bool = False
    liveness: bool = True
    states: int = 10**9
    seconds: float = inf


def broken(name: str) -> Scenario:
    """The scenario that brings a sabotage out."""
    rules = BROKEN[name]
    return Scenario(
        name,
        rules.coordinator,
        faults=rules.faults,
        kinds=rules.kinds,
        writes=rules.writes,
        journal=rules.journal,
    )


def explore(scenario: Scenario) -> tuple[Report, list[str]]:
    """What was found, and the steps to a violation in words."""
    rules = nullcontext() if scenario.rules == "ours" else BROKEN[scenario.rules].broken()
    with short_patience(), rules, _no_garbage():
        policy = Policy(mode=scenario.mode, digest_seconds=inf, failsafe=True)
        world = World(
            Lives(policy),
            STORES[scenario.coordinator](),
            journal=scenario.journal,
            kinds=scenario.kinds,
            writes=scenario.writes,
        )
        search = Search(
            world,
            begin=world.settled() if scenario.begin == "settled" else beginning(),
            faults=scenario.faults,
            states=scenario.states,
            seconds=scenario.seconds,
            liveness=scenario.liveness,
        )
        report = search.run()
        return report, search.told()


@contextmanager
def _no_garbage() -> Iterator[None]:
    """A search makes millions of values and no cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
