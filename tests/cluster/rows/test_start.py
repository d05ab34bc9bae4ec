"""INIT and HELD, the holder that restarted, and the cold start.

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
from rtmp_sync.cluster.situation import AHEAD_SECONDS
from rtmp_sync.cluster.view import (
    Identity,
    Peer,
    Policy,
    Request,
    State,
    Store,
)
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    B_ALONE,
    B_HOLDS,
    BINDING,
    LONG_AGO,
    NOW,
    PEER,
    STRANDED,
    STRANDED_PEER,
    found,
    lost,
    node,
    still,
    view,
    written,
)


@pytest.mark.parametrize("state", [State.INIT, State.HELD])
def test_a_node_joins_the_other_that_holds(state: State) -> None:
    assert decide(node(state), view(B_HOLDS), NOW).state is State.SYNCING


@pytest.mark.parametrize("link_up", [True, False])
def test_a_restarted_holder_releases_to_a_peer_in_sync_reachable_or_not(link_up: bool) -> None:
    record = replace(A_HOLDS, boot_id="a0")
    turn = decide(node(State.INIT), view(record, link_up=link_up), NOW)
    assert turn.state is State.SYNCING
    assert written(turn).released
    assert written(turn).rev == record.rev + 1


def test_a_restarted_holder_that_is_released_already_joins() -> None:
    record = replace(A_HOLDS, boot_id="a0", released=True)
    turn = decide(node(State.INIT), view(record), NOW)
    assert turn.state is State.SYNCING
    assert not turn.actions


def test_a_restarted_holder_that_was_alone_claims_from_its_disk() -> None:
    turn = decide(node(State.INIT), view(replace(A_ALONE, boot_id="a0")), NOW)
    assert turn.state is State.CLAIMING
    assert written(turn).epoch == 4
    assert turn.node.claim is not None
    assert turn.node.claim.lossy
    assert turn.node.claim.waits


def test_a_peer_in_sync_that_restarted_too_does_not_count_as_in_sync() -> None:
    other_boot = replace(PEER, boot_id="b2", state="SYNCING")
    turn = decide(node(State.INIT), view(replace(A_HOLDS, boot_id="a0"), peer=other_boot), NOW)
    assert turn.state is State.CLAIMING


def test_a_restarted_holder_whose_disk_lacks_its_epoch_joins() -> None:
    record = replace(A_ALONE, boot_id="a0")
    turn = decide(node(State.INIT), view(record, position=(2, 99)), NOW)
    assert turn.state is State.SYNCING


def test_a_restarted_holder_lets_a_peer_with_a_better_copy_claim_first_for_a_while() -> None:
    record = replace(A_ALONE, boot_id="a0")
    ahead = replace(PEER, state="SYNCING", position=(3, 11))
    young = Identity("A", "a1", NOW - BINDING - AHEAD_SECONDS + 0.1)
    turn = decide(node(State.INIT), view(record, peer=ahead, identity=young), NOW)
    assert turn.row == "join-with-less"
    assert decide(turn.node, view(record, peer=ahead, identity=young), NOW).row == ""
    assert decide(turn.node, view(record, peer=ahead), NOW).row == "reclaim-from-disk"
    for hopeless in (replace(ahead, state="FENCED"), replace(ahead, position=(3, 10))):
        turn = decide(node(State.INIT), view(record, peer=hopeless, identity=young), NOW)
        assert turn.row == "reclaim-from-disk"


def test_no_claim_in_the_hold_off_after_the_start() -> None:
    record = replace(A_ALONE, boot_id="a0")
    young = Identity("A", "a1", NOW - BINDING + 0.01)
    turn = decide(node(State.INIT), view(record, identity=young), NOW)
    assert still(turn, node(State.INIT, alone_since=turn.node.alone_since))
    assert "hold-off" in turn.sentence
    old = Identity("A", "a1", NOW - BINDING)
    assert decide(node(State.INIT), view(record, identity=old), NOW).state is State.CLAIMING


@pytest.mark.parametrize(
    "state", [State.INIT, State.HELD, State.SYNCING, State.READY, State.SUSPECT]
)
def test_a_switchover_gives_its_epoch_without_a_claim_or_a_wait(state: State) -> None:
    record = replace(A_HOLDS, reason="switchover", by="B")
    turn = decide(node(state), view(record), NOW)
    assert turn.state is State.CLAIMING
    assert not turn.actions
    claim = turn.node.claim
    assert claim is not None
    assert (claim.epoch, claim.back, claim.waits, claim.taken_from) == (3, state, False, "B")
    assert claim.heard_at == claim.noticed_at == claim.claimed_at == NOW


def test_an_epoch_that_this_boot_served_already_is_not_served_again() -> None:
    record = replace(A_HOLDS, reason="switchover")
    turn = decide(node(State.SYNCING, epoch=3), view(record), NOW)
    assert written(turn).epoch == 4


def test_a_record_that_names_this_boot_for_another_reason_needs_a_new_claim() -> None:
    turn = decide(node(State.SYNCING), view(A_ALONE), NOW)
    assert written(turn).epoch == 4
    assert turn.node.claim is not None
    assert turn.node.claim.waits
    paused = decide(node(State.SYNCING), view(replace(A_ALONE, paused=True)), NOW)
    assert paused.state is State.SYNCING


def test_both_closed_and_talking_the_higher_position_claims() -> None:
    ahead = view(STRANDED, peer=STRANDED_PEER, position=(3, 11))
    turn = decide(node(State.SYNCING), ahead, NOW)
    assert written(turn).reason == "cold_start"
    behind = view(STRANDED, peer=STRANDED_PEER, position=(3, 9))
    assert decide(node(State.SYNCING), behind, NOW).state is State.SYNCING


def test_both_closed_and_talking_at_equality_the_recorded_holder_claims() -> None:
    equal = view(STRANDED, peer=STRANDED_PEER, position=(3, 10))
    assert decide(node(State.SYNCING), equal, NOW).state is State.SYNCING
    mine = replace(A_ALONE, boot_id="a0", released=True, epoch=9)
    assert decide(node(State.SYNCING), view(mine, peer=STRANDED_PEER), NOW).state is State.CLAIMING


def test_empty_never_beats_non_empty() -> None:
    mine = replace(A_ALONE, boot_id="a0", released=True)
    empty = view(mine, peer=STRANDED_PEER, position=(0, 0))
    assert decide(node(State.SYNCING), empty, NOW).state is State.SYNCING


@pytest.mark.parametrize("state", ["CLAIMING", "ACTIVE", "DRAINING"])
def test_a_peer_that_is_on_its_way_is_not_stranded(state: str) -> None:
    peer = replace(PEER, state=state, position=(3, 1))
    assert decide(node(State.SYNCING), view(STRANDED, peer=peer), NOW).state is State.SYNCING


def test_a_peer_whose_gate_failed_does_not_count() -> None:
    peer = Peer("b1", 3, gate_open=False, state="FENCED", position=(3, 99))
    released = replace(B_ALONE, released=True)
    assert decide(node(State.SYNCING), view(released, peer=peer), NOW).state is State.CLAIMING


def test_a_fenced_peer_with_a_better_copy_has_a_while_to_get_well() -> None:
    peer = Peer("b1", 3, gate_open=False, state="FENCED", position=(3, 99))
    seen = view(replace(B_ALONE, released=True), peer=peer)
    just_now = replace(node(State.SYNCING), since=NOW - 4.9)
    assert decide(just_now, seen, NOW).state is State.SYNCING
    assert decide(just_now, replace(seen, position=(3, 100)), NOW).state is State.CLAIMING


def test_an_empty_copy_does_not_start_cold_for_a_peer_whose_gate_failed() -> None:
    peer = Peer("b1", 3, gate_open=False, state="FENCED", position=(3, 99))
    empty = view(replace(B_ALONE, released=True), peer=peer, position=(0, 0))
    assert decide(node(State.SYNCING), empty, NOW).state is State.SYNCING


EMPTY_PEER = Peer("b1", 0, gate_open=False, state="HELD", position=(0, 0))


@pytest.mark.parametrize("state", [State.INIT, State.HELD])
def test_slot_0_writes_the_very_first_record_even_right_after_its_start(state: State) -> None:
    young = Identity("A", "a1", NOW)
    seen = view(None, peer=EMPTY_PEER, position=(0, 0), identity=young)
    turn = decide(node(state), seen, NOW)
    assert turn.state is State.CLAIMING
    assert (written(turn).rev, written(turn).epoch) == (1, 1)
    assert turn.node.claim is not None
    assert not turn.node.claim.waits


@pytest.mark.parametrize(
    "facts",
    [
        {"identity": Identity("B", "b1", LONG_AGO)},
        {"position": (1, 1)},
        {"peer": replace(EMPTY_PEER, position=(1, 1))},
        {"peer": replace(EMPTY_PEER, gate_open=True)},
        {"link_up": False},
        {"store": Store.UNREACHABLE},
        {"store": Store.INVALID},
    ],
)
def test_nobody_else_writes_it_and_the_node_is_held(facts: dict[str, Any]) -> None:
    seen = view(None, **{"peer": EMPTY_PEER, "position": (0, 0), **facts})
    turn = decide(node(State.INIT), seen, NOW)
    assert turn.state is State.HELD
    assert not turn.actions
    assert turn.sentence.startswith("closed")


def test_before_the_first_read_nothing_is_decided() -> None:
    turn = decide(node(State.INIT), view(None, store=Store.UNREAD), NOW)
    assert turn.state is State.INIT


def test_alone_for_long_enough_a_node_serves_from_its_own_copy_if_the_operator_said_so() -> None:
    waiting = node(State.SYNCING, alone_since=NOW - 60)
    never = decide(waiting, lost(B_ALONE), NOW)
    assert never.state is State.SYNCING
    allowed = lost(B_ALONE, policy=Policy(cold_start_alone=60))
    assert decide(waiting, allowed, NOW).state is State.CLAIMING
    beating = replace(allowed, beat_changed_at=NOW - 1)
    assert decide(waiting, beating, NOW).state is State.SYNCING
    woken = decide(waiting, replace(allowed, late_by=50.0), NOW)
    assert (woken.state, woken.node.alone_since) == (State.SYNCING, NOW)


def test_force_claims_without_being_in_sync_but_never_against_a_promise() -> None:
    forced = lost(B_ALONE, request=Request("force", "admin", NOW))
    turn = decide(node(State.SYNCING), forced, NOW)
    assert written(turn).reason == "forced"
    assert found(turn, do.Answer).done
    bound = decide(node(State.SYNCING, promised_until=NOW + 1), forced, NOW)
    assert bound.state is State.SYNCING


def test_a_record_that_names_this_boot_for_no_reason_it_knows_is_claimed_anew() -> None:
    """As after a store that called a claim refused and kept it all the same."""
    turn = decide(node(State.SYNCING), view(replace(A_ALONE, reason="holder_expired")), NOW)
    assert turn.state is State.CLAIMING
    assert written(turn).epoch == A_ALONE.epoch + 1
    assert turn.node.claim is not None
    assert turn.node.claim.waits


def test_and_is_left_alone_while_the_pair_is_paused() -> None:
    record = replace(A_ALONE, reason="holder_expired", paused=True)
    assert decide(node(State.SYNCING), view(record), NOW).state is State.SYNCING
