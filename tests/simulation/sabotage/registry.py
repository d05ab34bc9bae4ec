"""What a sabotage is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from rtmp_sync.cluster import failover
from tests.simulation.faults import DEFAULT_MIX, Mix

__all__ = ["SABOTAGES", "Sabotage", "applied", "only", "row", "sabotage"]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """caught_by: the invariants that name its damage for what it is. mix: the faults that
    bring it out soon."""

    name: str
    broken: Callable[[], AbstractContextManager[Any]]
    caught_by: frozenset[str]
    mix: Mix


SABOTAGES: dict[str, Sabotage] = {}


def applied(name: str | None) -> AbstractContextManager[Any]:
    """The code as this sabotage leaves it; None: as it is."""
    return SABOTAGES[name].broken() if name is not None else nullcontext()


def sabotage(
    caught_by: str, *, mix: Mix = DEFAULT_MIX
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Registers a generator that breaks something, yields, and mends it, under its name."""

    def register(breaking: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        name = breaking.__name__.replace("_", "-")
        broken = contextmanager(breaking)
        SABOTAGES[name] = Sabotage(name, broken, frozenset(caught_by.split()), mix)
        return breaking

    return register


def only(weights: Mapping[str, float], **others: Any) -> Mix:
    """Nothing but these faults, on pairs in `semi` with a NAS; `others`: fields of the mix."""
    fields = {"weights": weights, "modes": {"semi": 1.0}, "etcd": 0.0, **others}
    return replace(DEFAULT_MIX, **fields)


@contextmanager
def row(name: str, **changes: Any) -> Iterator[None]:
    """The transition table with another guard or act in one row."""
    assert any(row.name == name for row in failover.TABLE), name
    rows = (replace(row, **changes) if row.name == name else row for row in failover.TABLE)
    table = failover.Table(*rows)
    with patch.object(failover, "TABLE", table):
        yield
