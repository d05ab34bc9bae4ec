"""SYNCING, READY and SUSPECT: the standby, and when it may take over.

Guards and acts of the rows of `failover.TABLE`.
"""

from __future__ import annotations

from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, claim, go, stay
from rtmp_sync.cluster.view import State


def recorded_in_sync(s: Situation) -> bool:
    mode_listed = s.listed or (s.view.policy.mode == "async" and s.other_holds)
    return s.view.copy_in_sync and s.view.link_up and mode_listed


def ready(s: Situation) -> Turn:
    record = s.the_record
    sentence = f"in sync with {record.holder}, epoch {record.epoch}"
    events = (Happened("rejoined", _joined(record)),) if s.node.ready_epoch != record.epoch else ()
    return go(s, State.READY, sentence, *events, ready_epoch=record.epoch)


def _joined(record: Record) -> dict[str, object]:
    fields: dict[str, object] = {"holder": record.holder, "epoch": record.epoch}
    if record.holder == record.nodes[1]:  # it stays so until somebody asks for a failback
        fields |= {"sticky": record.holder, "failback": "available"}
    return fields


def no_longer_listed(s: Situation) -> bool:
    if s.record is None:
        return False
    other_epoch = s.record.epoch != s.node.ready_epoch
    return other_epoch or not (s.listed or s.view.policy.mode == "async")


def resync(s: Situation) -> Turn:
    return go(s, State.SYNCING, "the record does not list me: syncing")


def doubtful(s: Situation) -> bool:
    return not s.view.link_up or s.view.misses > 0


def doubt(s: Situation) -> Turn:
    why = f"{s.view.misses} failed probes" if s.view.link_up else "the link is down"
    event = Happened("suspect", {"on": True, "why": why})
    return go(s, State.SUSPECT, f"the active origin is in doubt: {why}", event)


def answers_again(s: Situation) -> bool:
    return s.view.link_up and s.view.answers >= s.view.timing.rise


def trust_again(s: Situation) -> Turn:
    sentence = f"the active origin answered {s.view.answers} probes in a row"
    return go(s, State.READY, sentence, Happened("suspect", {"on": False, "why": sentence}))


def may_take_over(s: Situation) -> bool:
    return bool(s.let_go) and s.eligible and s.free_to_claim


def would_take_over(s: Situation) -> bool:
    """A pause is all that keeps this node from it; told once for each record."""
    wanted = s.paused and bool(s.let_go) and s.eligible
    return wanted and s.node.told_paused != s.the_record.rev


def tell_paused(s: Situation) -> Turn:
    fields: dict[str, object] = {"from": s.the_record.holder, "reason": s.let_go}
    event = Happened("would_have_failed_over", fields)
    sentence = f"paused, though {s.the_record.holder} has let go: {s.let_go}"
    return stay(s, sentence, event, told_paused=s.the_record.rev)


def take_over(s: Situation) -> Turn:
    # A claim after `released` needs no wait: the holder's gate was proven closed.
    return claim(s, s.let_go, waits=not s.released, lossy=not s.listed)
