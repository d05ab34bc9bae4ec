"""DRAINING: a planned switchover.

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
from rtmp_sync.cluster.record import InSync
from rtmp_sync.cluster.view import (
    HAND_EDIT,
    Node,
    Outcome,
    Pending,
    Policy,
    Request,
    State,
    Store,
)
from tests.cluster.views import (
    A_HOLDS,
    ACTIVE,
    CLOSING,
    CLOSING_DRAIN,
    DRAIN,
    DRAINS,
    ME,
    NOW,
    PEER,
    PREPARED,
    SWITCH,
    TO_B,
    found,
    result,
    serving,
    still,
    view,
    written,
)


def test_writes_are_held_when_the_draining_time_is_over() -> None:
    assert found(decide(DRAINS, serving(A_HOLDS), NOW), do.Prepare).switch_id == "s1"
    patient = serving(A_HOLDS, policy=Policy(drain_seconds=5))
    assert still(decide(DRAINS, patient, NOW), DRAINS)


def test_the_draining_time_that_an_operator_gives_counts_instead() -> None:
    patient = serving(A_HOLDS, policy=Policy(drain_seconds=5))
    at_once = replace(DRAINS, drain=replace(DRAIN, seconds=0.0))
    assert decide(at_once, patient, NOW).row == "prepare"
    waiting = replace(DRAINS, drain=replace(DRAIN, seconds=60.0))
    assert decide(waiting, serving(A_HOLDS), NOW).row == ""


def test_when_every_client_has_left_nothing_is_waited_for() -> None:
    waiting = replace(DRAINS, drain=replace(DRAIN, seconds=60.0))
    assert decide(waiting, serving(A_HOLDS, clients=1), NOW).row == ""
    assert decide(waiting, serving(A_HOLDS, clients=0), NOW).row == "prepare"


def test_the_gate_closes_when_the_peer_has_the_last_write() -> None:
    assert still(decide(PREPARED, serving(A_HOLDS), NOW), PREPARED)
    turn = decide(PREPARED, serving(A_HOLDS, switch_ready=True), NOW)
    assert found(turn, do.CloseGate)
    assert turn.state is State.DRAINING


def test_the_record_is_handed_over_only_with_the_gate_proven_closed() -> None:
    unproven = decide(CLOSING, serving(A_HOLDS, gate="unknown"), NOW)
    assert found(unproven, do.CloseGate)
    turn = decide(CLOSING, view(A_HOLDS), NOW)
    record = written(turn)
    assert (record.holder, record.boot_id, record.epoch) == ("B", "b1", 4)
    assert record.sync == (InSync("A", "a1"),)
    assert (record.reason, record.released) == ("switchover", False)


def test_a_hand_over_that_landed_makes_a_standby_of_the_giver() -> None:
    handed = A_HOLDS.handed_over(ME, 10, TO_B, InSync("A", "a1"))
    sent = replace(
        CLOSING, pending=Pending(handed), drain=replace(CLOSING_DRAIN, sent_at=NOW - 0.2)
    )
    turn = decide(sent, view(handed, request=SWITCH), NOW)
    assert turn.state is State.SYNCING
    (event,) = [action for action in turn.actions if isinstance(action, do.Happened)]
    assert event.fields == {
        "to": "B",
        "epoch": 4,
        "reason": "admin",
        "final_seq": 10,
        "pause_ms": 1000,
        "steps": {"drained": 0, "peer_ready": 500, "closed": 300, "recorded": 200},
    }
    assert found(turn, do.Demote) is not None
    assert found(turn, do.Switchover).kind == "done"
    assert found(turn, do.Answer).done


def test_a_hand_over_of_unknown_outcome_stays_closed() -> None:
    handed = A_HOLDS.handed_over(ME, 10, TO_B, InSync("A", "a1"))
    unknown = view(A_HOLDS, cas=result(Outcome.UNKNOWN), store=Store.UNREACHABLE)
    turn = decide(replace(CLOSING, pending=Pending(handed)), unknown, NOW)
    assert turn.state is State.DRAINING
    assert not turn.actions


def test_a_hand_over_that_was_forced_away_fences_and_is_claimed_anew() -> None:
    handed = A_HOLDS.handed_over(ME, 10, TO_B, InSync("A", "a1"))
    no_op = A_HOLDS.unchanged(replace(ME, nonce="forced"), 10)
    sent = replace(
        CLOSING,
        pending=Pending(handed),
        drain=replace(DRAIN, closing_at=NOW - 0.5, sent_at=NOW - 0.2),
    )
    for seen in (view(no_op), view(A_HOLDS, cas=result(Outcome.REFUSED))):
        turn = decide(sent, replace(seen, request=SWITCH), NOW)
        assert turn.state is State.FENCED
        assert not found(turn, do.Answer).done


@pytest.mark.parametrize(
    ("before", "facts"),
    [
        (replace(DRAINS, drain=replace(DRAIN, prepared_at=NOW - 2.1)), {}),
        (PREPARED, {"link_up": False}),
        (PREPARED, {"switch_aborted": True}),
        (PREPARED, {"ack_late": True}),
        (PREPARED, {"peer": replace(PEER, boot_id="b2")}),
        (PREPARED, {"digest_agrees": False, "switch_ready": True}),
    ],
)
def test_before_the_gate_closed_a_switchover_that_fails_resumes_in_the_same_epoch(
    before: Node, facts: dict[str, Any]
) -> None:
    turn = decide(before, serving(A_HOLDS, request=SWITCH, **facts), NOW)
    assert turn.state is State.ACTIVE
    assert turn.node.epoch == 3
    assert found(turn, do.HoldWrites).on is False
    assert found(turn, do.Switchover).kind == "abort"
    assert not found(turn, do.Answer).done


@pytest.mark.parametrize("how", ["resumed", "handed over", "lost"])
def test_a_switchover_that_nobody_commanded_does_not_answer_another_command(how: str) -> None:
    pause = Request("pause", "admin", NOW)
    handed = A_HOLDS.handed_over(ME, 10, TO_B, InSync("A", "a1"))
    sent = replace(CLOSING, drain=replace(CLOSING_DRAIN, reason="self_test", sent_at=NOW - 0.2))
    before, seen = {
        "resumed": (PREPARED, serving(A_HOLDS, link_up=False)),
        "handed over": (replace(sent, pending=Pending(handed)), view(handed)),
        "lost": (sent, view(A_HOLDS)),
    }[how]
    turn = decide(before, replace(seen, request=pause), NOW)
    assert turn.state is not State.DRAINING
    assert not [action for action in turn.actions if isinstance(action, do.Answer)]


def test_a_hand_edit_is_not_tried_again_at_once_after_an_abort() -> None:
    before = replace(ACTIVE, switch_again_at=NOW + 5)
    edited = serving(A_HOLDS, request=Request("switchover", HAND_EDIT, NOW))
    assert still(decide(before, edited, NOW), before)
    assert decide(before, serving(A_HOLDS, request=SWITCH), NOW).state is State.DRAINING


def test_an_unhealthy_node_releases_to_no_copy_that_differs() -> None:
    sick = replace(DRAIN, reason="self_test", prepared_at=NOW - 2.1)
    turn = decide(replace(DRAINS, drain=sick), serving(A_HOLDS, digest_agrees=False), NOW)
    assert turn.state is State.ACTIVE
    assert written(decide(turn.node, serving(A_HOLDS, digest_agrees=False), NOW)).sync == ()


def test_an_unhealthy_node_releases_to_a_ready_peer_that_did_not_answer_in_time() -> None:
    sick = replace(DRAIN, reason="self_test", prepared_at=NOW - 2.1)
    turn = decide(replace(DRAINS, drain=sick), serving(A_HOLDS), NOW)
    assert found(turn, do.CloseGate)
    released = decide(turn.node, view(A_HOLDS), NOW)
    assert released.state is State.FENCED
    assert written(released).released
    # and nothing of it stands in the way when the service comes back to it
    assert released.node.drain is None
    assert not found(released, do.HoldWrites).on


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"self_test_fails": 3}, "self_test"),
        ({"guard_lost": True, "policy": Policy(guard_lost="switchover")}, "guard_lost"),
    ],
)
def test_a_service_that_came_back_is_not_given_again_for_the_same_reason(
    wrong: dict[str, Any], reason: str
) -> None:
    """Two nodes whose guards are dead would pass it to and fro for ever."""
    giving = replace(CLOSING, drain=replace(CLOSING_DRAIN, reason=reason))
    given = decide(giving, view(A_HOLDS, **wrong), NOW).node
    again = replace(ACTIVE, gifts=given.gifts)
    assert decide(again, serving(A_HOLDS, **wrong), NOW + 1).row == ""
    commanded = serving(A_HOLDS, request=SWITCH, **wrong)
    assert decide(again, commanded, NOW + 1).row == "switch-over"
    fresh = replace(PEER, boot_id="b2")
    better = serving(replace(A_HOLDS, sync=(InSync("B", "b2"),)), peer=fresh, **wrong)
    assert decide(again, better, NOW + 1).row == "switch-over"
