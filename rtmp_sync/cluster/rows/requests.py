"""What operators ask for outside of a planned switchover: a pause, a claim in spite of everything,
a node that serves by their word alone, a new copy for the peer.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from rtmp_sync.cluster.actions import Answer, CloseGate, Happened, Repair
from rtmp_sync.cluster.record import first_record
from rtmp_sync.cluster.situation import EMPTY, Situation
from rtmp_sync.cluster.turn import Turn, claim, go, heard_at, stay, write
from rtmp_sync.cluster.view import Claim, State, Store

# While the store was away, epochs may have passed that this node never read of; none of them is
# served again. A pair that fails over every second needs longer than any operator for so many.
UNSEEN_EPOCHS = 1000
LOTS = 256  # each costs a step of the versions, which have 32 bits


def pause_wanted(s: Situation) -> bool:
    wish = s.view.request
    if wish is None or wish.kind not in ("pause", "resume") or s.record is None:
        return False
    return s.can_write or s.paused == (wish.kind == "pause")


def pause(s: Situation) -> Turn:
    wish = s.wish
    done = f"{wish.kind}d"
    if s.paused == (wish.kind == "pause"):
        event = Happened(done, {"by": wish.by, "reason": wish.reason})
        return stay(s, done, Answer(True, done), event)
    record = s.the_record.with_pause(s.view.author, s.view.position[1], wish.kind == "pause")
    return write(s, record, f"{wish.kind} requested by {wish.by}")


# -- with what this copy has ---------------------------------------------------------


def forced(s: Situation) -> bool:
    """The operator takes the loss upon himself; promises and the hold-off bind all the same."""
    wish = s.view.request
    free = s.can_write and not s.held_off and not s.promised and s.view.gate == "closed"
    asked = wish is not None and wish.kind in ("force", "force_fenced")
    return asked and free and s.key_free and s.record is not None


def claim_forced(s: Situation) -> Turn:
    turn = claim(s, "forced", lossy=True)
    return replace(turn, actions=(*turn.actions, Answer(True, turn.sentence)))


# -- by the operator's word ----------------------------------------------------------


def vouched_for(s: Situation) -> bool:
    """He says that the other node is powered off; nobody else can, as the store is away. A pair
    that never began has nothing to serve."""
    wish, claim = s.view.request, s.node.claim
    asked = wish is not None and wish.kind == "force_fenced" and s.node.word is None
    began = s.record is not None or s.view.position != EMPTY
    opens = claim is not None and s.node.epoch == claim.epoch  # already, as one or the other
    closed = s.view.gate == "closed" and not opens
    return asked and began and closed and s.view.store is Store.UNREACHABLE


def open_by_word(s: Situation) -> Turn:
    """What an attempt of mine may still become, a record is going to say when the store is
    back: nobody else reads it before. Nor does anybody read of an epoch whose origin is lost before
    the store is back: so that a second word hardly repeats it, where they begin is drawn by lot."""
    epoch, ends = s.view.position
    known = s.record or first_record(s.view.nodes or (s.me, ""), s.view.author)
    lot = crc32(s.view.author.nonce.encode()) % LOTS
    word = known.claimed(s.view.author, ends, "forced_fenced", above=epoch + UNSEEN_EPOCHS + lot)
    former = s.node.claim  # cut off from the store before it opened
    claim = Claim(
        word.epoch,
        former.back if former is not None else s.node.state,
        waits=False,
        lossy=True,
        taken_from=known.holder if s.record is not None else "",
        copy_ends=ends,
        known_head=max(known.seq, ends + (s.view.lag or 0)),
        heard_at=heard_at(s),
        noticed_at=s.view.noticed_at,
        claimed_at=s.now,
        landed_at=s.now,
        open_at=s.now,
    )
    sentence = f"opening by the word of {s.wish.by}: epoch {word.epoch} is recorded later"
    answer = Answer(True, sentence)
    return go(s, State.CLAIMING, sentence, answer, word=word, claim=claim, pending=None)


def serves_by_word(s: Situation) -> bool:
    return s.node.word is not None


def keep_word(s: Situation) -> Turn:
    """Before anything else is decided, the store has to know."""
    word = s.node.word
    if word is None or s.record is None or not s.can_write:
        return stay(s, "serving by the operator's word: the store does not have it yet")
    if not (s.i_hold and s.record.epoch == word.epoch):
        if not s.key_free:
            return stay(s, "serving by the operator's word: the lease of the other one lives")
        record = s.record.vouched(s.view.author, s.view.position[1], word)
        return write(s, record, f"recording epoch {word.epoch}, which the operator vouched for")
    if s.view.authority_epoch == word.epoch and s.now < s.view.authority_until:
        event = Happened("word_recorded", {"epoch": word.epoch})
        return stay(s, f"epoch {word.epoch} is recorded", event, word=None)
    return stay(s, "serving by the operator's word: recorded, not confirmed yet")


# -- a new copy for the peer ---------------------------------------------------------


def resync_wanted(s: Situation) -> bool:
    wish = s.view.request
    return wish is not None and wish.kind == "resync" and s.node.pending is None


def resync_peer(s: Situation) -> Turn:
    """The record says first that the peer is not in sync, as before any new copy."""
    if s.talking_peer is None:
        return stay(s, "no resync", Answer(False, "the other origin is not linked to this one"))
    if not s.degraded:
        if not s.can_write:
            return stay(s, "a resync waits for the store")
        record = s.the_record.synced(s.view.author, s.view.position[1], "resync")
        turn = write(s, record, f"resync requested by {s.wish.by}")
        return replace(turn, node=replace(turn.node, hold=None))
    text = "the other origin makes a new copy"
    event = Happened("resync_requested", {"by": s.wish.by})
    return stay(s, text, Repair(), Answer(True, text), event, hold=None)


def not_active(s: Situation) -> bool:
    wish = s.view.request
    return wish is not None and wish.kind == "resync"


def refuse_resync(s: Situation) -> Turn:
    text = "only the active origin can have the other one make a new copy"
    return stay(s, text, Answer(False, text))


def gate_refused(s: Situation) -> bool:
    """Nothing can be released while the store is away."""
    claim = s.node.claim
    return s.node.word is not None and claim is not None and s.view.open_failed == claim.epoch


def take_back_word(s: Situation) -> Turn:
    claim = s.node.claim
    if claim is None or s.view.gate != "closed":
        return stay(s, "the gate did not open: closing it", CloseGate("gate_mismatch"))
    return go(s, claim.back, "the gate did not open", claim=None, word=None)
