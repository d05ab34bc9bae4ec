"""CLAIMING: from the claim that was sent to the gate that is open.

Node A looks at the world unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import (
    decide,
)
from rtmp_sync.cluster.record import InSync, Record, first_record
from rtmp_sync.cluster.view import (
    Claim,
    Node,
    Outcome,
    Pending,
    State,
    Store,
)
from tests.cluster.views import (
    A_HOLDS,
    B_HOLDS,
    BINDING,
    CLAIM,
    LANDED,
    ME,
    NOW,
    SENT,
    B,
    found,
    lost,
    node,
    result,
    still,
    view,
    written,
)


def test_a_claim_in_flight_is_waited_for() -> None:
    assert still(decide(SENT, lost(B_HOLDS, cas=None), NOW), replace(SENT, alone_since=NOW))


def test_a_landed_claim_is_noticed_by_its_record() -> None:
    turn = decide(SENT, lost(CLAIM), NOW)
    assert turn.node.pending is None
    assert turn.node.claim is not None
    assert turn.node.claim.landed_at == NOW
    assert turn.node.claim.open_at is None  # not before the heartbeat is read again


def test_a_claim_without_a_wait_may_open_as_soon_as_it_landed() -> None:
    claim = Claim(4, State.READY, waits=False)
    turn = decide(replace(SENT, claim=claim), lost(CLAIM), NOW)
    assert turn.node.claim is not None
    assert turn.node.claim.open_at == NOW


def test_the_wait_counts_from_the_last_change_of_the_heartbeat() -> None:
    seen = lost(CLAIM, read_started=NOW - 0.5, beat_changed_at=NOW - 3)
    turn = decide(LANDED, seen, NOW)
    assert turn.node.claim is not None
    assert turn.node.claim.open_at == NOW - 3 + BINDING


def test_a_heartbeat_that_changed_after_the_landing_makes_the_wait_count_from_the_landing() -> None:
    seen = lost(CLAIM, read_started=NOW - 0.5, beat_changed_at=NOW - 0.4)
    turn = decide(LANDED, seen, NOW)
    assert turn.node.claim is not None
    assert turn.node.claim.open_at == NOW - 1 + BINDING


def test_without_a_read_after_the_landing_the_wait_is_not_known() -> None:
    turn = decide(LANDED, lost(CLAIM, read_started=NOW - 1.5), NOW)
    assert turn.node.claim == LANDED.claim


def open_from(at: float) -> Node:
    assert LANDED.claim is not None
    return replace(LANDED, claim=replace(LANDED.claim, open_at=at))


AUTHORISED = {"authority_epoch": 4, "authority_until": NOW + 2}


def test_when_the_wait_is_over_and_there_is_authority_the_node_is_promoted() -> None:
    turn = decide(open_from(NOW), lost(CLAIM, **AUTHORISED), NOW)
    assert found(turn, do.Promote).record == CLAIM
    assert (turn.state, turn.node.epoch) == (State.CLAIMING, 4)


@pytest.mark.parametrize(
    ("at", "facts"),
    [
        (NOW + 0.01, AUTHORISED),
        (NOW, {"authority_epoch": 3, "authority_until": NOW + 2}),
        (NOW, {"authority_epoch": 4, "authority_until": NOW}),
        (NOW, {}),
    ],
)
def test_before_that_the_gate_stays_closed(at: float, facts: dict[str, Any]) -> None:
    turn = decide(open_from(at), lost(CLAIM, **facts), NOW)
    assert turn.state is State.CLAIMING
    assert not turn.actions


@pytest.mark.parametrize("gate", ["open", "unknown"])
def test_a_gate_that_is_not_proven_closed_before_the_promotion_is_closed_again(gate: str) -> None:
    before = open_from(NOW + 1)
    turn = decide(before, lost(CLAIM, gate=gate, **AUTHORISED), NOW)
    assert turn.state is State.CLAIMING
    assert turn.node == replace(before, alone_since=turn.node.alone_since)
    assert found(turn, do.CloseGate)


def test_a_claim_that_never_opened_is_not_claimed_again_without_the_wait() -> None:
    """Else the holder before could still be open."""
    before = node(State.FENCED, epoch=2)
    turn = decide(before, lost(CLAIM, read_started=NOW), NOW)
    assert turn.node.claim is not None
    assert turn.node.claim.waits
    served = decide(replace(before, epoch=4), lost(CLAIM, read_started=NOW), NOW)
    assert served.node.claim is not None
    assert not served.node.claim.waits


def test_an_open_gate_makes_it_the_active_one() -> None:
    turn = decide(replace(open_from(NOW), epoch=4), lost(CLAIM, gate="open", **AUTHORISED), NOW)
    assert turn.state is State.ACTIVE
    event = found(turn, do.Happened)
    assert event.event == "failover"
    assert event.fields == {
        "from": "B",
        "to": "A",
        "epoch": 4,
        "last_seq": CLAIM.seq,
        "reason": CLAIM.reason,
        "steps": {"noticed": 500, "claimed": 200, "landed": 1800, "waited": 1000, "opened": 0},
    }


def test_a_takeover_by_the_second_node_is_sticky() -> None:
    seen = lost(CLAIM, gate="open", nodes=("B", "A"), **AUTHORISED)
    turn = decide(replace(open_from(NOW), epoch=4), seen, NOW)
    assert found(turn, do.Happened).fields["sticky"] == "A"


def test_a_lossy_takeover_says_what_may_be_lost() -> None:
    before = replace(open_from(NOW), epoch=4)
    assert before.claim is not None
    lossy = replace(before.claim, lossy=True, copy_ends=10, known_head=15)
    turn = decide(replace(before, claim=lossy), lost(CLAIM, gate="open", **AUTHORISED), NOW)
    fields = found(turn, do.Happened).fields
    assert fields["lost_range"] == "(10,15]"


def test_a_holder_that_takes_its_own_service_again_has_not_failed_over() -> None:
    before = replace(open_from(NOW), epoch=4)
    assert before.claim is not None
    mine = replace(before, claim=replace(before.claim, taken_from="A"))
    turn = decide(mine, lost(CLAIM, gate="open", **AUTHORISED), NOW)
    assert found(turn, do.Happened).event == "reclaimed"
    first = decide(mine, lost(replace(CLAIM, reason="first"), gate="open", **AUTHORISED), NOW)
    assert found(first, do.Happened).event == "began"


def test_a_gate_that_does_not_open_is_released() -> None:
    turn = decide(open_from(NOW), lost(CLAIM, open_failed=4, **AUTHORISED), NOW)
    assert turn.state is State.FENCED
    assert written(turn).released
    assert written(turn).reason == "gate_failed"
    assert found(turn, do.CloseGate)


def test_a_gate_that_may_have_opened_is_not_released_before_it_is_proven_closed() -> None:
    before = replace(open_from(NOW), epoch=4)
    turn = decide(before, lost(CLAIM, open_failed=4, gate="unknown", **AUTHORISED), NOW)
    assert turn.state is State.CLAIMING
    assert turn.node.pending is None
    assert found(turn, do.CloseGate)


def test_a_gate_that_opened_too_late_is_closed_again() -> None:
    late = {"authority_epoch": 4, "authority_until": NOW - 1, "gate": "open"}
    turn = decide(replace(open_from(NOW), epoch=4), lost(CLAIM, **late), NOW)
    assert turn.state is State.FENCED
    assert found(turn, do.CloseGate)


@pytest.mark.parametrize(
    ("winner", "state"),
    [
        (B_HOLDS.synced(B, 9, "x", InSync("A", "a1")), State.SUSPECT),
        (B_HOLDS.synced(B, 9, "x"), State.SYNCING),
    ],
)
def test_a_lost_claim_goes_back_to_where_the_record_puts_it(winner: Record, state: State) -> None:
    turn = decide(SENT, lost(winner, cas=result(Outcome.LOST)), NOW)
    assert turn.state is state
    assert turn.node.pending is None
    assert turn.node.claim is None


def test_who_served_before_a_lost_claim_lets_go_of_its_service() -> None:
    theirs = A_HOLDS.claimed(B, 9, "gate_closed")
    mine = A_HOLDS.claimed(ME, 10, "fenced")
    claim = Claim(4, State.FENCED, waits=False, taken_from="A")
    before = node(State.CLAIMING, pending=Pending(mine), claim=claim, epoch=3)
    turn = decide(before, view(theirs, cas=result(Outcome.LOST)), NOW)
    assert turn.state is State.FENCED
    turn = decide(turn.node, view(theirs), NOW)
    assert turn.state is State.SYNCING
    assert found(turn, do.Demote) is not None


def test_who_was_promoted_before_a_lost_claim_lets_go_of_it() -> None:
    """Its authority ended while the promotion was under way, and its applications run."""
    theirs = replace(CLAIM.claimed(B, 9, "x"), prev=CLAIM.nonce)
    turn = decide(replace(open_from(NOW), epoch=4), lost(theirs), NOW)
    assert turn.state is State.FENCED
    assert found(decide(turn.node, lost(theirs), NOW), do.Demote) is not None


def test_a_claim_that_was_superseded_after_it_landed_is_lost() -> None:
    theirs = replace(CLAIM.claimed(B, 9, "x"), prev=CLAIM.nonce)
    assert decide(LANDED, lost(theirs), NOW).state is State.SYNCING


def test_a_refused_claim_is_tried_again_a_little_later() -> None:
    turn = decide(SENT, lost(B_HOLDS, cas=result(Outcome.REFUSED)), NOW)
    assert turn.state is State.SUSPECT
    assert found(turn, do.Happened).event == "claim_failed"
    waiting = replace(turn.node, ready_epoch=3)
    assert not decide(waiting, lost(B_HOLDS), NOW + 0.4).actions
    assert written(decide(waiting, lost(B_HOLDS), NOW + 0.6)).epoch == 4


def test_an_unknown_outcome_is_forced_to_be_known() -> None:
    unknown = lost(B_HOLDS, cas=result(Outcome.UNKNOWN), store=Store.UNREACHABLE)
    turn = decide(SENT, unknown, NOW)
    assert turn.state is State.CLAIMING
    assert not turn.actions
    assert turn.node.pending is not None
    stale = lost(B_HOLDS, read_started=NOW - 0.3)
    assert not decide(turn.node, stale, NOW).actions  # that read began before
    fresh = decide(turn.node, lost(B_HOLDS, read_started=NOW), NOW)
    no_op = written(fresh)
    assert (no_op.rev, no_op.holder, no_op.epoch) == (CLAIM.rev, "B", 3)
    assert not decide(fresh.node, lost(B_HOLDS, read_started=NOW), NOW + 0.1).actions
    forced_away = decide(fresh.node, lost(no_op), NOW + 0.2)
    assert forced_away.state is not State.CLAIMING
    had_landed = decide(fresh.node, lost(CLAIM), NOW + 0.2)
    assert had_landed.state is State.CLAIMING


def test_the_first_record_of_unknown_outcome_is_forced_by_another_first_record() -> None:
    first = first_record(("A", "B"), replace(ME, nonce="lost"))
    before = node(
        State.CLAIMING,
        pending=Pending(first, unknown_since=NOW - 1),
        claim=Claim(1, State.HELD, waits=False),
    )
    turn = decide(before, view(None, read_started=NOW - 0.1), NOW)
    assert written(turn).rev == 1
    assert written(turn).nonce == "new"
