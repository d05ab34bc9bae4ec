"""The table as a whole, promises, heartbeats and a clean stop; its rows are in `rows`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import (
    TABLE,
    beats,
    decide,
    give_promise,
    leave,
)
from rtmp_sync.cluster.view import (
    Claim,
    Node,
    Pending,
    State,
    View,
)
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    ACTIVE,
    B_HOLDS,
    B_SERVES,
    BINDING,
    CLAIM,
    DRAIN,
    DRAINS,
    IS_READY,
    LANDED,
    NOW,
    SENT,
    found,
    lost,
    node,
    serving,
    view,
    written,
)

ASKER = ("B", "b1", 3)


def test_a_promise_binds_for_longer_than_it_keeps_the_asker_up() -> None:
    after, given = give_promise(IS_READY, view(B_HOLDS, peer=B_SERVES), ASKER, NOW)
    assert given
    assert after.promised_until == NOW + BINDING


@pytest.mark.parametrize(
    ("before", "seen", "asker"),
    [
        (IS_READY, view(B_HOLDS), ("B", "b2", 3)),
        (IS_READY, view(B_HOLDS), ("B", "b1", 4)),
        (IS_READY, view(A_HOLDS), ASKER),
        (IS_READY, view(None), ASKER),
        (IS_READY, view(B_HOLDS, misses=2), ASKER),
        (replace(IS_READY, pending=Pending(CLAIM)), view(B_HOLDS), ASKER),
        (SENT, view(B_HOLDS), ASKER),
        (ACTIVE, view(B_HOLDS), ASKER),
    ],
)
def test_a_promise_is_refused_to_anybody_else_and_by_whoever_may_claim(
    before: Node, seen: View, asker: tuple[str, str, int]
) -> None:
    after, given = give_promise(before, seen, asker, NOW)
    assert not given
    assert after == before


def test_only_a_node_that_serves_or_won_the_claim_writes_heartbeats() -> None:
    assert beats(ACTIVE)
    assert beats(DRAINS)
    assert beats(LANDED)
    assert not beats(SENT)
    assert not any(beats(node(state)) for state in (State.INIT, State.READY, State.FENCED))


def test_a_clean_stop_closes_then_releases_then_has_nothing_left_to_do() -> None:
    assert found(leave(ACTIVE, serving(A_HOLDS), NOW), do.CloseGate)
    turn = leave(ACTIVE, view(A_HOLDS), NOW)
    assert written(turn).released
    assert not leave(turn.node, view(written(turn)), NOW).actions
    assert not leave(IS_READY, view(B_HOLDS), NOW).actions


def test_every_turn_says_why_in_words() -> None:
    for state in State:
        before = node(state, epoch=3, claim=Claim(3, State.INIT, False), drain=DRAIN)
        for seen in (view(A_HOLDS), view(B_HOLDS), view(None), lost(B_HOLDS), serving(A_ALONE)):
            assert decide(before, seen, NOW).sentence


def test_every_row_has_a_name_of_its_own_and_says_that_it_acted() -> None:
    names = [row.name for row in TABLE]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)
    assert decide(node(State.INIT), view(B_HOLDS), NOW).row == "join"
    assert decide(ACTIVE, serving(A_HOLDS), NOW).row == ""
