"""ACTIVE: closing in time, going on alone, taking the peer back in sync.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from rtmp_sync.cluster.actions import (
    Answer,
    CloseGate,
    CompareDigests,
    Happened,
    HoldWrites,
    Repair,
)
from rtmp_sync.cluster.record import InSync
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, go, stay, write
from rtmp_sync.cluster.view import HAND_EDIT, SELF_TESTS, Drain, Hold, State

# Why a node gives its service away unasked, and for how many seconds it does not do so again
# to the same boot of the peer. A guard does not come back to life; a busy loop may, and the way
# of a load balancer often does.
UNASKED = {
    **dict.fromkeys(SELF_TESTS, 600.0),
    "guard_lost": inf,
    "lb_path_lost": 60.0,
}

HOLD_AGAIN_SECONDS = 1.0  # between attempts to take the peer back in sync


def must_close(s: Situation) -> bool:
    return s.view.gate != "closed" and (s.deposed or s.now >= s.authority_until)


def _why_closed(s: Situation) -> tuple[str, str]:
    """For the history, and for people."""
    if s.view.late_by and s.now >= s.authority_until:  # whatever was read since
        return "fenced_on_resume", "this process did not run, and its authority ran out"
    if not s.deposed:
        if s.view.holder_key is False:
            return "lease_revoked", "the key of my lease is gone"
        if s.now < s.authority_until:
            return "gate_fell", "the gate does not stand open any more"
        return "isolated_self_fence", "the authority ran out"
    if not s.i_hold:
        return "deposed", "the record names another"
    return "higher_epoch", "a higher epoch was seen"


def fence(s: Situation) -> Turn:
    reason, why = _why_closed(s)
    fields: dict[str, object] = {"epoch": s.node.epoch, "reason": reason}
    if s.view.late_by:
        fields["paused_for"] = round(s.view.late_by, 3)
    event = Happened("fenced", fields)
    actions = (CloseGate(why), HoldWrites(False), event)
    over: dict[str, Any] = {"drain": None, "hold": None, "claim": None, "word": None}
    return go(s, State.FENCED, f"closed: {why}", *actions, **over)


def gate_fell(s: Situation) -> bool:
    """Also one that cannot be read back: what was closed half goes on to be closed."""
    return s.view.gate != "open"


def must_degrade(s: Situation) -> bool:
    return s.must_degrade and s.can_write


def _why_alone(s: Situation) -> tuple[str, str]:
    """For the history, and for people."""
    if s.view.policy.mode == "async":
        return "async", "async waits for nobody"
    if s.view.link_fell_silent:
        return "ack_timeout", "nothing is heard of the peer: it hangs, or the way from it is lost"
    if not s.view.link_up:
        return "peer_unreachable", "the link is down"
    if s.peer_listed:  # it is heard, or the link would be down
        return "ack_timeout", "the peer does not acknowledge, though it is heard: a one-way loss?"
    return "peer_restarted", "the peer restarted"


def degrade(s: Situation) -> Turn:
    reason, why = _why_alone(s)
    record = s.the_record.synced(s.view.author, s.view.position[1], "degraded")
    told = s.node.told_alone == s.the_record.rev
    events = () if told else (Happened("degraded", {"reason": reason, "why": why}),)
    turn = write(s, record, f"going on alone: {why}", *events)
    return replace(turn, node=replace(turn.node, hold=None, told_alone=s.the_record.rev))


def copies_differ(s: Situation) -> bool:
    return s.view.digest_agrees is False and not s.degraded and s.can_write


def record_difference(s: Situation) -> Turn:
    record = s.the_record.synced(s.view.author, s.view.position[1], "digest_mismatch")
    return write(s, record, "the copies differ")


def must_repair(s: Situation) -> bool:
    return s.view.digest_agrees is False and s.degraded and s.node.hold is None


def repair(s: Situation) -> Turn:
    return stay(s, "the peer makes a new copy", Repair())


def may_hold(s: Situation) -> bool:
    """The peer has caught up, and nothing else is under way."""
    return (
        s.view.policy.mode != "async"
        and s.degraded
        and s.node.hold is None
        and s.now >= s.node.hold_again_at
        and s.talking_peer is not None
        and s.view.peer_caught_up
        and not s.view.ack_late
        and s.can_write
    )


def hold(s: Situation) -> Turn:
    hold = Hold(s.view.position[1], s.the_peer.boot_id, s.now)
    return stay(s, "the peer has caught up: comparing", CompareDigests(), hold=hold)


def hold_broken(s: Situation) -> bool:
    hold, peer = s.node.hold, s.talking_peer
    if hold is None or s.node.pending is not None:
        return False
    overdue = s.view.ack_late or s.now - hold.since > 2 * s.view.timing.ack_timeout
    other_boot = peer is None or peer.boot_id != hold.boot_id
    return overdue or other_boot or s.view.digest_agrees is False or not s.degraded


def drop_hold(s: Situation) -> Turn:
    if not s.degraded:
        return stay(s, "the peer is in sync", Happened("in_sync"), hold=None)
    differs = s.view.digest_agrees is False
    why = "its copy differs" if differs else "it fell behind"
    again = s.now + HOLD_AGAIN_SECONDS
    return stay(s, f"the peer is not in sync: {why}", hold=None, hold_again_at=again)


def hold_complete(s: Situation) -> bool:
    hold = s.node.hold
    agrees = s.view.digest_agrees is True
    return hold is not None and agrees and s.view.acked >= hold.head and s.can_write


def record_in_sync(s: Situation) -> Turn:
    copy = InSync(s.the_record.other(s.me), s.hold.boot_id)
    record = s.the_record.synced(s.view.author, s.view.position[1], "in_sync", copy)
    return write(s, record, f"recording {copy.node} in sync")


def why_switch(s: Situation) -> str:
    """What asks for a planned switchover; "" for nothing."""
    wish = s.view.request
    if wish is not None and wish.kind == "switchover" and wish.by != HAND_EDIT:
        return wish.by
    if s.now < s.node.switch_again_at:
        return ""
    if wish is not None and wish.kind == "switchover":
        return wish.by
    if s.paused:
        return ""
    policy = s.view.policy
    wrong = (
        s.unhealthy,
        "lb_path_lost" if s.lb_path_lost and policy.lb_path == "auto" else "",
        "guard_lost" if s.view.guard_lost and policy.guard_lost == "switchover" else "",
    )
    return next((why for why in wrong if why and not _came_back(s, why)), "")


def _came_back(s: Situation, reason: str) -> bool:
    """The peer was given the service for this already, and gave it back: it is no better off,
    and the two would pass it to and fro for ever."""
    peer = s.view.peer
    return any(
        gift.reason == reason
        and peer is not None
        and gift.boot_id == peer.boot_id
        and s.now - gift.at < UNASKED[reason]
        for gift in s.node.gifts
    )


def may_switch(s: Situation) -> bool:
    return bool(why_switch(s)) and s.peer_ready and s.node.pending is None


def begin_switchover(s: Situation) -> Turn:
    why = why_switch(s)
    to = InSync(s.the_record.other(s.me), s.the_peer.boot_id)
    asked = s.view.request.drain_seconds if s.view.request is not None else None
    drain = Drain(why, s.view.author.nonce, to, s.now, seconds=asked)
    return go(s, State.DRAINING, f"switching over: {why}", drain=drain, hold=None)


def switch_refused(s: Situation) -> bool:
    """A hand edit stays pending until the peer is ready; a command is answered at once."""
    wish = s.view.request
    asked = wish is not None and wish.kind == "switchover" and wish.by != HAND_EDIT
    return asked and not s.peer_ready


def refuse_switch(s: Situation) -> Turn:
    return stay(s, "no switchover", Answer(False, "the other origin is not READY"))
