"""The failover machine: who serves, decided by each node for itself (failover.md section 2).

    decide(node, view, now) -> Turn(node, actions, sentence)

`TABLE` is the transition table: the first row whose states hold the node's and whose guard is
true acts; no row means that everything stays. What drives it: every observation (a record
read, a probe, the link's end, an outcome, an operator) and the passing of time.

What always holds, whatever the order of events:
- a gate opens only with a valid authority for an epoch that the record gave to this boot, and
  (for a claim from a holder that did not let go) after the wait of the claim rule, or when its
  lease is over; the one exception is an operator who vouches that the other node is off;
- one compare-and-set is in flight at most, and one whose outcome is unknown is settled by a
  record at its revision before another is tried;
- an epoch is never served twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rtmp_sync.cluster.actions import Action, AskPromise, Cas, CloseGate, Happened
from rtmp_sync.cluster.record import Record, first_record
from rtmp_sync.cluster.rows import (
    active,
    claiming,
    fenced,
    requests,
    standby,
    start,
    switchover,
)
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, nothing_to_do, stay, write
from rtmp_sync.cluster.view import Node, Outcome, Pending, State, Store, View

__all__ = [
    "TABLE",
    "Row",
    "Table",
    "Turn",
    "beats",
    "decide",
    "give_promise",
    "leave",
    "require_peer",
]

RETRY_SECONDS = 0.5  # between attempts that the store refused

READABLE = (Store.OK, Store.EMPTY)

INIT, HELD, SYNCING = State.INIT, State.HELD, State.SYNCING
READY, SUSPECT, CLAIMING = State.READY, State.SUSPECT, State.CLAIMING
ACTIVE, DRAINING, FENCED = State.ACTIVE, State.DRAINING, State.FENCED


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `name` says which one acted, in logs and histories."""

    name: str
    states: tuple[State, ...]
    guard: Callable[[Situation], bool]
    act: Callable[[Situation], Turn]


class Table:
    """Rows in their order, and in the same order by state."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self._of = {
            state: tuple(row for row in self.rows if state in row.states) for state in State
        }

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def of(self, state: State) -> tuple[Row, ...]:
        return self._of[state]


def decide(node: Node, view: View, now: float) -> Turn:
    """One turn. Pure: the same arguments give the same turn."""
    s, settling = _settle(Situation(_alone(node, view, now), view, now))
    turn = _act(s)
    if _needs_promise(turn.node, view, now):
        settling = (*settling, AskPromise(turn.node.epoch))
    return replace(turn, actions=(*settling, *turn.actions)) if settling else turn


def _act(s: Situation) -> Turn:
    for row in TABLE.of(s.node.state):
        if row.guard(s):
            turn = row.act(s)
            return Turn(turn.node, turn.actions, turn.sentence, row.name)
    return stay(s, nothing_to_do(s))


def require_peer(node: Node, mode: str, record: Record | None) -> bool:
    """Whether an acknowledgement to a client waits for the peer's: by the stricter of what
    the record says and what an unsettled attempt may have made of it."""
    listed = record is None or bool(record.sync)
    if node.word is not None:  # what the record lists is of before the operator's word
        return mode == "strict"
    if mode == "async":
        return listed  # until the record of another mode is corrected
    return mode == "strict" or listed or node.pending is not None or node.hold is not None


def beats(node: Node) -> bool:
    """Whether this node's heartbeat is written: it serves, or has the claim to."""
    landed = node.state is CLAIMING and node.pending is None
    return landed or node.state in (ACTIVE, DRAINING)


def give_promise(
    node: Node, view: View, asker: tuple[str, str, int], now: float
) -> tuple[Node, bool]:
    """Answer the peer `(node, boot_id, epoch)`: "I have not claimed and will not"."""
    name, boot_id, epoch = asker
    record = view.record
    given = (
        record is not None
        and record.held_by(name, boot_id)
        and record.epoch == epoch
        and node.pending is None
        and node.state in (INIT, HELD, SYNCING, READY, SUSPECT)
        and view.misses < 2
        and _promises_count(view)
    )
    return (replace(node, promised_until=now + view.timing.binding) if given else node), given


