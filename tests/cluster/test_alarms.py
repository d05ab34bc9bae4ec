from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from rtmp_sync.cluster.alarms import alarms
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import (
    HAND_EDIT,
    CasResult,
    Node,
    Outcome,
    Pending,
    Policy,
    Request,
    State,
    Store,
    View,
)
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    ACTIVE,
    B_ALONE,
    B_HOLDS,
    CLAIM,
    LANDED,
    NOW,
    PEER,
    STRANDED_PEER,
    lost,
    node,
    serving,
    view,
)


def names(before: Node, seen: View, **facts: Any) -> set[str]:
    return set(alarms(Situation(before, seen, NOW), **facts))


def test_a_healthy_pair_has_no_alarm() -> None:
    assert names(ACTIVE, serving(A_HOLDS)) == set()


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"store": Store.UNREACHABLE}, "store"),
        ({"store": Store.INVALID}, "store"),
        ({"guard_lost": True}, "guard_lost"),
        ({"self_test_fails": 3}, "self_test"),
        ({"self_test_fails": 3, "self_test_reason": "loop_lag"}, "loop_lag"),
        ({"lb_checks_age": 3.0, "peer": replace(PEER, lb_checks_age=0.4)}, "lb_path_lost"),
        (
            {"request": Request("switchover", HAND_EDIT, NOW), "peer": STRANDED_PEER},
            "request_pending",
        ),
        ({"record": replace(A_HOLDS, paused=True)}, "paused"),
        ({"record": A_ALONE}, "degraded"),
        ({"link_up": False}, "peer_unreachable"),
        ({"authority_until": NOW + 1}, "renewal_late"),
        ({"record": replace(A_HOLDS, reason="digest_mismatch")}, "copies_differ"),
        ({"cas": CasResult("x", Outcome.REFUSED, NOW, "no space")}, "record_refused"),
        ({"open_failed": 3}, "gate_mismatch"),
        ({"gate": "unknown"}, "gate_mismatch"),
    ],
)
def test_what_is_wrong_has_its_name(facts: dict[str, Any], name: str) -> None:
    assert names(ACTIVE, serving(A_HOLDS, **facts)) == {name}


def test_a_store_that_does_not_answer_is_named_by_what_is_wrong_with_it() -> None:
    gone = serving(A_HOLDS, store=Store.UNREACHABLE)
    for trouble in ("hung", "no_quorum"):
        told = alarms(Situation(ACTIVE, gone, NOW), store_trouble=trouble)
        assert told["store"].startswith(trouble)


def test_who_serves_by_the_operators_word_says_so_until_the_store_has_it() -> None:
    before = replace(ACTIVE, word=A_HOLDS)
    assert names(before, serving(A_HOLDS, store=Store.UNREACHABLE)) == {"store", "forced_fenced"}


def test_a_claim_that_cannot_be_confirmed_is_told() -> None:
    assert "cannot_claim" in names(LANDED, lost(CLAIM, store=Store.UNREACHABLE))


def test_a_fenced_origin_without_the_store_says_that_nobody_serves() -> None:
    fenced = node(State.FENCED)
    assert "cannot_claim" in names(fenced, lost(A_ALONE, store=Store.UNREACHABLE))
    assert "cannot_claim" not in names(fenced, lost(A_ALONE))


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"line": "missing"}, "config_missing"),
        ({"line": "invalid"}, "config_invalid"),
        ({"line": "rejected"}, "request_rejected"),
        ({"rejected_probes": True}, "probe_auth_rejected"),
        ({"stale_reads": 2}, "nas_not_coherent"),
    ],
)
def test_what_the_store_and_the_probes_tell_has_its_name(facts: dict[str, Any], name: str) -> None:
    assert names(ACTIVE, serving(A_HOLDS), **facts) == {name}


def test_an_attempt_of_unknown_outcome_and_a_node_held_back_are_told() -> None:
    pending = Pending(A_HOLDS.unchanged(view(A_HOLDS).author, 0), unknown_since=NOW)
    assert names(replace(ACTIVE, pending=pending), serving(A_HOLDS)) == {"outcome_unknown"}
    assert names(node(State.HELD), view(None)) == {"held"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (lost(B_HOLDS), {"peer_unreachable"}),
        (lost(B_ALONE), {"peer_unreachable", "no_eligible_standby"}),
        (
            lost(B_HOLDS, store=Store.UNREACHABLE),
            {"peer_unreachable", "store", "cannot_claim"},
        ),
        (
            lost(replace(A_HOLDS, boot_id="a0", released=True)),
            {"peer_unreachable", "waiting_for_peer"},
        ),
        (view(B_HOLDS, cas=CasResult("x", Outcome.REFUSED, NOW, "no space")), {"claim_failed"}),
    ],
)
def test_a_standby_says_why_nobody_can_take_over(seen: View, expected: set[str]) -> None:
    assert names(node(State.SUSPECT), seen) == expected | {"suspect"}


def test_async_mode_is_alone_by_design() -> None:
    assert names(ACTIVE, serving(A_ALONE, policy=Policy(mode="async"))) == set()


def test_a_single_origin_is_alone_by_design() -> None:
    assert names(ACTIVE, serving(A_ALONE, authority_until=inf)) == set()
