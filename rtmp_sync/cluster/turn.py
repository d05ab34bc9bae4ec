"""A turn of the failover machine, and the few ways in which rows make one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from rtmp_sync.cluster.actions import Action, Cas
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import Claim, Node, Pending, State

__all__ = ["Turn", "claim", "go", "heard_at", "nothing_to_do", "standby", "stay", "write"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look came to: the node's new state, what to do, and why in words.

    row: the name of the row of the table that acted, "" when none did.
    """

    node: Node
    actions: tuple[Action, ...]
    sentence: str
    row: str = ""

    @property
    def state(self) -> State:
        return self.node.state


def stay(s: Situation, sentence: str, *actions: Action, **changes: Any) -> Turn:
    return Turn(replace(s.node, **changes) if changes else s.node, actions, sentence)


def go(s: Situation, state: State, sentence: str, *actions: Action, **changes: Any) -> Turn:
    since = s.now if state is not s.node.state else s.node.since
    return Turn(replace(s.node, state=state, since=since, **changes), actions, sentence)


def write(
    s: Situation, record: Record, sentence: str, *actions: Action, state: State | None = None
) -> Turn:
    """Send a compare-and-set, and perhaps go on in another state."""
    state = state or s.node.state
    return go(s, state, sentence, Cas(record), *actions, pending=Pending(record))


def claim(s: Situation, reason: str, *, waits: bool = True, lossy: bool = False) -> Turn:
    """Step 3 of the claim rule; every claim by whatever row is this one. Where the holder has
    a lease, the claim lands only when that is over: there is nothing left to wait for. An epoch
    of mine that never began may have been claimed over a loss: then so is the next."""
    above, ends = s.view.position  # an epoch that was served by the operator's word, perhaps
    lossy = lossy or (s.i_hold and not s.has_recorded_epoch)
    record = s.the_record.claimed(s.view.author, ends, reason, above=above)
    turn = write(s, record, f"claiming epoch {record.epoch}: {reason}", state=State.CLAIMING)
    claim = Claim(
        record.epoch,
        s.node.state,
        waits and not s.view.leases,
        lossy,
        taken_from=s.the_record.holder,
        copy_ends=ends,
        known_head=max(s.the_record.seq, ends + (s.view.lag or 0)),
        heard_at=heard_at(s),
        noticed_at=s.view.noticed_at if s.other_holds else s.now,
        claimed_at=s.now,
    )
    return replace(turn, node=replace(turn.node, claim=claim))


def heard_at(s: Situation) -> float:
    """When the holder that is to be replaced was last heard of; now, if it still is."""
    known = s.other_holds and not s.view.link_up and s.view.peer_seen_at > -inf
    return min(s.view.peer_seen_at, s.view.noticed_at) if known else s.now


def standby(s: Situation) -> State:
    """Where a node that does not serve belongs."""
    return State.SUSPECT if s.listed else State.SYNCING


def nothing_to_do(s: Situation) -> str:
    record = s.record
    epoch = f"epoch {record.epoch} held by {record.holder}" if record is not None else "no record"
    if s.node.state is State.ACTIVE:
        return f"serving in {epoch}" + (", alone" if s.degraded else "")
    if (
        s.held_off
        and record is not None
        and s.node.state in (State.INIT, State.SYNCING, State.HELD)
    ):
        return f"waiting out the hold-off after the start, {epoch}"
    return f"nothing to do, {epoch}"
