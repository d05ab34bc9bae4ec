"""The transition table, row by row: node A looks at the world unless a test says otherwise."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import (
    TABLE,
    beats,
    decide,
    give_promise,
    leave,
    require_peer,
)
from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.situation import AHEAD_SECONDS
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import (
    HAND_EDIT,
    CasResult,
    Claim,
    Drain,
    Hold,
    Identity,
    Node,
    Outcome,
    Peer,
    Pending,
    Policy,
    Request,
    State,
    Store,
    View,
)

NOW = 1000.0
A, B = Author("A", "a1", "na", ""), Author("B", "b1", "nb", "")
ME = Author("A", "a1", "new", "")
TO_B = InSync("B", "b1")
A_FIRST = first_record(("A", "B"), A)
A_ALONE = replace(A_FIRST, rev=7, nonce="n7", epoch=3, reason="claimed")
A_HOLDS = replace(A_ALONE, sync=(InSync("B", "b1"),))
B_ALONE = replace(A_ALONE, holder="B", boot_id="b1")
B_HOLDS = replace(B_ALONE, sync=(InSync("A", "a1"),))
PEER = Peer("b1", 3, gate_open=False, state="READY", position=(3, 10))
B_SERVES = Peer("b1", 3, gate_open=True, state="ACTIVE", position=(3, 10))
LONG_AGO = NOW - 100
BINDING = DEFAULT.t_conf + DEFAULT.margin


def view(record: Record | None, /, **facts: Any) -> View:
    """The view of a node that started long ago, reaches the store and its peer."""
    known: dict[str, Any] = {
        "identity": Identity("A", "a1", LONG_AGO),
        "timing": DEFAULT,
        "policy": Policy(),
        "author": ME,
        "store": Store.OK if record is not None else Store.EMPTY,
        "record": record,
        "nodes": ("A", "B"),
        "read_started": NOW - 0.1,
        "beat_changed_at": NOW - 0.2,
        "link_up": True,
        "peer": PEER,
        "answers": 5,
        "position": (3, 10),
    }
    return View(**{**known, **facts})


def lost(record: Record, /, **facts: Any) -> View:
    """The same, and the peer has been dead for a while."""
    gone = {"link_up": False, "dead": True, "misses": 9, "answers": 0}
    return view(record, **{**gone, "beat_changed_at": NOW - 4, **facts})


def serving(record: Record, /, **facts: Any) -> View:
    """The view of a node whose gate is open with two seconds of authority."""
    known = {"gate": "open", "authority_epoch": record.epoch, "authority_until": NOW + 2}
    return view(record, **{**known, "acked": 10, "peer_caught_up": True, **facts})


ACTIVE = Node(State.ACTIVE, LONG_AGO, epoch=3)


def node(state: State, **facts: Any) -> Node:
    return Node(**{"state": state, "since": LONG_AGO, **facts})


def found(turn: Turn, kind: type[Any]) -> Any:
    """The one action of that kind."""
    (action,) = [action for action in turn.actions if isinstance(action, kind)]
    return action


def written(turn: Turn) -> Record:
    record: Record = found(turn, do.Cas).record
    return record


def still(turn: Turn, before: Node) -> bool:
    return turn.node == before and not turn.actions


# -- the start -----------------------------------------------------------------------


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
    assert turn.node.claim == Claim(3, state, waits=False, taken_from="B")


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


STRANDED = replace(B_ALONE, boot_id="b0", sync=())
STRANDED_PEER = replace(PEER, state="SYNCING")


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


def test_force_claims_without_being_in_sync_but_never_against_a_promise() -> None:
    forced = lost(B_ALONE, request=Request("force", "admin", NOW))
    turn = decide(node(State.SYNCING), forced, NOW)
    assert written(turn).reason == "forced"
    assert found(turn, do.Answer).done
    bound = decide(node(State.SYNCING, promised_until=NOW + 1), forced, NOW)
    assert bound.state is State.SYNCING


# -- the standby ---------------------------------------------------------------------


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


IS_READY = node(State.READY, ready_epoch=3)
DOUBTS = node(State.SUSPECT, ready_epoch=3)


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


# -- the claim -----------------------------------------------------------------------

CLAIM = B_HOLDS.claimed(ME, 10, "holder_expired")
CLAIMED = Claim(4, State.SUSPECT, waits=True, taken_from="B")
SENT = node(State.CLAIMING, pending=Pending(CLAIM), claim=CLAIMED, epoch=2)
LANDED = replace(SENT, pending=None, claim=replace(CLAIMED, landed_at=NOW - 1))


def result(outcome: Outcome) -> CasResult:
    return CasResult("new", outcome, NOW - 0.2)


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
        "seq": CLAIM.seq,
        "reason": CLAIM.reason,
    }


def test_a_lossy_takeover_says_what_may_be_lost() -> None:
    before = replace(open_from(NOW), epoch=4)
    assert before.claim is not None
    lossy = replace(before.claim, lossy=True, copy_ends=10, known_head=15)
    turn = decide(replace(before, claim=lossy), lost(CLAIM, gate="open", **AUTHORISED), NOW)
    fields = found(turn, do.Happened).fields
    assert (fields["lost_after"], fields["lost_up_to"]) == (10, 15)


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


def test_a_claim_that_was_superseded_after_it_landed_is_lost() -> None:
    theirs = replace(CLAIM.claimed(B, 9, "x"), prev=CLAIM.nonce)
    assert decide(LANDED, lost(theirs), NOW).state is State.SYNCING


def test_a_refused_claim_is_tried_again_a_little_later() -> None:
    turn = decide(SENT, lost(B_HOLDS, cas=result(Outcome.REFUSED)), NOW)
    assert turn.state is State.SUSPECT
    assert found(turn, do.Happened).event == "cas_failed"
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


# -- the active one ------------------------------------------------------------------


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
        ({"fenced_by": 4}, "higher_epoch"),
    ],
)
def test_the_history_says_why_a_node_closed(facts: dict[str, Any], reason: str) -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, **{"record": A_HOLDS, **facts}), NOW)
    event = found(turn, do.Happened)
    assert (event.event, event.fields["reason"]) == ("fenced", reason)
    assert event.fields.get("paused_for") == facts.get("late_by")


def test_a_gate_that_fell_is_a_fenced_node() -> None:
    assert decide(ACTIVE, serving(A_HOLDS, gate="closed"), NOW).state is State.FENCED


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


SWITCH = Request("switchover", "admin", NOW)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"request": SWITCH}, "admin"),
        ({"request": Request("switchover", HAND_EDIT, NOW)}, HAND_EDIT),
        ({"self_test_fails": 3}, "self_test"),
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


# -- a planned switchover ------------------------------------------------------------

DRAIN = Drain("admin", "s1", TO_B, NOW - 1)
DRAINS = Node(State.DRAINING, NOW - 1, epoch=3, drain=DRAIN)
PREPARED = replace(DRAINS, drain=replace(DRAIN, prepared_at=NOW - 1))
CLOSING_DRAIN = replace(DRAIN, prepared_at=NOW - 1, closing=True)
CLOSING = replace(DRAINS, drain=CLOSING_DRAIN)


def test_writes_are_held_when_the_draining_time_is_over() -> None:
    assert found(decide(DRAINS, serving(A_HOLDS), NOW), do.Prepare).switch_id == "s1"
    patient = serving(A_HOLDS, policy=Policy(drain_seconds=5))
    assert still(decide(DRAINS, patient, NOW), DRAINS)


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
    sent = replace(CLOSING, pending=Pending(handed), drain=replace(CLOSING_DRAIN, sent=True))
    turn = decide(sent, view(handed), NOW)
    assert turn.state is State.SYNCING
    (event,) = [action for action in turn.actions if isinstance(action, do.Happened)]
    assert event.fields == {
        "to": "B",
        "epoch": 4,
        "reason": "admin",
        "final_seq": 10,
        "held_ms": 1000,
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
    sent = replace(CLOSING, pending=Pending(handed), drain=replace(DRAIN, closing=True, sent=True))
    for seen in (view(no_op), view(A_HOLDS, cas=result(Outcome.REFUSED))):
        turn = decide(sent, seen, NOW)
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
    ],
)
def test_before_the_gate_closed_a_switchover_that_fails_resumes_in_the_same_epoch(
    before: Node, facts: dict[str, Any]
) -> None:
    turn = decide(before, serving(A_HOLDS, **facts), NOW)
    assert turn.state is State.ACTIVE
    assert turn.node.epoch == 3
    assert found(turn, do.HoldWrites).on is False
    assert found(turn, do.Switchover).kind == "abort"
    assert not found(turn, do.Answer).done


def test_a_hand_edit_is_not_tried_again_at_once_after_an_abort() -> None:
    before = replace(ACTIVE, switch_again_at=NOW + 5)
    edited = serving(A_HOLDS, request=Request("switchover", HAND_EDIT, NOW))
    assert still(decide(before, edited, NOW), before)
    assert decide(before, serving(A_HOLDS, request=SWITCH), NOW).state is State.DRAINING


def test_an_unhealthy_node_releases_to_a_ready_peer_that_did_not_answer_in_time() -> None:
    sick = replace(DRAIN, reason="self_test", prepared_at=NOW - 2.1)
    turn = decide(replace(DRAINS, drain=sick), serving(A_HOLDS), NOW)
    assert found(turn, do.CloseGate)
    released = decide(turn.node, view(A_HOLDS), NOW)
    assert released.state is State.FENCED
    assert written(released).released


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


# -- fenced --------------------------------------------------------------------------

IS_FENCED = Node(State.FENCED, NOW - 0.5, epoch=3)


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


# -- promises, heartbeats, leaving ---------------------------------------------------

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
