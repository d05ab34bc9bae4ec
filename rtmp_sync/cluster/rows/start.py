"""INIT and HELD: what a node does that does not know its place yet, and the cold start.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from dataclasses import replace

from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.record import first_record
from rtmp_sync.cluster.situation import EMPTY, Situation
from rtmp_sync.cluster.turn import Turn, claim, go, write
from rtmp_sync.cluster.view import Claim, State, Store

# A record that names its holder for these reasons is served without another claim.
ADOPTED = ("switchover", "alone")


def other_holds(s: Situation) -> bool:
    return s.other_holds


def join(s: Situation) -> Turn:
    return go(s, State.SYNCING, f"joining {s.the_record.other(s.me)}, epoch {s.the_record.epoch}")


def peer_in_sync(s: Situation) -> bool:
    """My earlier boot holds, and the peer has everything that it acknowledged."""
    return s.earlier_boot_holds and s.peer_listed


def may_release(s: Situation) -> bool:
    return peer_in_sync(s) and not s.the_record.released and s.can_write


def release_earlier_boot(s: Situation) -> Turn:
    record = s.the_record.let_go(s.view.author, s.view.position[1], "restarted")
    return write(
        s, record, "releasing: the peer holds everything, I restarted", state=State.SYNCING
    )


def disk_is_good(s: Situation) -> bool:
    alone = s.earlier_boot_holds and not s.peer_listed
    return alone and s.has_recorded_epoch and not s.peer_is_ahead and s.free_to_claim


def disk_lacks(s: Situation) -> bool:
    """Of the recorded epoch, or of what the peer has."""
    alone = s.earlier_boot_holds and not s.peer_listed
    return alone and (not s.has_recorded_epoch or s.peer_is_ahead)


def reclaim_from_disk(s: Situation) -> Turn:
    return claim(s, "restarted_alone", lossy=True)


def names_me(s: Situation) -> bool:
    """The record names me and this boot, though I do not serve and did not let go."""
    return s.i_hold and (_was_given(s) or s.free_to_claim)


def take_what_is_mine(s: Situation) -> Turn:
    """Serve the epoch that the record gave to me; any other may have been served: a new one."""
    if not _was_given(s):
        return claim(s, "resumed")
    record = s.the_record
    adopted = Claim(
        record.epoch,
        s.node.state,
        waits=False,
        taken_from=record.by,
        heard_at=s.now,
        noticed_at=s.now,
        claimed_at=s.now,
    )
    sentence = f"epoch {record.epoch} was given to me: {record.reason}"
    return go(s, State.CLAIMING, sentence, claim=adopted)


def _was_given(s: Situation) -> bool:
    """The epoch was given to this boot, which has not served it yet."""
    record = s.the_record
    given = record.reason in ADOPTED and not record.released
    return given and s.node.epoch < record.epoch


def better_copy(s: Situation) -> bool:
    return s.both_closed and s.my_copy_is_better and s.free_to_claim


def claim_better_copy(s: Situation) -> Turn:
    turn = claim(s, "cold_start", lossy=True)
    fields: dict[str, object] = {"mine": list(s.view.position), "theirs": list(s.the_peer.position)}
    return replace(turn, actions=(*turn.actions, Happened("cold_start", fields)))


def write_first(s: Situation) -> Turn:
    record = first_record(s.nodes, s.view.author)
    turn = write(s, record, "writing the very first record", state=State.CLAIMING)
    first = Claim(1, s.node.state, waits=False, heard_at=s.now, noticed_at=s.now, claimed_at=s.now)
    return replace(turn, node=replace(turn.node, claim=first))


def first_may_be_written(s: Situation) -> bool:
    peer = s.talking_peer
    return (
        s.view.store is Store.EMPTY
        and s.record is None
        and s.view.slot == 0
        and s.can_write
        and s.healthy
        and peer is not None
        and s.view.position == EMPTY == peer.position
        and not peer.gate_open
    )


def no_record(s: Situation) -> bool:
    return s.record is None and s.view.store is not Store.UNREAD


def hold_back(s: Situation) -> Turn:
    why = {
        Store.UNREACHABLE: "the store does not answer",
        Store.INVALID: "the store holds no valid record",
    }.get(s.view.store, "there is no record yet; the first is written when both nodes are empty")
    return go(s, State.HELD, f"closed: {why}")


def alone_long_enough(s: Situation) -> bool:
    since = s.node.alone_since
    return (
        since is not None
        and s.now - since >= s.view.policy.cold_start_alone
        and (s.view.leases or s.beat_stopped)
        and s.free_to_claim
        and not s.i_hold
    )


def claim_alone(s: Situation) -> Turn:
    return claim(s, "cold_start_alone", lossy=True)
