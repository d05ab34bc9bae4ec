"""FENCED: closed, and on the way to being a standby or the holder again.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from rtmp_sync.cluster.actions import CloseGate, Demote
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, claim, go, stay
from rtmp_sync.cluster.view import State

RECLAIM_SECONDS = 1.0  # a fenced holder lets a peer in sync go first
STAND_BACK_SECONDS = 5.0  # a holder that released leaves the service to the peer for so long


def still_open(s: Situation) -> bool:
    """Only a promotion may have opened the gate of a claim."""
    claim = s.node.claim
    promoted = claim is not None and s.node.epoch == claim.epoch
    return s.view.gate != "closed" and not promoted


def close_again(s: Situation) -> Turn:
    return stay(s, "the gate is not proven closed: closing again", CloseGate("fenced"))


def deposed(s: Situation) -> bool:
    return s.other_holds and s.node.pending is None


def rejoin(s: Situation) -> Turn:
    return go(
        s, State.SYNCING, f"joining {s.the_record.holder}, epoch {s.the_record.epoch}", Demote()
    )


def may_reclaim(s: Situation) -> bool:
    record, patience = s.record, 0.0
    if record is not None and record.released:
        patience = STAND_BACK_SECONDS
    elif record is not None and record.sync:
        patience = RECLAIM_SECONDS
    waited = s.now - s.node.since >= patience
    return s.i_hold and s.read_since and waited and s.free_to_claim


def reclaim(s: Situation) -> Turn:
    # the epoch that I opened in is over; of one that I only claimed, the old holder's may not be
    return claim(s, "fenced", waits=s.node.epoch != s.the_record.epoch)
