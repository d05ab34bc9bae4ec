"""The rules where the holder lives by a lease: a store that tells whether it still does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import decide, give_promise
from rtmp_sync.cluster.observer import Observer, Sighting
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import CasResult, Identity, Outcome, Policy, Request, State, View
from tests.cluster.views import (
    A_HOLDS,
    ACTIVE,
    B_HOLDS,
    B_SERVES,
    CLAIM,
    DOUBTS,
    IS_FENCED,
    IS_READY,
    LANDED,
    ME,
    NOW,
    found,
    lost,
    node,
    serving,
    view,
    written,
)

LEASED: dict[str, Any] = {"leases": True, "holder_key": True}
GONE: dict[str, Any] = {"leases": True, "holder_key": False}
FAILSAFE = Policy(failsafe=True)


def asks(turn: Turn) -> bool:
    return any(isinstance(action, do.AskPromise) for action in turn.actions)


def test_a_holder_whose_key_is_there_is_left_alone_however_dead_it_looks() -> None:
    assert not decide(DOUBTS, lost(B_HOLDS, **LEASED), NOW).actions


def test_a_holder_whose_key_is_gone_is_replaced_without_a_wait() -> None:
    turn = decide(DOUBTS, lost(B_HOLDS, **GONE), NOW)
    assert written(turn).reason == "holder_expired"
    assert turn.node.claim is not None
    assert not turn.node.claim.waits


def test_a_holder_that_may_not_know_of_its_revoked_lease_is_waited_for() -> None:
    linked = view(B_HOLDS, peer=B_SERVES, peer_heard_at=NOW - 0.1, **GONE)
    assert not decide(IS_READY, linked, NOW).actions
    knows = replace(linked, peer=replace(B_SERVES, gate_open=False, state="FENCED"))
    assert written(decide(IS_READY, knows, NOW)).epoch == 4
    silent = lost(B_HOLDS, peer=B_SERVES, peer_heard_at=NOW - DEFAULT.ttl + 0.1, **GONE)
    assert not decide(DOUBTS, silent, NOW).actions
    assert written(decide(DOUBTS, silent, NOW + 0.2)).epoch == 4


@pytest.mark.parametrize("kind", ["force", "force_fenced"])
def test_an_operator_who_forces_waits_for_it_too(kind: str) -> None:
    asked = Request(kind, "admin", NOW)
    silent = lost(B_HOLDS, peer=B_SERVES, peer_heard_at=NOW - 0.1, request=asked, **GONE)
    assert not decide(DOUBTS, silent, NOW).actions
    turn = decide(DOUBTS, replace(silent, peer=replace(B_SERVES, gate_open=False)), NOW)
    assert written(turn).reason == "forced"
    let_go = replace(silent, record=B_HOLDS.let_go(ME, 10, "x"))
    assert decide(DOUBTS, let_go, NOW).actions


def test_the_key_of_a_record_that_was_not_read_yet_says_nothing() -> None:
    unread = lost(B_HOLDS, leases=True, holder_key=None)
    assert not decide(DOUBTS, unread, NOW).actions


def test_an_earlier_boots_lease_is_waited_for_by_the_next_one() -> None:
    mine = replace(A_HOLDS, boot_id="a0", sync=())
    assert not decide(node(State.SYNCING), lost(mine, **LEASED), NOW).actions
    assert written(decide(node(State.SYNCING), lost(mine, **GONE), NOW)).epoch == 4


def test_a_revoked_lease_closes_the_gate() -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, authority_until=float("-inf"), **GONE), NOW)
    assert turn.state is State.FENCED
    assert found(turn, do.Happened).fields["reason"] == "lease_revoked"


def test_a_fenced_holder_takes_its_service_again_when_nobody_else_did() -> None:
    assert not decide(IS_FENCED, view(A_HOLDS, **GONE), NOW).actions
    turn = decide(IS_FENCED, view(A_HOLDS, **GONE), NOW + 1)
    assert (written(turn).epoch, written(turn).reason) == (4, "fenced")


def test_a_claim_that_lost_its_key_before_the_gate_opened_is_over() -> None:
    turn = decide(LANDED, lost(CLAIM, read_started=NOW, **GONE), NOW)
    assert turn.state is State.FENCED
    earlier = lost(CLAIM, read_started=NOW - 2, **GONE)
    assert decide(LANDED, earlier, NOW).state is State.CLAIMING


@pytest.mark.parametrize(
    ("seen", "asked"),
    [
        (serving(A_HOLDS, policy=FAILSAFE, **LEASED), False),
        (serving(A_HOLDS, policy=FAILSAFE, authority_until=NOW + 1.9, **LEASED), True),
        (serving(A_HOLDS, authority_until=NOW + 1.9, **LEASED), False),
    ],
)
def test_promises_are_asked_for_only_as_a_failsafe(seen: View, asked: bool) -> None:
    assert asks(decide(ACTIVE, seen, NOW)) is asked


@pytest.mark.parametrize("policy", [Policy(), FAILSAFE])
def test_and_given_only_then(policy: Policy) -> None:
    seen = view(B_HOLDS, peer=B_SERVES, policy=policy, **LEASED)
    assert give_promise(IS_READY, seen, ("B", "b1", 3), NOW)[1] is policy.failsafe


# -- what is seen ----------------------------------------------------------------------


def observer() -> Observer:
    seen = Observer(Identity("A", "a1", 0.0), DEFAULT)
    renewed = Sighting(
        10.0, 10.1, A_HOLDS, beat_written=True, lease_seconds=DEFAULT.lease, holder_key=True
    )
    seen.saw(renewed)
    return seen


def test_a_renewal_gives_authority_for_a_second_less_than_the_lease_lives() -> None:
    assert observer().authority == (3, 10.0 + DEFAULT.ttl - 1)


def test_no_promise_makes_up_for_a_key_that_is_gone() -> None:
    seen = observer()
    seen.promised(3, 11.0)
    seen.saw(Sighting(11.0, 11.1, A_HOLDS, holder_key=False))
    assert seen.authority == (3, float("-inf"))


def test_a_record_that_was_just_written_is_not_judged_by_a_key_that_was_read_before() -> None:
    seen = observer()
    seen.saw(Sighting(11.0, 11.1, B_HOLDS, holder_key=False))
    claim = B_HOLDS.claimed(ME, 0, "x")
    seen.tried(CasResult(claim.nonce, Outcome.LANDED, 11.5), claim)
    assert (seen.leases, seen.holder_key) == (True, None)


def test_a_read_that_was_overtaken_by_this_nodes_own_record_is_no_stale_one() -> None:
    seen = observer()
    claim = A_HOLDS.claimed(ME, 0, "x")
    seen.tried(CasResult(claim.nonce, Outcome.LANDED, 11.5), claim)
    seen.saw(Sighting(11.4, 11.6, A_HOLDS, holder_key=True))
    assert (seen.record, seen.stale_reads) == (claim, 0)
    seen.saw(Sighting(11.6, 11.7, A_HOLDS, holder_key=True))
    assert seen.stale_reads == 1


def test_the_situation_of_a_node_without_leases_needs_no_key() -> None:
    assert Situation(DOUBTS, lost(B_HOLDS), NOW).key_free
