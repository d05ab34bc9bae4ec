"""FENCED: closed, and on the way back.

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
from rtmp_sync.cluster.view import (
    State,
    Store,
)
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    B_ALONE,
    B_HOLDS,
    B_SERVES,
    IS_FENCED,
    NOW,
    found,
    view,
    written,
)


def test_a_fenced_node_closes_until_it_is_proven() -> None:
    turn = decide(IS_FENCED, view(B_HOLDS, gate="unknown"), NOW)
    assert found(turn, do.CloseGate)
    assert turn.state is State.FENCED


def test_a_fenced_node_joins_whoever_the_record_names() -> None:
    turn = decide(IS_FENCED, view(B_ALONE, peer=B_SERVES), NOW)
    assert turn.state is State.SYNCING
    assert found(turn, do.Demote) is not None


def test_a_fenced_holder_claims_anew_without_a_wait_after_a_peer_in_sync_had_its_chance() -> None:
    alone = decide(IS_FENCED, view(A_ALONE), NOW)
    assert written(alone).epoch == 4
    assert alone.node.claim is not None
    assert not alone.node.claim.waits
    assert not decide(IS_FENCED, view(A_HOLDS), NOW).actions
    assert written(decide(IS_FENCED, view(A_HOLDS, read_started=NOW), NOW + 0.6)).epoch == 4


@pytest.mark.parametrize(
    "facts",
    [
        {"read_started": NOW - 0.6},  # not read since
        {"record": replace(A_ALONE, paused=True)},
        {"self_test_fails": 1},
        {"store": Store.UNREACHABLE},
        {"record": replace(A_ALONE, released=True)},  # it stands back for a while
    ],
)
def test_otherwise_it_stays_closed(facts: dict[str, Any]) -> None:
    turn = decide(IS_FENCED, view(A_ALONE, **facts), NOW)
    assert turn.state is State.FENCED
    assert not turn.actions


def test_an_epoch_of_its_own_that_never_began_may_have_lost_something() -> None:
    served = decide(IS_FENCED, view(A_ALONE), NOW + 1).node.claim
    assert served is not None
    assert not served.lossy
    never_began = decide(IS_FENCED, view(replace(A_ALONE, epoch=4)), NOW + 1).node.claim
    assert never_began is not None
    assert never_began.lossy
