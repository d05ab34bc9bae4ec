"""What operators ask for: a pause, serving in spite of everything, a new copy for the peer."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import decide, require_peer
from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.rows.requests import UNSEEN_EPOCHS
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import Node, Request, State, Store, View
from tests.cluster.views import (
    A_ALONE,
    A_HOLDS,
    ACTIVE,
    B_HOLDS,
    DOUBTS,
    IS_READY,
    ME,
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

VOUCHES = Request("force_fenced", "admin", NOW)
RESYNC = Request("resync", "admin", NOW)
WORD = B_HOLDS.claimed(ME, 10, "forced_fenced", above=3 + UNSEEN_EPOCHS)
BY_WORD = replace(ACTIVE, epoch=WORD.epoch, word=WORD)


def stranded(**facts: Any) -> View:
    """The store is away, and the holder gone."""
    return lost(B_HOLDS, **{"store": Store.UNREACHABLE, "request": VOUCHES, **facts})


def opened(before: Node, **facts: Any) -> Node:
    """Through all turns to the open gate."""
    turn = decide(before, stranded(**facts), NOW)
    assert found(turn, do.Answer).done
    promoted = decide(turn.node, stranded(**facts), NOW)
    assert found(promoted, do.Promote).record == turn.node.word
    return decide(promoted.node, stranded(gate="open", **facts), NOW).node


CUT_OFF = decide(DOUBTS, lost(B_HOLDS), NOW).node  # as its claim was on its way


@pytest.mark.parametrize(
    "before", [DOUBTS, node(State.SYNCING), CUT_OFF, replace(IS_READY, state=State.FENCED)]
)
def test_by_the_operators_word_a_node_serves_without_the_store(before: Node) -> None:
    after = opened(before)
    assert after.state is State.ACTIVE
    assert after.word is not None
    assert after.word.epoch == after.epoch > 3 + UNSEEN_EPOCHS
    assert Situation(after, stranded(gate="open"), NOW).authority_until == inf


def test_two_words_given_without_the_store_are_not_for_the_same_epoch() -> None:
    """The origin that the first one was given to may be lost before anybody knows of it."""
    epochs = {
        opened(DOUBTS, author=Author("B", "b1", nonce, "")).epoch for nonce in ("n1", "n2", "n3")
    }
    assert len(epochs) == 3


def test_a_node_that_never_read_the_record_goes_by_its_copy() -> None:
    after = opened(node(State.HELD), record=None, position=(7, 10))
    assert after.epoch > 7 + UNSEEN_EPOCHS


@pytest.mark.parametrize(
    ("before", "facts"),
    [
        (DOUBTS, {"request": None}),
        (DOUBTS, {"request": Request("force", "admin", NOW)}),
        (DOUBTS, {"gate": "unknown"}),
        (node(State.HELD), {"record": None, "position": (0, 0)}),
        (replace(CUT_OFF, epoch=4), {}),  # it opens already, in the epoch of its claim
    ],
)
def test_nothing_less_than_that_word_opens_a_gate_without_the_store(
    before: Node, facts: dict[str, Any]
) -> None:
    assert decide(before, stranded(**facts), NOW).node.word is None


def test_a_word_while_the_store_answers_is_a_claim_like_any_other() -> None:
    turn = decide(DOUBTS, lost(B_HOLDS, request=VOUCHES), NOW)
    assert (written(turn).reason, written(turn).epoch) == ("forced", 4)


def test_before_all_else_the_store_learns_of_the_word() -> None:
    seen = serving(B_HOLDS, authority_epoch=0, digest_agrees=False, request=RESYNC)
    turn = decide(BY_WORD, seen, NOW)
    record = written(turn)
    assert (record.holder, record.boot_id, record.epoch) == ("A", "a1", WORD.epoch)
    assert (record.history_id, record.sync, record.released) == (WORD.history_id, (), False)
    assert still(decide(BY_WORD, replace(seen, store=Store.UNREACHABLE), NOW), BY_WORD)


def test_the_word_is_over_when_the_store_gives_the_authority() -> None:
    record = B_HOLDS.vouched(ME, 10, WORD)
    unconfirmed = serving(record, authority_epoch=0)
    assert still(decide(BY_WORD, unconfirmed, NOW), BY_WORD)
    turn = decide(BY_WORD, serving(record), NOW)
    assert turn.node.word is None
    assert turn.state is State.ACTIVE


def test_a_higher_epoch_ends_it_all_the_same() -> None:
    turn = decide(BY_WORD, serving(replace(B_HOLDS, epoch=WORD.epoch + 1)), NOW)
    assert turn.state is State.FENCED
    assert turn.node.word is None
    assert found(turn, do.CloseGate) is not None


def test_a_gate_that_does_not_open_takes_the_word_back() -> None:
    claiming = decide(DOUBTS, stranded(), NOW).node
    assert claiming.word is not None
    turn = decide(claiming, stranded(open_failed=claiming.word.epoch), NOW)
    assert (turn.state, turn.node.word) == (DOUBTS.state, None)


def test_nobody_claims_against_a_peer_that_serves_by_a_word() -> None:
    seen = view(
        replace(A_HOLDS, boot_id="a0", sync=()),
        peer=replace(PEER, epoch=WORD.epoch, gate_open=True, state="ACTIVE"),
    )
    assert Situation(node(State.SYNCING), seen, NOW).outdone
    assert not Situation(node(State.SYNCING), seen, NOW).free_to_claim


def test_what_the_record_lists_does_not_bind_a_node_that_serves_by_a_word() -> None:
    assert not require_peer(BY_WORD, "semi", B_HOLDS)
    assert require_peer(BY_WORD, "strict", B_HOLDS)


def test_a_resync_is_recorded_before_the_new_copy_is_made() -> None:
    turn = decide(ACTIVE, serving(A_HOLDS, request=RESYNC), NOW)
    assert (written(turn).sync, written(turn).reason) == ((), "resync")
    after = decide(ACTIVE, serving(written(turn), request=RESYNC), NOW)
    assert found(after, do.Repair) is not None
    assert found(after, do.Answer).done


def test_a_resync_is_refused_without_a_peer_and_by_who_does_not_serve() -> None:
    alone = serving(A_ALONE, request=RESYNC, link_up=False)
    for before, seen in ((ACTIVE, alone), (IS_READY, view(B_HOLDS, request=RESYNC))):
        assert not found(decide(before, seen, NOW), do.Answer).done


def test_a_pause_is_told_with_its_reason() -> None:
    wish = Request("pause", "admin", NOW, reason="new disks")
    turn = decide(ACTIVE, serving(replace(A_HOLDS, paused=True), request=wish), NOW)
    event = found(turn, do.Happened)
    assert event == do.Happened("paused", {"by": "admin", "reason": "new disks"})
