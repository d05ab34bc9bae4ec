"""What a coordinator is: the pair's record, heartbeats and the operator's line, kept somewhere
that both nodes reach.

A driver is one file in this folder; its name is the value of `failover.coordinator`, and its
`make(config, *, boot_id, last_epoch, owner)` makes it. last_epoch: of the last Change in the
node's own copy. owner: who writes, the origin or its guard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import CasResult

__all__ = ["Attempt", "Coordinator", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One read of the store.

    nodes: the two names in slot order, as the store spells them. line: the state of the line
    that operators read: "valid", "missing", "invalid" (no pair line), "rejected" (other names,
    or their order changed), "none" (this store has no line). wished_holder: whom an operator's
    edit of the line names, once it is stable.
    """

    sighting: Sighting
    nodes: tuple[str, str] | None = None
    line: str = "none"
    wished_holder: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a compare-and-set, and the highest record seen after it."""

    result: CasResult
    highest: Record | None = None


class Coordinator(Protocol):
    """All methods end within the driver's deadline; none blocks the loop."""

    @property
    def node_id(self) -> str:
        """This node's name as the store spells it."""

    @property
    def condition(self) -> str:
        """How the store took the last request, for operators: "ok", "hung", "no_quorum",
        "unreachable", or what it refused with."""

    def on_change(self, told: Callable[[], None]) -> None:
        """Before `start`: have `told()` called when the store says by itself that something
        changed. A store that must be asked never does."""

    async def start(self) -> tuple[str, str] | None:
        """The two names in slot order, None while the store does not answer.

        Raises ConfigError when the store says that this node cannot take part.
        """

    async def stop(self) -> None: ...

    async def read(self, *, beat: bool) -> Reading:
        """Write this node's heartbeat first if `beat`, then read everything.

        Raises StoreTimeout, or StoreError when the store answered that it cannot.
        """

    async def write_nonce(self) -> str | None:
        """Put something new into the store, under this node's name, and return it; None: this
        store never shows anybody what is not so any more, and needs no test. Raises StoreError.
        """

    async def read_nonce(self, node: str) -> str | None:
        """What that node put there last. Raises StoreError."""

    async def cas(self, record: Record) -> Attempt:
        """Put `record` in the place of its predecessor. Never raises for the store's sake:
        what went wrong is in the outcome."""
