"""One line of the fault table: what is done, what must come of it, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .setup import Setup, Tables

if TYPE_CHECKING:
    from .scene import Scene

MODES = ("file", "etcd")
GATES = ("nftables", "listener")

Act = Callable[["Scene"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """how: what is done to the pair. expected: who serves after, and what the operator sees.
    modes, gates: those that it applies to. fresh: it needs a pair of its own."""

    number: int
    how: str
    expected: str
    act: Act
    modes: tuple[str, ...] = MODES
    gates: tuple[str, ...] = GATES
    tables: Tables = field(default_factory=dict)
    proxied: str = ""
    clocked: bool = False
    fresh: bool = False

    def setup(self, coordinator: str, gate: str) -> Setup:
        return Setup(coordinator, gate, self.tables, self.proxied, self.clocked)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to be so; seen: what was seen instead, or as well."""

    what: str
    ok: bool
    seen: str = ""

    def __str__(self) -> str:
        return self.what + (f": {self.seen}" if self.seen else "")


@dataclass(frozen=True, slots=True)
class Result:
    """gaps: milliseconds from write to write around the fault, of each client."""

    fault: Fault
    coordinator: str
    gate: str
    checks: list[Check]
    observed: list[str]
    gaps: list[float]
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.ok]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.failed


class Faults:
    """The faults of one file, as they are defined there."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def __call__(
        self,
        number: int,
        *,
        how: str,
        expected: str,
        modes: tuple[str, ...] = MODES,
        gates: tuple[str, ...] = GATES,
        tables: Tables | None = None,
        proxied: str = "",
        clocked: bool = False,
        fresh: bool = False,
    ) -> Callable[[Act], Act]:
        """Decorates what is done; the rest as in `Fault`."""

        def register(act: Act) -> Act:
            rest = (modes, gates, tables or {}, proxied, clocked, fresh)
            self.all.append(Fault(number, how, expected, act, *rest))
            return act

        return register
