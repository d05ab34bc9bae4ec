"""SYNCING, READY and SUSPECT: the standby, and when it may take over.

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
from rtmp_sync.cluster.record import InSync, Record
from rtmp_sync.cluster.view import (
    Identity,
    Node,
    Policy,
    State,
    Store,
)
from tests.cluster.views import (
    A_HOLDS,
    ACTIVE,
    B_ALONE,
    B_HOLDS,
    B_SERVES,
    DOUBTS,
    IS_READY,
    NOW,
    PEER,
    found,
    lost,
    node,
    serving,
    still,
    view,
    written,
)


def test_a_complete_copy_that_the_record_lists_is_ready() -> None:
    seen = view(B_HOLDS, peer=B_SERVES, copy_in_sync=True)
    turn = decide(node(State.SYNCING), seen, NOW)
    assert (turn.state, turn.node.ready_epoch) == (State.READY, 3)


@pytest.mark.parametrize(
    ("record", "in_sync"),
    [
        (B_ALONE, True),
        (replace(B_HOLDS, sync=(InSync("A", "a0"),)), True),
        (B_HOLDS, False),
    ],
)
def test_otherwise_it_goes_on_syncing(record: Record, in_sync: bool) -> None:
    turn = decide(node(State.SYNCING), view(record, peer=B_SERVES, copy_in_sync=in_sync), NOW)
    assert turn.state is State.SYNCING


def test_in_async_mode_nobody_needs_to_be_listed() -> None:
    seen = view(B_ALONE, peer=B_SERVES, copy_in_sync=True, policy=Policy(mode="async"))
    assert decide(node(State.SYNCING), seen, NOW).state is State.READY
    assert decide(node(State.READY, ready_epoch=3), seen, NOW).state is State.READY


@pytest.mark.parametrize("before", [IS_READY, DOUBTS])
@pytest.mark.parametrize("record", [B_ALONE, replace(B_HOLDS, epoch=4)])
def test_a_standby_that_is_not_listed_any_more_syncs_again(before: Node, record: Record) -> None:
    assert decide(before, view(record, peer=B_SERVES), NOW).state is State.SYNCING


@pytest.mark.parametrize("facts", [{"link_up": False}, {"misses": 1}])
def test_one_failed_probe_makes_a_standby_doubt(facts: dict[str, Any]) -> None:
    turn = decide(IS_READY, view(B_HOLDS, peer=B_SERVES, **facts), NOW)
    assert turn.state is State.SUSPECT


def test_two_answers_end_the_doubt() -> None:
    assert decide(DOUBTS, view(B_HOLDS, peer=B_SERVES, answers=2), NOW).state is State.READY
    assert decide(DOUBTS, view(B_HOLDS, peer=B_SERVES, answers=1), NOW).state is State.SUSPECT


@pytest.mark.parametrize("before", [DOUBTS, node(State.SYNCING)])
def test_a_listed_standby_claims_from_a_dead_holder_and_waits(before: Node) -> None:
    turn = decide(before, lost(B_HOLDS), NOW)
    assert turn.state is State.CLAIMING
    record = written(turn)
    assert (record.holder, record.boot_id, record.epoch, record.sync) == ("A", "a1", 4, ())
    assert record.reason == "holder_expired"
    assert turn.node.claim is not None
    assert turn.node.claim.waits


def test_a_released_record_is_claimed_at_once_without_a_wait_whatever_was_promised() -> None:
    released = replace(B_HOLDS, released=True, reason="process_exit")
    bound = replace(IS_READY, promised_until=NOW + 3)
    turn = decide(bound, view(released, peer=B_SERVES), NOW)
    assert written(turn).reason == "process_exit"
    assert turn.node.claim is not None
    assert not turn.node.claim.waits


@pytest.mark.parametrize("state", ["FENCED"])
def test_a_holder_that_says_it_is_closed_has_let_go_but_the_wait_stays(state: str) -> None:
    peer = replace(PEER, state=state)
    turn = decide(DOUBTS, view(B_HOLDS, peer=peer, answers=0), NOW)
    assert turn.state is State.CLAIMING
    assert turn.node.claim is not None
    assert turn.node.claim.waits


@pytest.mark.parametrize("state", ["CLAIMING", "READY", "SYNCING"])
def test_a_holder_that_is_about_to_open_has_not_let_go(state: str) -> None:
    peer = replace(PEER, state=state)
    assert decide(DOUBTS, view(B_HOLDS, peer=peer, answers=0), NOW).state is State.SUSPECT


@pytest.mark.parametrize(
    ("record", "facts", "before"),
    [
        (B_ALONE, {}, node(State.SYNCING)),  # not in sync
        (replace(B_HOLDS, sync=(InSync("A", "a0"),)), {}, node(State.SYNCING)),  # another boot
        (B_HOLDS, {"beat_changed_at": NOW - 2.9}, DOUBTS),  # its heartbeat is fresh
        (B_HOLDS, {"dead": False}, DOUBTS),  # a path answers, or none told anything
        (B_HOLDS, {"store": Store.UNREACHABLE}, DOUBTS),
        (B_HOLDS, {"self_test_fails": 1}, DOUBTS),
        (B_HOLDS, {"identity": Identity("A", "a1", NOW - 3)}, DOUBTS),  # hold-off
        (B_HOLDS, {}, replace(DOUBTS, promised_until=NOW + 0.1)),
        (B_HOLDS, {}, replace(DOUBTS, write_again_at=NOW + 0.1)),
    ],
)
def test_without_every_part_of_the_claim_rule_there_is_no_claim(
    record: Record, facts: dict[str, Any], before: Node
) -> None:
    turn = decide(before, lost(record, **facts), NOW)
    assert turn.state is before.state
    assert not turn.actions


def test_a_pause_keeps_a_standby_from_a_takeover_and_says_so_once() -> None:
    paused = replace(B_HOLDS, paused=True)
    told = decide(DOUBTS, lost(paused), NOW)
    assert told.state is State.SUSPECT
    event = found(told, do.Happened)
    assert event.event == "would_have_failed_over"
    assert event.fields == {"from": "B", "reason": "holder_expired"}
    assert not decide(told.node, lost(paused), NOW + 1).actions


def test_a_lag_that_the_operator_accepts_makes_eligible() -> None:
    accepts = Policy(promote_lag_max=5)
    followed = node(State.SYNCING, ready_epoch=3)
    within = decide(followed, lost(B_ALONE, policy=accepts, lag=5), NOW)
    assert within.state is State.CLAIMING
    assert within.node.claim is not None
    assert within.node.claim.lossy
    assert (within.node.claim.copy_ends, within.node.claim.known_head) == (10, 15)
    beyond = decide(followed, lost(B_ALONE, policy=accepts, lag=6), NOW)
    assert beyond.state is State.SYNCING


@pytest.mark.parametrize("followed", [0, 2])
def test_a_copy_that_was_never_complete_in_this_epoch_has_no_lag_to_accept(followed: int) -> None:
    accepts = Policy(promote_lag_max=5)
    before = node(State.SYNCING, ready_epoch=followed)
    assert decide(before, lost(B_ALONE, policy=accepts, lag=0), NOW).state is State.SYNCING


def test_there_is_no_automatic_return() -> None:
    """D1: B serves, A is ready again: nothing happens, on either side."""
    assert still(decide(IS_READY, view(B_HOLDS, peer=B_SERVES), NOW), IS_READY)
    assert still(decide(ACTIVE, serving(A_HOLDS), NOW), ACTIVE)


@pytest.mark.parametrize(
    "state", [State.INIT, State.HELD, State.SYNCING, State.READY, State.SUSPECT]
)
def test_a_node_that_does_not_serve_closes_a_gate_that_is_not_closed(state: State) -> None:
    turn = decide(node(state), view(B_HOLDS, gate="unknown"), NOW)
    assert found(turn, do.CloseGate)


def test_doubt_and_trust_are_told() -> None:
    doubts = decide(IS_READY, view(B_HOLDS, misses=1), NOW)
    assert found(doubts, do.Happened).fields["on"] is True
    trusts = decide(DOUBTS, view(B_HOLDS, answers=2), NOW)
    assert (trusts.state, found(trusts, do.Happened).fields["on"]) == (State.READY, False)


def test_who_joins_the_second_node_hears_that_it_stays_active() -> None:
    before = node(State.SYNCING)
    joined = decide(before, view(B_HOLDS, copy_in_sync=True), NOW)
    fields = found(joined, do.Happened).fields
    assert (fields["sticky"], fields["failback"]) == ("B", "available")
    again = replace(before, ready_epoch=3)
    assert not decide(again, view(B_HOLDS, copy_in_sync=True), NOW).actions
