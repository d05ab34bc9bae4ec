"""The failover machine: who serves, decided by each node for itself (failover.md section 2).

    decide(node, view, now) -> Turn(node, actions, sentence)

`TABLE` is the transition table: the first row whose states hold the node's and whose guard is
true acts; no row means that everything stays. What drives it: every observation (a record
read, a probe, the link's end, an outcome, an operator) and the passing of time.

What always holds, whatever the order of events:
- a gate opens only with a valid authority for an epoch that the record gave to this boot, and
  (for a claim from a holder that did not let go) after the wait of the claim rule;
- one compare-and-set is in flight at most, and one whose outcome is unknown is settled by a
  record at its revision before another is tried;
- an epoch is never served twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rtmp_sync.cluster.actions import Action, AskPromise, Cas, CloseGate, Happened
from rtmp_sync.cluster.record import first_record
from rtmp_sync.cluster.rows import active, claiming, fenced, standby, start, switchover
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, nothing_to_do, stay, write
from rtmp_sync.cluster.view import Node, Outcome, Pending, State, Store, View

__all__ = ["TABLE", "Row", "Turn", "beats", "decide", "give_promise", "leave", "require_peer"]

RETRY_SECONDS = 0.5  # between attempts that the store refused

READABLE = (Store.OK, Store.EMPTY)

INIT, HELD, SYNCING = State.INIT, State.HELD, State.SYNCING
READY, SUSPECT, CLAIMING = State.READY, State.SUSPECT, State.CLAIMING
ACTIVE, DRAINING, FENCED = State.ACTIVE, State.DRAINING, State.FENCED


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    states: tuple[State, ...]
    guard: Callable[[Situation], bool]
    act: Callable[[Situation], Turn]


def decide(node: Node, view: View, now: float) -> Turn:
    """One turn. Pure: the same arguments give the same turn."""
    s = Situation(_alone(node, view, now), view, now)
    s, settling = _settle(s)
    for row in TABLE:
        if s.node.state in row.states and row.guard(s):
            turn = row.act(s)
            break
    else:
        turn = stay(s, nothing_to_do(s))
    extra = settling
    if _needs_promise(turn.node, view, now):
        extra = (*extra, AskPromise(turn.node.epoch))
    return replace(turn, actions=(*extra, *turn.actions))


def require_peer(node: Node, view: View) -> bool:
    """Whether an acknowledgement to a client waits for the peer's: by the stricter of what
    the record says and what an unsettled attempt may have made of it."""
    if view.policy.mode != "semi":
        return view.policy.mode == "strict"
    listed = view.record is None or bool(view.record.sync)
    return listed or node.pending is not None or node.hold is not None


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
    """Keep since when this node is alone and closed."""
    if view.link_up or view.gate != "closed":
        return node if node.alone_since is None else replace(node, alone_since=None)
    return replace(node, alone_since=now) if node.alone_since is None else node


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
            event = Happened("cas_failed", {"reason": attempt.reason, "detail": result.detail})
            return _settled(s, write_again_at=again), (event,)
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
    return replace(pending, forced=no_op.nonce, retry_at=later), (Cas(no_op),)


def _needs_promise(node: Node, view: View, now: float) -> bool:
    """The renewal is late by half."""
    if node.state not in (ACTIVE, DRAINING) or view.gate != "open" or not view.link_up:
        return False
    return view.authority_until - now < view.timing.t_conf / 2


# -- the table -----------------------------------------------------------------------


def _unreleased(s: Situation) -> bool:
    return s.record is not None and not s.record.released


STANDBYS = (INIT, SYNCING, READY, HELD)

TABLE: tuple[Row, ...] = (
    # whatever else: a node that does not serve is closed
    Row((*STANDBYS, SUSPECT), fenced.still_open, fenced.close_again),
    # the start, and a holder that restarted
    Row((INIT, HELD), lambda s: s.other_holds, start.join),
    Row(
        STANDBYS,
        lambda s: s.earlier_boot_holds and s.peer_listed and _unreleased(s) and s.can_write,
        start.release_earlier_boot,
    ),
    Row((INIT, HELD), lambda s: s.earlier_boot_holds and s.peer_listed, start.join),
    Row(
        STANDBYS,
        lambda s: (
            s.earlier_boot_holds and not s.peer_listed and s.has_recorded_epoch and s.free_to_claim
        ),
        start.reclaim_from_disk,
    ),
    Row(
        (INIT, HELD),
        lambda s: s.earlier_boot_holds and not s.peer_listed and not s.has_recorded_epoch,
        start.join,
    ),
    Row((*STANDBYS, SUSPECT), lambda s: s.adoptable, start.adopt),
    Row((*STANDBYS, SUSPECT), lambda s: s.i_hold and s.free_to_claim, start.claim_own_boot),
    Row(
        (INIT, SYNCING, HELD),
        lambda s: s.both_closed and s.my_copy_is_better and s.free_to_claim,
        start.claim_better_copy,
    ),
    Row((INIT, HELD), start.first_may_be_written, start.write_first),
    Row((INIT,), lambda s: s.record is None and s.view.store is not Store.UNREAD, start.hold_back),
    Row((INIT, SYNCING, SUSPECT, HELD), start.alone_long_enough, start.claim_alone),
    Row((INIT, SYNCING, SUSPECT, HELD), start.forced, start.claim_forced),
    Row((*STANDBYS, SUSPECT, FENCED), active.pause_wanted, active.pause),
    # the standby
    Row((SYNCING,), standby.recorded_in_sync, standby.ready),
    Row((READY, SUSPECT), standby.no_longer_listed, standby.resync),
    Row((READY,), lambda s: not s.view.link_up or s.view.misses > 0, standby.doubt),
    Row(
        (SUSPECT,),
        lambda s: s.view.link_up and s.view.answers >= s.view.timing.rise,
        standby.trust_again,
    ),
    Row((READY, SUSPECT, SYNCING), standby.may_take_over, standby.take_over),
    # the claim
    Row((CLAIMING,), active.must_close, active.fence),
    Row((CLAIMING,), lambda s: s.node.pending is not None, claiming.await_outcome),
    Row((CLAIMING,), claiming.claim_failed, claiming.give_up_claim),
    Row((CLAIMING,), claiming.newly_landed, claiming.see_landing),
    Row((CLAIMING,), claiming.beat_read_again, claiming.fix_wait),
    Row((CLAIMING,), lambda s: s.view.gate == "open" and claiming.may_open(s), claiming.serve),
    Row((CLAIMING,), claiming.open_failed, claiming.stand_back),
    Row((CLAIMING,), lambda s: s.view.gate == "closed" and claiming.may_open(s), claiming.promote),
    # the active one
    Row((ACTIVE, DRAINING), active.must_close, active.fence),
    Row((ACTIVE,), active.gate_fell, active.fence),
    Row((ACTIVE,), active.must_degrade, active.degrade),
    Row((ACTIVE,), active.copies_differ, active.record_difference),
    Row((ACTIVE,), active.pause_wanted, active.pause),
    Row((ACTIVE,), active.may_switch, active.begin_switchover),
    Row((ACTIVE,), active.switch_refused, active.refuse_switch),
    Row((ACTIVE,), active.hold_broken, active.drop_hold),
    Row((ACTIVE,), active.must_repair, active.repair),
    Row((ACTIVE,), active.hold_complete, active.record_in_sync),
    Row((ACTIVE,), active.may_hold, active.hold),
    # a planned switchover
    Row((DRAINING,), lambda s: s.node.pending is not None, claiming.await_outcome),
    Row((DRAINING,), switchover.leave_unhealthy, switchover.release_unhealthy),
    Row((DRAINING,), switchover.switch_failed, switchover.resume),
    Row((DRAINING,), switchover.drained, switchover.prepare),
    Row((DRAINING,), switchover.peer_has_all, switchover.close_for_switch),
    Row((DRAINING,), switchover.closing_unproven, fenced.close_again),
    Row((DRAINING,), switchover.handed_over, switchover.step_down),
    Row((DRAINING,), switchover.may_hand_over, switchover.hand_over),
    Row((DRAINING,), switchover.switch_lost, switchover.fence_switch),
    # let go, or deposed
    Row((FENCED,), fenced.still_open, fenced.close_again),
    Row((FENCED,), lambda s: s.other_holds and s.node.pending is None, fenced.rejoin),
    Row((FENCED,), fenced.may_reclaim, fenced.reclaim),
)