def leave(node: Node, view: View, now: float) -> Turn:
    """A clean stop. The gate is closed first; call it again until nothing is left to do."""
    s, settling = _settle(Situation(node, view, now))
    if view.gate != "closed":
        return stay(s, "stopping: closing the gate", *settling, CloseGate("stop"))
    if s.i_hold and s.record is not None and not s.record.released and s.can_write:
        turn = write(s, s.record.let_go(view.author, view.position[1], "stopped"), "releasing")
        return replace(turn, actions=(*settling, *turn.actions))
    return stay(s, "stopped", *settling)


# -- before the table ------------------------------------------------------------------


def _alone(node: Node, view: View, now: float) -> Node:
    """Keep since when this node is alone and closed; while it slept it knew of nobody."""
    if view.link_up or view.gate != "closed":
        return node if node.alone_since is None else replace(node, alone_since=None)
    begins = node.alone_since is None or view.late_by > 0
    return replace(node, alone_since=now) if begins else node


def _settle(s: Situation) -> tuple[Situation, tuple[Action, ...]]:
    """Learn what came of the compare-and-set in flight, or force it to be known."""
    pending, result = s.node.pending, s.view.cas
    if pending is None:
        return s, ()
    attempt = pending.record
    actions: tuple[Action, ...] = ()
    if s.record is not None and s.record.rev >= attempt.rev:
        return _settled(s), ()
    if result is not None and result.nonce == attempt.nonce:
        if result.outcome in (Outcome.REFUSED, Outcome.LOST):
            again = s.now + RETRY_SECONDS
            if s.node.told_refused != attempt.rev:
                fields: dict[str, object] = {"reason": attempt.reason, "detail": result.detail}
                event = "claim_failed" if s.node.state is CLAIMING else "record_refused"
                actions = (Happened(event, fields),)
            return _settled(s, write_again_at=again, told_refused=attempt.rev), actions
        if pending.unknown_since is None:
            pending = replace(pending, unknown_since=result.at)
    if pending.unknown_since is not None and s.view.store in READABLE and s.now >= pending.retry_at:
        pending, actions = _force(s, pending)
    return replace(s, node=replace(s.node, pending=pending)), actions


def _settled(s: Situation, **changes: Any) -> Situation:
    return replace(s, node=replace(s.node, pending=None, **changes))


def _force(s: Situation, pending: Pending) -> tuple[Pending, tuple[Action, ...]]:
    """Put a no-op where the attempt of unknown outcome would land, so that it never can."""
    since = pending.unknown_since
    if since is None or s.view.read_started <= since:
        return pending, ()
    if s.record is not None:
        no_op = s.record.unchanged(s.view.author, s.view.position[1])
    else:  # before the very first record only another first record can take its place
        no_op = first_record(pending.record.nodes, s.view.author)
    later = s.now + RETRY_SECONDS
    return replace(pending, retry_at=later), (Cas(no_op),)


def _needs_promise(node: Node, view: View, now: float) -> bool:
    """The renewal is late by half."""
    if node.state not in (ACTIVE, DRAINING) or view.gate != "open" or not view.link_up:
        return False
    if node.word is not None or not _promises_count(view):
        return False
    confidence = view.timing.lease if view.leases else view.timing.t_conf
    return view.authority_until - now < confidence / 2


def _promises_count(view: View) -> bool:
    """Where the holder has a lease, only if the operator wants it so."""
    return not view.leases or view.policy.failsafe


# -- the table -----------------------------------------------------------------------

CLOSED = (INIT, SYNCING, READY, HELD)
STANDBYS = (*CLOSED, SUSPECT)
WITHOUT_STORE = (SYNCING, SUSPECT, HELD, CLAIMING, FENCED)
UNSURE = (INIT, SYNCING, SUSPECT, HELD)

