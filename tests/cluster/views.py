"""Node A and what it sees of the world: ready-made records, nodes and views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import (
    CasResult,
    Claim,
    Drain,
    Identity,
    Node,
    Outcome,
    Peer,
    Pending,
    Policy,
    Request,
    State,
    Store,
    View,
)

NOW = 1000.0
A, B = Author("A", "a1", "na", ""), Author("B", "b1", "nb", "")
ME = Author("A", "a1", "new", "")
TO_B = InSync("B", "b1")
A_FIRST = first_record(("A", "B"), A)
A_ALONE = replace(A_FIRST, rev=7, nonce="n7", epoch=3, reason="claimed")
A_HOLDS = replace(A_ALONE, sync=(InSync("B", "b1"),))
B_ALONE = replace(A_ALONE, holder="B", boot_id="b1")
B_HOLDS = replace(B_ALONE, sync=(InSync("A", "a1"),))
PEER = Peer("b1", 3, gate_open=False, state="READY", position=(3, 10))
B_SERVES = Peer("b1", 3, gate_open=True, state="ACTIVE", position=(3, 10))
LONG_AGO = NOW - 100
BINDING = DEFAULT.t_conf + DEFAULT.margin


def view(record: Record | None, /, **facts: Any) -> View:
    """The view of a node that started long ago, reaches the store and its peer."""
    known: dict[str, Any] = {
        "identity": Identity("A", "a1", LONG_AGO),
        "timing": DEFAULT,
        "policy": Policy(),
        "author": ME,
        "store": Store.OK if record is not None else Store.EMPTY,
        "record": record,
        "nodes": ("A", "B"),
        "read_started": NOW - 0.1,
        "beat_changed_at": NOW - 0.2,
        "link_up": True,
        "peer": PEER,
        "answers": 5,
        "position": (3, 10),
    }
    return View(**{**known, **facts})


def lost(record: Record, /, **facts: Any) -> View:
    """The same, and the peer has been dead for a while."""
    gone = {"link_up": False, "dead": True, "misses": 9, "answers": 0}
    return view(record, **{**gone, "beat_changed_at": NOW - 4, **facts})


def serving(record: Record, /, **facts: Any) -> View:
    """The view of a node whose gate is open with two seconds of authority."""
    known = {"gate": "open", "authority_epoch": record.epoch, "authority_until": NOW + 2}
    return view(record, **{**known, "acked": 10, "peer_caught_up": True, **facts})


ACTIVE = Node(State.ACTIVE, LONG_AGO, epoch=3)


def node(state: State, **facts: Any) -> Node:
    return Node(**{"state": state, "since": LONG_AGO, **facts})


def found(turn: Turn, kind: type[Any]) -> Any:
    """The one action of that kind."""
    (action,) = [action for action in turn.actions if isinstance(action, kind)]
    return action


def written(turn: Turn) -> Record:
    record: Record = found(turn, do.Cas).record
    return record


def still(turn: Turn, before: Node) -> bool:
    return turn.node == before and not turn.actions


STRANDED = replace(B_ALONE, boot_id="b0", sync=())
STRANDED_PEER = replace(PEER, state="SYNCING")
IS_READY = node(State.READY, ready_epoch=3)
DOUBTS = node(State.SUSPECT, ready_epoch=3)
CLAIM = B_HOLDS.claimed(ME, 10, "holder_expired")
CLAIMED = Claim(
    4,
    State.SUSPECT,
    waits=True,
    taken_from="B",
    heard_at=NOW - 3.5,
    noticed_at=NOW - 3,
    claimed_at=NOW - 2.8,
)
SENT = node(State.CLAIMING, pending=Pending(CLAIM), claim=CLAIMED, epoch=2)
LANDED = replace(SENT, pending=None, claim=replace(CLAIMED, landed_at=NOW - 1))


def result(outcome: Outcome) -> CasResult:
    return CasResult("new", outcome, NOW - 0.2)


SWITCH = Request("switchover", "admin", NOW)
DRAIN = Drain("admin", "s1", TO_B, NOW - 1)
DRAINS = Node(State.DRAINING, NOW - 1, epoch=3, drain=DRAIN)
PREPARED = replace(DRAINS, drain=replace(DRAIN, prepared_at=NOW - 1))
CLOSING_DRAIN = replace(DRAIN, prepared_at=NOW - 1, closing_at=NOW - 0.5)
CLOSING = replace(DRAINS, drain=CLOSING_DRAIN)
IS_FENCED = Node(State.FENCED, NOW - 0.5, epoch=3)
