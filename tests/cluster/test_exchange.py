"""The rules of the conversation: epochs, promises, replays, and the tail that is saved first."""

from __future__ import annotations

import pytest

from rtmp_sync.cluster.exchange import TAIL_SECONDS
from rtmp_sync.cluster.sink import Following
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.change import encode_changes
from rtmp_sync.wire.records import (
    LANE_DELTA,
    Ack,
    Delta,
    Hello,
    Promise,
    PromiseRequest,
    Record,
    Replay,
    Switchover,
)
from rtmp_sync.wire.refusals import LinkRefused, Reason
from tests.cluster.test_source_sink import Node, Pair, following_pair
from tests.support.nodes import SCOPE


def hears(pair: Pair, node: Node, record: Record, *, epoch: int) -> list[str]:
    """Let `node` hear a record of that epoch; what it refused."""
    refused: list[str] = []
    node.link._hooks.on_refused = lambda reason, text: refused.append(reason.value)
    sender = pair.other(node).link.link
    mine, sender.epoch = sender.epoch, epoch
    sender.send(record)
    sender.epoch = mine
    pair.settle()
    return refused


def deposed_pair() -> Pair:
    """A wrote what B never got; B serves epoch 2 since, and both talk again."""
    pair = following_pair()
    pair.cut()
    pair.a.write(count=3)
    pair.b.state.start_epoch(2, "boot", "h2", lossy=False)
    pair.b.turn(0.0)
    pair.serve(pair.b, 2)
    pair.a.saves_at_once = False
    pair.connect()
    pair.settle()
    return pair


def test_a_tail_is_still_there_until_it_is_saved():
    pair = deposed_pair()
    assert len(pair.a.tails) == 1
    assert pair.a.installed == 0
    assert pair.a.state.instances[SCOPE].objects["T:x"].slots
    assert pair.a.link.sink.following is Following.HOLDING
    assert not pair.a.link.sink.in_sync
    pair.b.write(count=2)
    pair.settle()
    assert pair.b.acked == 0
    pair.a.let_go[0]()
    pair.settle()
    assert pair.a.installed == 1
    assert pair.b.acked == pair.b.state.journal.head
    pair.assert_same()
    assert len(pair.a.tails) == 1


def test_a_disk_that_saves_nothing_is_not_waited_for_long():
    pair = deposed_pair()
    for node in pair.nodes():
        node.link.tick(0.3)
    pair.settle()
    assert pair.a.installed == 0
    step = 0.25
    while pair.now <= TAIL_SECONDS + 2 * step:
        pair.now += step
        for node in pair.nodes():
            node.link.tick(pair.now)
        pair.settle()
    assert pair.a.installed == 1
    assert "divergent_given_up" in pair.a.events
    pair.a.let_go[0]()
    pair.settle()
    pair.assert_same()
    assert pair.a.installed == 1


def test_a_tail_that_is_saved_after_the_link_broke_is_handed_out_again():
    pair = deposed_pair()
    pair.cut()
    pair.a.let_go[0]()
    assert pair.a.installed == 0
    pair.connect()
    pair.settle()
    pair.a.let_go[0]()
    assert pair.a.installed == 0
    pair.a.let_go[1]()
    pair.settle()
    pair.assert_same()


def test_a_call_that_ran_while_a_tail_was_being_saved_is_replayed_behind_its_changes():
    pair = deposed_pair()
    replayed: list[tuple[str, int]] = []
    hooks, journal = pair.a.link._hooks, pair.a.state.journal
    hooks.on_replay = lambda record: replayed.append((record.method, journal.head))
    pair.b.write()
    head = pair.b.state.journal.head
    pair.b.link.send_replay(Replay(head, SCOPE, b"", "play", b""))
    pair.settle()
    assert replayed == []
    pair.a.let_go[0]()
    assert replayed == [("play", head)]


def test_a_held_delta_that_fits_nowhere_is_refused_and_the_host_knows_of_the_copy():
    pair = deposed_pair()
    pair.b.link.link.send(Delta(10_000, encode_changes([])))
    pair.settle()
    with pytest.raises(RemoteProtocolError):
        pair.a.let_go[0]()
    assert pair.a.installed == 1


@pytest.mark.parametrize("asked", ["before", "in vain"])
def test_an_active_whose_gate_was_closed_for_a_moment_feeds_its_standby_again(asked):
    pair = following_pair() if asked == "before" else Pair()
    if asked == "in vain":
        pair.serve(pair.a, 1)
        pair.connect()
        pair.deliver(pair.b, 10)
        assert pair.b.link.sink.following is Following.REQUESTED
    pair.a.set_role(1, "A", serving=False)
    pair.settle()
    pair.a.set_role(1, "A", serving=True)
    pair.settle()
    pair.a.write()
    pair.settle()
    pair.assert_same()
    assert pair.a.link.source.caught_up
    assert pair.b.link.sink.in_sync


