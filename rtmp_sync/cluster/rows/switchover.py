"""DRAINING: a planned switchover, up to the record that names the peer.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from dataclasses import replace

from rtmp_sync.cluster.actions import (
    Action,
    Answer,
    CloseGate,
    Demote,
    Happened,
    HoldWrites,
    Prepare,
    Switchover,
)
from rtmp_sync.cluster.record import InSync
from rtmp_sync.cluster.rows import active
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.steps import steps_ms
from rtmp_sync.cluster.turn import Turn, go, stay, write
from rtmp_sync.cluster.view import SELF_TESTS, Drain, Gift, State

SWITCH_AGAIN_SECONDS = 10.0
SWITCHOVER_SECONDS = 2.0  # for the peer to have the last held write


def drained(s: Situation) -> bool:
    drain = s.node.drain
    if drain is None or drain.closing or drain.prepared_at is not None:
        return False
    seconds = drain.seconds if drain.seconds is not None else s.view.policy.drain_seconds
    return s.now >= drain.started + seconds or s.view.clients == 0


def prepare(s: Situation) -> Turn:
    drain = replace(s.drain, prepared_at=s.now)
    prepare = Prepare(drain.switch_id, SWITCHOVER_SECONDS)
    return stay(s, "holding writes until the peer has the last one", prepare, drain=drain)


def peer_has_all(s: Situation) -> bool:
    drain = s.node.drain
    if drain is None or drain.closing or drain.prepared_at is None:
        return False
    return s.view.switch_ready and s.peer_ready and s.can_write


def close_for_switch(s: Situation) -> Turn:
    drain = replace(s.drain, closing_at=s.now)
    return stay(s, "closing for the switchover", CloseGate("switchover"), drain=drain)


def _answer(s: Situation, done: bool, text: str) -> tuple[Answer, ...]:
    """For who commanded a switchover; a command that came meanwhile waits for its own."""
    wish = s.view.request
    return (Answer(done, text),) if wish is not None and wish.kind == "switchover" else ()


def switch_failed(s: Situation) -> bool:
    drain = s.node.drain
    if drain is None or drain.closing:
        return False
    prepared = drain.prepared_at
    late = prepared is not None and s.now - prepared > SWITCHOVER_SECONDS
    peer = s.talking_peer
    same_boot = peer is not None and peer.boot_id == drain.to.boot_id
    lost = not same_boot or not s.peer_may_hold or s.view.ack_late
    return late or lost or s.view.switch_aborted


def leave_unhealthy(s: Situation) -> bool:
    """I am sick, the peer is well and does not answer the switchover: release instead."""
    drain = s.node.drain
    sick = drain is not None and drain.reason in SELF_TESTS
    return sick and switch_failed(s) and s.peer_ready and s.can_write


def release_unhealthy(s: Situation) -> Turn:
    drain = replace(s.drain, closing_at=s.now, releasing=True)
    return stay(s, "closing: unhealthy, the peer is ready", CloseGate(drain.reason), drain=drain)


def _why_aborted(s: Situation) -> str:
    peer = s.talking_peer
    if peer is None or peer.boot_id != s.drain.to.boot_id:
        return "the other origin is gone"
    if s.view.switch_aborted:
        return "the other origin is not READY"
    return "the other origin did not get ready in time"


def resume(s: Situation) -> Turn:
    drain, why = s.drain, _why_aborted(s)
    actions: tuple[Action, ...] = (
        HoldWrites(False),
        Switchover("abort", drain.switch_id, s.node.epoch),
        Happened("switchover_aborted", {"reason": drain.reason, "why": why}),
        *_answer(s, False, why),
    )
    sentence, again = "the switchover was aborted: serving on", s.now + SWITCH_AGAIN_SECONDS
    return go(s, State.ACTIVE, sentence, *actions, drain=None, switch_again_at=again)


def handed_over(s: Situation) -> bool:
    return s.other_holds and s.view.gate == "closed"


def step_down(s: Situation) -> Turn:
    drain = s.drain
    done = drain.sent and s.the_record.held_by(drain.to.node, drain.to.boot_id)
    fields: dict[str, object] = {
        "to": s.the_record.holder,
        "epoch": s.the_record.epoch,
        "reason": drain.reason,
        "final_seq": s.view.position[1],
        **_durations(drain, s.now),
    }
    actions: tuple[Action, ...] = (
        Switchover("done", drain.switch_id, s.the_record.epoch),
        Demote(),
        HoldWrites(False),
        Happened("switchover", fields),
        *_answer(s, done, f"{s.the_record.holder} serves in epoch {s.the_record.epoch}"),
    )
    return go(s, State.SYNCING, f"handed over to {s.the_record.holder}", *actions, drain=None)


def _durations(drain: Drain, now: float) -> dict[str, object]:
    """pause_ms: for how long this node held writes; the other one's opening comes on top."""
    prepared_at = drain.prepared_at if drain.prepared_at is not None else drain.started
    ready_at = drain.closing_at if drain.closing_at is not None else prepared_at
    closed_at = drain.sent_at if drain.sent_at is not None else ready_at
    steps = steps_ms(
        drain.started, drained=prepared_at, peer_ready=ready_at, closed=closed_at, recorded=now
    )
    return {"pause_ms": round((now - prepared_at) * 1000), "steps": steps}


def closing_unproven(s: Situation) -> bool:
    return s.node.drain is not None and s.node.drain.closing and s.view.gate != "closed"


def may_hand_over(s: Situation) -> bool:
    drain = s.node.drain
    fresh = drain is not None and drain.closing and not drain.sent and s.view.gate == "closed"
    return fresh and s.can_write and s.i_hold and s.record is not None and not s.record.released


def hand_over(s: Situation) -> Turn:
    seq = s.view.position[1]
    if s.drain.releasing:
        record = s.the_record.let_go(s.view.author, seq, s.drain.reason)
        sentence = "releasing: unhealthy"
        turn = write(s, record, sentence, HoldWrites(False), state=State.FENCED)
        return replace(turn, node=replace(turn.node, drain=None))  # it may serve again one day
    # in `async` nobody is ever listed: what the next holder acknowledges waits for no one
    copies = () if s.view.policy.mode == "async" else (InSync(s.me, s.boot_id),)
    record = s.the_record.handed_over(s.view.author, seq, s.drain.to, *copies)
    turn = write(s, record, f"handing epoch {record.epoch} to {s.drain.to.node}")
    gift = Gift(s.drain.reason, s.drain.to.boot_id, s.now)
    gifts = (*(one for one in s.node.gifts if one.reason != gift.reason), gift)
    if gift.reason not in active.UNASKED:
        gifts = s.node.gifts
    drain = replace(s.drain, sent_at=s.now)
    return replace(turn, node=replace(turn.node, drain=drain, gifts=gifts))


def switch_lost(s: Situation) -> bool:
    """The hand-over did not land: another record took its place, or the store refused."""
    drain = s.node.drain
    return drain is None or (drain.closing and s.view.gate == "closed")


def fence_switch(s: Situation) -> Turn:
    answer = _answer(s, False, "the switchover was not recorded")
    sentence = "the switchover was not recorded: fenced"
    return go(s, State.FENCED, sentence, HoldWrites(False), *answer, drain=None)
