"""ACTIVE: closing in time, going on alone, taking the peer back in sync.

Node A looks at the world unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import (
    decide,
    require_peer,
)
from rtmp_sync.cluster.record import InSync, Record
from rtmp_sync.cluster.view import (
    HAND_EDIT,
    Drain,
    Hold,
    Policy,
    Request,
    State,
    Store,
)
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    ACTIVE,
    B_HOLDS,
    B_SERVES,
    IS_READY,
    NOW,
    PEER,
    STRANDED_PEER,
    SWITCH,
    TO_B,
    found,
    serving,
    view,
    written,
)


@pytest.mark.parametrize("state", [State.ACTIVE, State.DRAINING])
@pytest.mark.parametrize(
    ("record", "facts"),
    [
        (A_HOLDS, {"authority_until": NOW}),
        (A_HOLDS, {"authority_epoch": 0, "authority_until": -inf}),
        (replace(B_HOLDS, epoch=4), {}),
        (replace(A_HOLDS, epoch=4), {}),
        (replace(A_HOLDS, boot_id="a2"), {}),
        (A_HOLDS, {"peer": replace(PEER, epoch=4)}),
        (A_HOLDS, {"fenced_by": 4}),
    ],
)
def test_without_authority_or_with_a_higher_epoch_anywhere_the_gate_closes_at_once(
    state: State, record: Record, facts: dict[str, Any]
) -> None:
    before = replace(ACTIVE, state=state, drain=Drain("x", "s", TO_B, NOW - 1))
    turn = decide(before, serving(A_HOLDS, **{"record": record, **facts}), NOW)
    assert turn.state is State.FENCED
    assert isinstance(turn.actions[0] if turn.actions else None, (do.CloseGate, do.AskPromise))
    assert found(turn, do.CloseGate)
    assert turn.node.drain is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"authority_until": NOW}, "isolated_self_fence"),
        ({"authority_until": NOW, "late_by": 60.0}, "fenced_on_resume"),
        ({"record": replace(B_HOLDS, epoch=4)}, "deposed"),
        (
            {"record": replace(B_HOLDS, epoch=4), "authority_until": NOW, "late_by": 60.0},
            "fenced_on_resume",
        ),
        ({"record": replace(B_HOLDS, epoch=4), "late_by": 0.3}, "deposed"),
        ({"fenced_by": 4}, "higher_epoch"),
        ({"gate": "closed"}, "gate_fell"),
        ({"gate": "closed", "authority_until": NOW}, "isolated_self_fence"),
    ],
)
def test_the_history_says_why_a_node_closed(facts: dict[str, Any], reason: str) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, **{"record": A_HOLDS, **facts}), NOW)
    event = found(turn, do.Happened)
    assert (event.event, event.fields["reason"]) == ("fenced", reason)
    assert event.fields.get("paused_for") == facts.get("late_by")


@pytest.mark.parametrize("gate", ["closed", "unknown"])
def test_a_gate_that_does_not_stand_open_is_a_fenced_node(gate: str) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, gate=gate), NOW)
    assert turn.state is State.FENCED
    assert found(turn, do.CloseGate)


def test_a_renewal_late_by_half_asks_the_peer_for_a_promise_and_goes_on() -> None:
    late = serving(A_HOLDS, authority_until=NOW + 1.4)
    turn = decide(ACTIVE, late, NOW)
    assert turn.actions == (do.AskPromise(3),)
    assert turn.state is State.ACTIVE
    assert not decide(ACTIVE, serving(A_HOLDS, authority_until=NOW + 1.6), NOW).actions
    assert not decide(ACTIVE, replace(late, link_up=False, record=A_ALONE), NOW).actions


@pytest.mark.parametrize(
    "facts", [{"link_up": False}, {"ack_late": True}, {"peer": replace(PEER, boot_id="b2")}]
)
def test_a_peer_that_does_not_keep_up_is_recorded_out_of_sync_first(facts: dict[str, Any]) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, **facts), NOW)
    record = written(turn)
    assert (record.sync, record.epoch, record.holder) == ((), 3, "A")
    assert turn.state is State.ACTIVE
    assert require_peer(turn.node, "semi", A_HOLDS)
    assert not require_peer(replace(turn.node, pending=None), "semi", record)


def test_with_the_store_away_writes_are_held_and_nothing_is_recorded() -> None:
    away = serving(A_HOLDS, link_up=False, store=Store.UNREACHABLE)
    turn = decide(ACTIVE, away, NOW)
    assert not turn.actions
    assert require_peer(turn.node, "semi", away.record)


def test_a_peer_that_caught_up_is_taken_back_in_sync_step_by_step() -> None:
    seen = serving(A_ALONE, acked=9)
    compared = decide(ACTIVE, seen, NOW)
    assert found(compared, do.CompareDigests)
    assert compared.node.hold == Hold(10, "b1", NOW)
    assert require_peer(compared.node, "semi", seen.record)  # held from now on
    assert not decide(compared.node, seen, NOW + 0.1).actions
    not_acked = replace(seen, digest_agrees=True)
    assert not decide(compared.node, not_acked, NOW + 0.1).actions
    recorded = decide(compared.node, replace(not_acked, acked=10), NOW + 0.1)
    assert written(recorded).sync == (InSync("B", "b1"),)
    assert require_peer(recorded.node, "semi", seen.record)
    landed = serving(written(recorded), digest_agrees=True)
    done = decide(recorded.node, landed, NOW + 0.2)
    assert done.node.hold is None
    assert require_peer(done.node, "semi", landed.record)


@pytest.mark.parametrize(
    "facts",
    [
        {"link_up": False},
        {"peer": replace(PEER, boot_id="b2")},
        {"digest_agrees": False},
        {"ack_late": True},
    ],
)
def test_a_peer_that_falls_behind_again_is_not_waited_for(facts: dict[str, Any]) -> None:
    held = replace(ACTIVE, hold=Hold(10, "b1", NOW - 0.1))
    seen = serving(A_ALONE, **facts)
    turn = decide(held, seen, NOW)
    assert turn.node.hold is None
    assert not require_peer(turn.node, "semi", seen.record)
    quiet = decide(turn.node, serving(A_ALONE), NOW + 0.5)
    assert quiet.node.hold is None
    assert decide(turn.node, serving(A_ALONE), NOW + 1.5).node.hold is not None


def test_copies_that_differ_are_recorded_before_they_are_repaired() -> None:
    recorded = decide(ACTIVE, serving(A_HOLDS, digest_agrees=False), NOW)
    assert written(recorded).sync == ()
    assert written(recorded).reason == "digest_mismatch"
    assert not [a for a in recorded.actions if isinstance(a, do.Repair)]
    landed = serving(written(recorded), digest_agrees=False)
    assert found(decide(recorded.node, landed, NOW + 0.1), do.Repair)


LB_PATH_LOST: dict[str, Any] = {
    "lb_checks_age": 3.0,
    "peer": replace(PEER, lb_checks_age=0.4),
    "policy": Policy(lb_path="auto"),
}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"request": SWITCH}, "admin"),
        ({"request": Request("switchover", HAND_EDIT, NOW)}, HAND_EDIT),
        ({"self_test_fails": 3}, "self_test"),
        ({"self_test_fails": 3, "self_test_reason": "self_probe_rtmp"}, "self_probe_rtmp"),
        (LB_PATH_LOST, "lb_path_lost"),
        ({"guard_lost": True, "policy": Policy(guard_lost="switchover")}, "guard_lost"),
    ],
)
def test_what_asks_for_a_planned_switchover(facts: dict[str, Any], reason: str) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, **facts), NOW)
    assert turn.state is State.DRAINING
    assert turn.node.drain is not None
    assert turn.node.drain.reason == reason


@pytest.mark.parametrize(
    "facts",
    [
        {"self_test_fails": 2},
        {**LB_PATH_LOST, "policy": Policy(lb_path="alarm")},
        {**LB_PATH_LOST, "lb_checks_age": 2.9},
        {**LB_PATH_LOST, "lb_checks_age": None},
        {**LB_PATH_LOST, "peer": replace(PEER, lb_checks_age=3.1)},
        {**LB_PATH_LOST, "peer": PEER},
        {"self_test_fails": 9, "peer": replace(PEER, state="SYNCING")},
        {"self_test_fails": 9, "peer": replace(PEER, epoch=2)},  # READY, of another epoch
        {"self_test_fails": 9, "record": replace(A_HOLDS, paused=True)},
        {"guard_lost": True},
        {"request": Request("switchover", HAND_EDIT, NOW), "peer": STRANDED_PEER},
    ],
)
def test_what_does_not(facts: dict[str, Any]) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, **facts), NOW)
    assert turn.state is State.ACTIVE
    assert not turn.actions


def test_a_command_to_switch_over_to_nobody_is_answered() -> None:
    unready = serving(A_HOLDS, request=SWITCH, peer=STRANDED_PEER)
    turn = decide(ACTIVE, unready, NOW)
    assert turn.state is State.ACTIVE
    assert not found(turn, do.Answer).done


def test_a_pause_that_waits_for_the_store_keeps_nothing_else_from_happening() -> None:
    """Least of all clients, whose answers wait as long as the peer is held to be in sync."""
    before = replace(ACTIVE, hold=Hold(10, "b1", NOW - 5))
    pause = Request("pause", "admin", NOW)
    turn = decide(before, serving(A_ALONE, store=Store.UNREACHABLE, request=pause), NOW)
    assert turn.node.hold is None


def test_pause_and_resume_are_recorded_by_whoever_is_asked() -> None:
    for before, seen in (
        (ACTIVE, serving(A_HOLDS, request=Request("pause", "admin", NOW))),
        (IS_READY, view(B_HOLDS, peer=B_SERVES, request=Request("pause", "admin", NOW))),
    ):
        turn = decide(before, seen, NOW)
        assert written(turn).paused
        assert written(turn).reason == "claimed"
        landed = replace(seen, record=written(turn))
        assert found(decide(turn.node, landed, NOW), do.Answer).done
