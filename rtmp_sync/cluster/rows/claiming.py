"""CLAIMING: from the claim that was sent to the gate that is open.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from dataclasses import replace

from rtmp_sync.cluster.actions import CloseGate, Happened, Promote
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.steps import steps_ms
from rtmp_sync.cluster.turn import Turn, go, standby, stay, write
from rtmp_sync.cluster.view import Claim, State


def unsettled(s: Situation) -> bool:
    return s.node.pending is not None


def await_outcome(s: Situation) -> Turn:
    unknown = s.node.pending is not None and s.node.pending.unknown_since is not None
    return stay(s, "closed: the claim's outcome is unknown" if unknown else "claiming")


def claim_failed(s: Situation) -> bool:
    record, claim = s.record, s.node.claim
    if s.node.word is not None:
        return record is not None and record.epoch >= s.node.word.epoch
    return claim is None or record is None or not s.i_hold or record.epoch != claim.epoch


def give_up_claim(s: Situation) -> Turn:
    claim = s.node.claim
    refused = s.now < s.node.write_again_at
    back = standby(s)
    if claim is not None and s.node.epoch == claim.epoch:
        back = State.FENCED  # promoted: there is a service to let go of
    elif claim is not None and (refused or claim.back is State.FENCED):
        back = claim.back
    sentence = "the claim was refused by the store" if refused else "the claim was lost"
    return go(s, back, sentence, claim=None, word=None)


def key_lost(s: Situation) -> bool:
    """Neither the claim nor a read since has the holder's key: the lease is over already."""
    claim = s.node.claim
    if claim is None or claim.landed_at is None or s.view.gate != "closed":
        return False
    return s.i_hold and s.view.holder_key is False and s.view.read_started > claim.landed_at


def lose_key(s: Situation) -> Turn:
    event = Happened("fenced", {"epoch": s.the_record.epoch, "reason": "lease_revoked"})
    return go(s, State.FENCED, "the lease was gone before the gate opened", event, claim=None)


def newly_landed(s: Situation) -> bool:
    return s.node.claim is not None and s.node.claim.landed_at is None


def see_landing(s: Situation) -> Turn:
    open_at = None if s.claim.waits else s.now
    claim = replace(s.claim, landed_at=s.now, open_at=open_at)
    return stay(s, f"epoch {claim.epoch} is mine", claim=claim)


def beat_read_again(s: Situation) -> bool:
    claim = s.node.claim
    if claim is None or claim.landed_at is None or claim.open_at is not None:
        return False
    return s.view.read_started > claim.landed_at


def fix_wait(s: Situation) -> Turn:
    """Step 4: any later extension of the old holder's authority needs a record read, which
    shows my claim, after a heartbeat write, which this read would have shown."""
    landed_at = s.claim.landed_at if s.claim.landed_at is not None else s.now
    open_at = min(s.view.beat_changed_at, landed_at) + s.view.timing.binding
    sentence = f"opening in {max(0.0, open_at - s.now):.2f} s, when the old authority is over"
    return stay(s, sentence, claim=replace(s.claim, open_at=open_at))


def wait_over(s: Situation) -> bool:
    """The old authority is over, and mine is good."""
    claim = s.node.claim
    return (
        claim is not None
        and claim.open_at is not None
        and s.now >= claim.open_at
        and (s.node.word is not None or _has_authority(s, claim.epoch))
    )


def _has_authority(s: Situation, epoch: int) -> bool:
    return s.view.authority_epoch == epoch and s.now < s.view.authority_until


def may_open(s: Situation) -> bool:
    return s.view.gate == "closed" and wait_over(s)


def opened(s: Situation) -> bool:
    return s.view.gate == "open" and wait_over(s)


def open_failed(s: Situation) -> bool:
    return s.node.claim is not None and s.view.open_failed == s.node.claim.epoch


def stand_back(s: Situation) -> Turn:
    """My gate does not open: let go, once it is proven closed, so that the other node's copy
    may serve."""
    if s.view.gate != "closed" or not s.can_write:
        return stay(s, "the gate did not open; waiting to release", CloseGate("gate_mismatch"))
    record = s.the_record.let_go(s.view.author, s.view.position[1], "gate_failed")
    turn = write(s, record, "the gate did not open: releasing", CloseGate("gate_mismatch"))
    return replace(turn, node=replace(turn.node, state=State.FENCED, since=s.now, claim=None))


def promote(s: Situation) -> Turn:
    """Step 5; the watchdog opens the gate only while the authority lasts."""
    epoch, record = s.claim.epoch, s.node.word or s.the_record
    return stay(s, f"opening in epoch {epoch}", Promote(record, s.claim.lossy), epoch=epoch)


def _beginning(s: Situation) -> str:
    """What the history calls it: a holder that reclaims its own service takes over nothing."""
    if s.node.word is None and s.the_record.reason in ("first", "alone"):
        return "began"
    return "reclaimed" if s.claim.taken_from == s.me else "failover"


def _steps(claim: Claim, now: float) -> dict[str, int]:
    """Milliseconds of each, from the last sign of life of the holder before."""
    landed_at = claim.landed_at if claim.landed_at is not None else claim.claimed_at
    free_at = max(landed_at, claim.open_at if claim.open_at is not None else landed_at)
    return steps_ms(
        claim.heard_at,
        noticed=claim.noticed_at,
        claimed=claim.claimed_at,
        landed=landed_at,
        waited=free_at,
        opened=now,
    )


def serve(s: Situation) -> Turn:
    record, claim = s.node.word or s.the_record, s.claim
    fields: dict[str, object] = {
        "from": claim.taken_from,
        "to": s.me,
        "epoch": record.epoch,
        "last_seq": record.seq,
        "reason": record.reason,
        "steps": _steps(claim, s.now),
    }
    if s.view.slot == 1:
        fields["sticky"] = s.me  # there is no automatic return
    if claim.lossy:  # upper bound of what the pair may have lost
        fields["lost_range"] = f"({claim.copy_ends},{claim.known_head}]"
    event = Happened(_beginning(s), fields)
    return go(s, State.ACTIVE, f"serving in epoch {record.epoch}", event, claim=None)
