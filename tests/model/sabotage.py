"""The rules broken on purpose, one way at a time: what the search must find, and with how few
faults. Most are those that the simulation is tested with; each says which kinds of faults bring
it out, so that nothing else is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from rtmp_sync.cluster import member
from rtmp_sync.cluster.actions import CloseGate
from rtmp_sync.cluster.failover import give_promise
from rtmp_sync.cluster.observer import Observer
from rtmp_sync.cluster.rows import switchover
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, go
from rtmp_sync.cluster.view import Claim, Node, State, View
from tests.simulation.sabotage import applied
from tests.simulation.sabotage.registry import row

__all__ = ["BROKEN", "BrokenRules"]


@dataclass(frozen=True, slots=True)
class BrokenRules:
    """kinds: of faults and of what may become of a compare-and-set; faults: how many it takes;
    caught_by: the invariants that name the damage."""

    broken: Callable[[], AbstractContextManager[Any]]
    caught_by: frozenset[str]
    kinds: frozenset[str]
    faults: int
    coordinator: str = "file"
    writes: bool = False
    journal: bool = False


BROKEN: dict[str, BrokenRules] = {}


def _known(name: str) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: applied(name)


def _broken(
    name: str, caught_by: str, kinds: str, faults: int, **others: Any
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    def register(breaking: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        _register(name, contextmanager(breaking), caught_by, kinds, faults, **others)
        return breaking

    return register


def _register(
    name: str,
    broken: Callable[[], AbstractContextManager[Any]],
    caught_by: str,
    kinds: str,
    faults: int,
    **others: Any,
) -> None:
    words = frozenset(kind.strip() for kind in kinds.split(","))
    BROKEN[name] = BrokenRules(broken, frozenset(caught_by.split()), words, faults, **others)


for _name, _caught_by, _kinds, _faults in (
    ("claim-without-a-wait", "I1", "isolate, clock runs ahead", 2),
    ("claim-margin-of-0", "I1", "isolate, clock runs ahead", 2),
    ("switchover-whose-record-still-says-released", "I1 I7", "ask, slow", 2),
):
    _register(_name, _known(_name), _caught_by, _kinds, _faults)


@_broken("switchover-before-the-gate-is-closed", "I1 I7", "ask", 1)
def _hand_over_open() -> Iterator[None]:
    def close_for_switch(s: Situation) -> Turn:
        turn = switchover.close_for_switch(s)
        kept = tuple(action for action in turn.actions if not isinstance(action, CloseGate))
        return replace(turn, actions=kept)

    def may_hand_over(s: Situation) -> bool:
        drain = s.node.drain
        return drain is not None and drain.closing and not drain.sent and s.can_write and s.i_hold

    with (
        row("close-for-switch", act=close_for_switch),
        row("close-again-for-switch", guard=_never),
        row("hand-over", guard=may_hand_over),
    ):
        yield


@_broken("a-fenced-holder-opens-in-the-epoch-that-it-had", "I1", "pause, power", 2)
def _serve_again() -> Iterator[None]:
    def reclaim(s: Situation) -> Turn:
        claim = Claim(s.the_record.epoch, s.node.state, waits=False)
        return go(s, State.CLAIMING, "serving on", claim=claim)

    with row("reclaim", act=reclaim):
        yield


@_broken("nobody-claims-when-both-are-closed", "I4", "power", 2)
def _no_cold_start() -> Iterator[None]:
    with row("cold-start", guard=_never), row("reclaim-from-disk", guard=_never):
        yield


@_broken("an-empty-restarted-holder-serves-at-once", "I5", "power", 1, writes=True)
def _wipe() -> Iterator[None]:
    def reclaims(s: Situation) -> bool:
        return s.earlier_boot_holds and s.free_to_claim

    with (
        row("release-earlier-boot", guard=_never),
        row("join-released", guard=_never),
        row("reclaim-from-disk", guard=reclaims),
        patch.object(Situation, "held_off", property(lambda self: False)),
    ):
        yield


@_broken("claims-though-it-promised", "I1", "store is away, cut", 2)
def _broken_promise() -> Iterator[None]:
    def give(node: Node, view: View, asker: Any, now: float) -> tuple[Node, bool]:
        return node, give_promise(node, view, asker, now)[1]

    with patch.object(member, "give_promise", give):
        yield


@_broken("serves-on-when-the-authority-is-over", "I1", "isolate", 1)
@_broken("serves-on-when-the-lease-is-over", "I1", "isolate", 1, coordinator="etcd")
def _no_deadline() -> Iterator[None]:
    authority = Observer.authority.fget  # type: ignore[attr-defined]  # of a property

    def for_ever(self: Observer) -> tuple[int, float]:
        epoch, until = authority(self)
        return epoch, until + 100.0

    with patch.object(Observer, "authority", property(for_ever)):
        yield


def _never(s: Situation) -> bool:
    return False