TABLE = Table(
    # whatever else: who does not serve, or may not any more, is closed
    Row("close-again", (*STANDBYS, CLAIMING, FENCED), fenced.still_open, fenced.close_again),
    Row("fence", (CLAIMING, ACTIVE, DRAINING), active.must_close, active.fence),
    # an operator who vouches for the other node's end is asked nothing more
    Row("forced-fenced", WITHOUT_STORE, requests.vouched_for, requests.open_by_word),
    # and what was written is settled first by who is about to open or to hand over
    Row("await-outcome", (CLAIMING, DRAINING), claiming.unsettled, claiming.await_outcome),
    # the start, and a holder that restarted
    Row("join", (INIT, HELD), start.other_holds, start.join),
    Row("release-earlier-boot", CLOSED, start.may_release, start.release_earlier_boot),
    Row("join-released", (INIT, HELD), start.peer_in_sync, start.join),
    Row("reclaim-from-disk", CLOSED, start.disk_is_good, start.reclaim_from_disk),
    Row("join-with-less", (INIT, HELD), start.disk_lacks, start.join),
    Row("named", STANDBYS, start.names_me, start.take_what_is_mine),
    Row("cold-start", (INIT, SYNCING, HELD), start.better_copy, start.claim_better_copy),
    Row("first-record", (INIT, HELD), start.first_may_be_written, start.write_first),
    Row("hold-back", (INIT,), start.no_record, start.hold_back),
    Row("alone", UNSURE, start.alone_long_enough, start.claim_alone),
    Row("forced", UNSURE, requests.forced, requests.claim_forced),
    Row("pause-closed", (*STANDBYS, FENCED), requests.pause_wanted, requests.pause),
    Row("refuse-resync", (*STANDBYS, FENCED), requests.not_active, requests.refuse_resync),
    # the standby
    Row("ready", (SYNCING,), standby.recorded_in_sync, standby.ready),
    Row("resync", (READY, SUSPECT), standby.no_longer_listed, standby.resync),
    Row("doubt", (READY,), standby.doubtful, standby.doubt),
    Row("trust-again", (SUSPECT,), standby.answers_again, standby.trust_again),
    Row("take-over", (READY, SUSPECT, SYNCING), standby.may_take_over, standby.take_over),
    Row("paused-takeover", (READY, SUSPECT, SYNCING), standby.would_take_over, standby.tell_paused),
    # the claim
    Row("claim-lost", (CLAIMING,), claiming.claim_failed, claiming.give_up_claim),
    Row("take-back-word", (CLAIMING,), requests.gate_refused, requests.take_back_word),
    Row("key-lost", (CLAIMING,), claiming.key_lost, claiming.lose_key),
    Row("claim-landed", (CLAIMING,), claiming.newly_landed, claiming.see_landing),
    Row("fix-wait", (CLAIMING,), claiming.beat_read_again, claiming.fix_wait),
    Row("serve", (CLAIMING,), claiming.opened, claiming.serve),
    Row("stand-back", (CLAIMING,), claiming.open_failed, claiming.stand_back),
    Row("promote", (CLAIMING,), claiming.may_open, claiming.promote),
    # the active one
    Row("gate-fell", (ACTIVE,), active.gate_fell, active.fence),
    Row("by-word", (ACTIVE,), requests.serves_by_word, requests.keep_word),
    Row("degrade", (ACTIVE,), active.must_degrade, active.degrade),
    Row("copies-differ", (ACTIVE,), active.copies_differ, active.record_difference),
    Row("pause-active", (ACTIVE,), requests.pause_wanted, requests.pause),
    Row("resync-peer", (ACTIVE,), requests.resync_wanted, requests.resync_peer),
    Row("switch-over", (ACTIVE,), active.may_switch, active.begin_switchover),
    Row("refuse-switch", (ACTIVE,), active.switch_refused, active.refuse_switch),
    Row("drop-hold", (ACTIVE,), active.hold_broken, active.drop_hold),
    Row("repair", (ACTIVE,), active.must_repair, active.repair),
    Row("in-sync", (ACTIVE,), active.hold_complete, active.record_in_sync),
    Row("hold", (ACTIVE,), active.may_hold, active.hold),
    # a planned switchover
    Row("release-unhealthy", (DRAINING,), switchover.leave_unhealthy, switchover.release_unhealthy),
    Row("resume", (DRAINING,), switchover.switch_failed, switchover.resume),
    Row("prepare", (DRAINING,), switchover.drained, switchover.prepare),
    Row("close-for-switch", (DRAINING,), switchover.peer_has_all, switchover.close_for_switch),
    Row("close-again-for-switch", (DRAINING,), switchover.closing_unproven, fenced.close_again),
    Row("step-down", (DRAINING,), switchover.handed_over, switchover.step_down),
    Row("hand-over", (DRAINING,), switchover.may_hand_over, switchover.hand_over),
    Row("switch-lost", (DRAINING,), switchover.switch_lost, switchover.fence_switch),
    # let go, or deposed
    Row("rejoin", (FENCED,), fenced.deposed, fenced.rejoin),
    Row("reclaim", (FENCED,), fenced.may_reclaim, fenced.reclaim),
)