@pytest.mark.parametrize("epoch", [1, 2])
def test_what_was_sent_before_a_copy_and_comes_behind_it_is_let_go(epoch):
    pair = following_pair()
    pair.a.write(count=3)
    pair.collect()
    late = [message for message in pair.wire["B"] if message[0] == LANE_DELTA]
    assert late
    pair.wire["B"].clear()
    pair.a.set_role(1, "A", serving=False)
    pair.a.link.distrusted = True  # so that what it lacks does not come in the lane of `late`
    pair.a.set_role(epoch, "A", serving=True)
    pair.settle()
    assert pair.b.installed == 2
    pair.wire["B"].extend(late)
    pair.settle()
    pair.a.write()
    pair.settle()
    pair.assert_same()


@pytest.mark.parametrize("known", [1, 2])
def test_what_the_same_node_sent_in_an_epoch_before_is_not_taken(known):
    pair = following_pair()
    pair.b.set_role(known, "A", serving=False)
    pair.a.set_role(2, "A", serving=True)
    pair.settle()
    pair.a.write()
    pair.settle()
    journal = pair.b.state.journal
    (*_, last) = journal.since(journal.history_id, journal.head - 1) or ()
    hears(pair, pair.b, Delta(journal.head + 1, last.data), epoch=1)
    pair.a.write()
    pair.settle()
    pair.assert_same()


def test_a_deposed_node_is_promised_nothing_and_told_why():
    pair = following_pair()
    pair.b.promise_seconds = 3.5
    pair.b.set_role(2, "B", serving=False)
    answers: list[float] = []
    pair.a.link.on_promise = lambda request_id, seconds: answers.append(seconds)
    assert hears(pair, pair.b, PromiseRequest(1, 1), epoch=1) == ["older_epoch"]
    assert answers == [0.0]
    assert pair.a.fences == [2]


@pytest.mark.parametrize("step", ["prepare", "ready", "abort"])
def test_a_step_of_a_switchover_in_an_older_epoch_is_not_taken(step):
    pair = following_pair()
    pair.b.set_role(2, "B", serving=False)
    record = Switchover(step, "s", 9, 2.0, 0)
    assert hears(pair, pair.b, record, epoch=1) == ["older_epoch"]
    assert pair.b.steps == []


def test_done_counts_in_the_epoch_that_it_began():
    pair = following_pair()
    pair.b.set_role(2, "B", serving=False)
    done = Switchover("done", "s", 9, 0.0, 2)
    assert hears(pair, pair.b, done, epoch=1) == []
    assert pair.b.steps == [done]
    assert hears(pair, pair.b, done._replace(epoch=1), epoch=1) == ["older_epoch"]


def test_an_open_gate_of_an_older_epoch_is_told_once_however_often_it_speaks():
    pair = following_pair()
    pair.b.set_role(2, "B", serving=False)
    refused: list[Reason] = []
    pair.b.link._hooks.on_refused = lambda reason, text: refused.append(reason)
    for _ in range(5):
        pair.now += 0.25
        for node in pair.nodes():
            node.link.tick(pair.now)
        pair.settle()
    assert refused == [Reason.OLDER_EPOCH] * len(refused)
    assert len(refused) >= 5
    assert pair.a.fences == [2]


def test_a_fence_of_an_older_epoch_says_nothing():
    pair = following_pair()
    pair.b.set_role(0, "", serving=False)
    pair.a.link._fence(0, "a test")
    pair.settle()
    pair.b.link._fence(-1, "a test")
    pair.settle()
    assert pair.a.fences == []


def test_a_replay_of_what_is_not_here_yet_is_out_of_turn():
    pair = following_pair()
    head = pair.b.state.journal.head
    with pytest.raises(LinkRefused) as caught:
        hears(pair, pair.b, Replay(head + 1, SCOPE, b"", "setText", b""), epoch=1)
    assert caught.value.reason is Reason.OUT_OF_TURN


@pytest.mark.parametrize("record", [Hello(1, 2, "A+B", "A", "a", b"", ""), Promise(7, 1)])
def test_what_belongs_before_the_proof_never_counts_after_it(record):
    pair = following_pair()
    if isinstance(record, Promise):
        assert hears(pair, pair.b, record, epoch=1) == []  # an answer to nothing
        return
    with pytest.raises(LinkRefused) as caught:
        hears(pair, pair.b, record, epoch=1)
    assert caught.value.reason is Reason.OUT_OF_TURN


def test_an_acknowledgement_to_a_node_that_serves_no_longer_counts_for_nothing():
    pair = following_pair()
    pair.a.set_role(1, "A", serving=False)
    acked = pair.a.acked
    assert hears(pair, pair.a, Ack(10_000), epoch=1) == []
    assert pair.a.acked == acked
