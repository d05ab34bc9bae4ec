"""The modes `async` and `strict` in the transition table; everything else is `semi`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import decide, require_peer
from rtmp_sync.cluster.record import InSync
from rtmp_sync.cluster.view import Policy, State
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    ACTIVE,
    B_ALONE,
    B_SERVES,
    CLOSING,
    IS_READY,
    NOW,
    PEER,
    PREPARED,
    SWITCH,
    found,
    node,
    serving,
    view,
    written,
)

ASYNC = Policy(mode="async", promote_lag_max=100)
STRICT = Policy(mode="strict")

# -- async: nobody waits, nobody is listed ---------------------------------------------


def test_async_waits_for_nobody() -> None:
    assert not require_peer(ACTIVE, "async", A_ALONE)
    assert not decide(ACTIVE, serving(A_ALONE, policy=ASYNC, ack_late=True), NOW).actions


def test_async_corrects_a_record_that_another_mode_left() -> None:
    """A peer that stays listed would be taken for complete though nobody waits for it."""
    assert require_peer(ACTIVE, "async", A_HOLDS)  # until then
    turn = decide(ACTIVE, serving(A_HOLDS, policy=ASYNC), NOW)
    assert written(turn).sync == ()


def test_async_never_takes_a_peer_back_in_sync() -> None:
    assert not decide(ACTIVE, serving(A_ALONE, policy=ASYNC), NOW).actions


def test_in_async_a_complete_copy_is_ready_and_stays_so_unlisted() -> None:
    complete = view(B_ALONE, policy=ASYNC, peer=B_SERVES, copy_in_sync=True)
    assert decide(node(State.SYNCING), complete, NOW).state is State.READY
    assert decide(IS_READY, complete, NOW).state is State.READY


def test_in_async_a_ready_peer_is_handed_the_service_once_it_has_the_last_write() -> None:
    begun = decide(ACTIVE, serving(A_ALONE, policy=ASYNC, request=SWITCH), NOW)
    assert begun.state is State.DRAINING
    assert begun.node.drain is not None
    assert begun.node.drain.to == InSync("B", "b1")
    waiting = decide(PREPARED, serving(A_ALONE, policy=ASYNC), NOW)
    assert waiting.row == ""
    ready = decide(PREPARED, serving(A_ALONE, policy=ASYNC, switch_ready=True), NOW)
    assert found(ready, do.CloseGate)
    record = written(decide(CLOSING, view(A_ALONE, policy=ASYNC), NOW))
    assert (record.holder, record.boot_id, record.sync) == ("B", "b1", ())


@pytest.mark.parametrize("peer", [replace(PEER, state="SYNCING"), replace(PEER, epoch=2)])
def test_in_async_a_peer_that_is_not_ready_in_this_epoch_is_handed_nothing(peer: object) -> None:
    turn = decide(ACTIVE, serving(A_ALONE, policy=ASYNC, request=SWITCH, peer=peer), NOW)
    assert not found(turn, do.Answer).done


def test_in_async_a_switchover_to_a_peer_that_restarted_meanwhile_is_given_up() -> None:
    other_boot = serving(A_ALONE, policy=ASYNC, peer=replace(PEER, boot_id="b2"))
    assert decide(PREPARED, other_boot, NOW).row == "resume"


# -- strict: nothing is acknowledged alone ----------------------------------------------


def test_strict_always_waits_for_the_peer() -> None:
    assert require_peer(ACTIVE, "strict", A_ALONE)
    assert require_peer(ACTIVE, "strict", A_HOLDS)


@pytest.mark.parametrize("facts", [{"link_up": False}, {"ack_late": True}])
def test_strict_keeps_a_peer_listed_that_is_late_or_out_of_reach(facts: dict[str, bool]) -> None:
    """It has everything that was ever acknowledged, so it may take over."""
    assert not decide(ACTIVE, serving(A_HOLDS, policy=STRICT, **facts), NOW).actions


def test_strict_unlists_another_boot_and_takes_it_back_when_it_has_all() -> None:
    other_boot = replace(PEER, boot_id="b2")
    turn = decide(ACTIVE, serving(A_HOLDS, policy=STRICT, peer=other_boot), NOW)
    assert written(turn).sync == ()
    held = decide(ACTIVE, serving(A_ALONE, policy=STRICT, peer=other_boot), NOW)
    assert held.row == "hold"
    agreed = serving(A_ALONE, policy=STRICT, peer=other_boot, digest_agrees=True)
    assert written(decide(held.node, agreed, NOW)).sync == (InSync("B", "b2"),)


def test_strict_unlists_a_peer_whose_copy_differs() -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, policy=STRICT, digest_agrees=False), NOW)
    assert written(turn).sync == ()
