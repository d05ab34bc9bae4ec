"""Two exchanges joined in memory, with a wire that delays, breaks and turns around."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.link import Link, LinkIdentity
from rtmp_sync.cluster.peer_status import OwnRole, ReplicationHooks
from rtmp_sync.cluster.sink import DivergentTail, Following
from rtmp_sync.cluster.source import Feeding
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.change import MAX_VALUE_BYTES
from rtmp_sync.state.journal import Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import (
    Ack,
    Bye,
    Delta,
    DigestResponse,
    PromiseRequest,
    Switchover,
    SyncRequest,
)
from rtmp_sync.wire.refusals import LinkLost, LinkRefused
from tests.support.changes import change_something, new_state

SCOPE = "text/_definst_"


class Node:
    def __init__(self, name: str, state: ReplicatedState) -> None:
        self.name = name
        self.state = state
        self.role = OwnRole()
        self.exchange: Exchange | None = None
        self.acked = 0
        self.caught_up = 0
        self.installed = 0
        self.tails: list[DivergentTail] = []
        self.let_go: list[Callable[[], None]] = []
        self.saves_at_once = True
        self.events: list[str] = []
        self.fences: list[int] = []
        self.promise_seconds: float | None = None
        self.steps: list[Switchover] = []

    @property
    def link(self) -> Exchange:
        assert self.exchange is not None
        return self.exchange

    def hooks(self) -> ReplicationHooks:
        return ReplicationHooks(
            on_acked=lambda seq: setattr(self, "acked", max(self.acked, seq)),
            on_caught_up=lambda: setattr(self, "caught_up", self.caught_up + 1),
            on_installed=lambda: setattr(self, "installed", self.installed + 1),
            on_divergent=self.save_tail,
            on_fence=lambda epoch, holder: self.fences.append(epoch),
            on_switchover=self.steps.append,
            give_promise=lambda epoch: self.promise_seconds,
            history=lambda event, **fields: self.events.append(event),
        )

    def save_tail(self, tail: DivergentTail, let_go: Callable[[], None]) -> None:
        self.tails.append(tail)
        self.let_go.append(let_go)
        if self.saves_at_once:
            let_go()

    def set_role(self, epoch: int, holder: str, *, serving: bool) -> None:
        state = "ACTIVE" if serving else "SYNCING"
        self.role = OwnRole(epoch, holder, gate_open=serving, serving=serving, state=state)
        if self.exchange is not None:
            self.exchange.set_role(self.role)

    def turn(self, now: float) -> None:
        batch = self.state.journal.take_batch()
        if batch is not None and self.exchange is not None:
            self.exchange.send_batch(batch, now)

    def write(self, now: float = 0.0, value: bytes = b"\x05", count: int = 1) -> None:
        obj = self.state.shared_object(SCOPE, "x", "T")
        for number in range(count):
            self.state.set_slot(obj, f"k{number}", value, self.state.next_version(obj))
        self.turn(now)


class Pair:
    """`wire[name]` holds what is on its way to that node."""

    def __init__(self, a: ReplicatedState | None = None, b: ReplicatedState | None = None) -> None:
        self.a = Node("A", a if a is not None else new_state())
        self.b = Node("B", b if b is not None else ReplicatedState())
        self.a.state.journal.take_batch()
        self.now = 0.0
        self.wire: dict[str, deque[tuple[int, bytes]]] = {"A": deque(), "B": deque()}
        self.links = 0

    def nodes(self) -> tuple[Node, Node]:
        return self.a, self.b

    def other(self, node: Node) -> Node:
        return self.b if node is self.a else self.a

    def connect(self) -> None:
        self.links += 1
        nonce = self.links.to_bytes(32)
        ends = [
            Link(LinkIdentity("A+B", "A", "a"), [b"s"], dials=True, nonce=nonce),
            Link(LinkIdentity("A+B", "B", "b"), [b"s"], dials=False, nonce=nonce),
        ]
        while not all(end.established for end in ends):
            for end, other in (ends, ends[::-1]):
                for lane, payload in end.messages_to_send():
                    other.receive_message(lane, payload)
        for node, end in zip(self.nodes(), ends, strict=True):
            node.exchange = Exchange(
                end, node.state, node.role, node.hooks(), silence=1.0, now=self.now
            )
        self.collect()

    def cut(self) -> None:
        for node in self.nodes():
            if node.exchange is not None:
                node.exchange.close()
                node.exchange = None
            self.wire[node.name].clear()

    def collect(self) -> None:
        for node in self.nodes():
            if node.exchange is not None:
                self.wire[self.other(node).name].extend(node.exchange.messages_to_send())

    def deliver(self, node: Node, count: int = 1) -> None:
        """One turn of a node's loop, with that many messages."""
        self.collect()
        queue = self.wire[node.name]
        for _ in range(min(count, len(queue))):
            lane, payload = queue.popleft()
            node.link.receive(lane, payload, self.now)
        node.link.end_turn()
        self.collect()

    def settle(self) -> None:
        """Until nobody has anything to say."""
        busy = True
        while busy:
            for node in self.nodes():
                node.link.send_bulk()
                self.deliver(node, 100)
            busy = any(self.wire.values()) or any(node.link.has_bulk for node in self.nodes())

    def serve(self, node: Node, epoch: int) -> None:
        node.set_role(epoch, node.name, serving=True)
        self.other(node).set_role(epoch, node.name, serving=False)

    def assert_same(self) -> None:
        one, other = self.a.state, self.b.state
        assert one.journal.position == other.journal.position
        assert one.journal.history_id == other.journal.history_id
        assert one.digest() == other.digest()
        assert one.recompute_digest() == one.digest()
        assert other.recompute_digest() == other.digest()


def following_pair() -> Pair:
    pair = Pair()
    pair.serve(pair.a, 1)
    pair.connect()
    pair.settle()
    pair.assert_same()
    return pair


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_nothing_acknowledged_is_lost_and_both_end_up_the_same(seed):
    rng = random.Random(seed)
    limit = rng.choice([200_000, 30])  # sometimes the backlog is too short for a partial resync
    pair = Pair(b=ReplicatedState(Journal(max_changes=limit)))
    active, epoch = pair.a, 1
    pair.serve(active, epoch)
    for _ in range(400):
        pair.now += 0.01
        standby = pair.other(active)
        what = rng.random()
        if what < 0.4:
            for _ in range(rng.randrange(4)):
                change_something(active.state, rng)
            active.turn(pair.now)
        elif what < 0.5 and active.exchange is None:
            pair.connect()
        elif what < 0.52:
            pair.cut()
        elif what < 0.54 and standby.state.journal.epoch == epoch:
            assert standby.state.journal.head >= active.acked  # I5
            if rng.random() < 0.5:
                pair.cut()
            epoch += 1
            standby.state.start_epoch(epoch, "boot", f"h{epoch}", lossy=rng.random() < 0.3)
            standby.turn(pair.now)
            standby.acked = 0
            active, standby = standby, active
            pair.serve(active, epoch)
        elif what < 0.55:
            active.state.journal.drop_backlog()
        elif active.exchange is not None:
            node = rng.choice(pair.nodes())
            if rng.random() < 0.3:
                node.link.send_bulk()
            else:
                pair.deliver(node, rng.randrange(1, 6))
        assert active.acked <= active.state.journal.head
    if active.exchange is None:
        pair.connect()
    active.turn(pair.now)
    pair.settle()
    pair.assert_same()
    standby = pair.other(active)
    assert active.link.source.caught_up
    assert active.acked == active.state.journal.head
    assert standby.link.sink.in_sync


def test_a_turn_is_one_delta_and_one_ack():
    pair = following_pair()
    pair.a.write(count=50)
    pair.collect()
    assert len(pair.wire["B"]) == 1
    pair.deliver(pair.b)
    assert len(pair.wire["A"]) == 1
    assert pair.a.acked < pair.a.state.journal.head
    pair.deliver(pair.a)
    assert pair.a.acked == pair.a.state.journal.head


def test_turns_that_arrive_together_are_acknowledged_once():
    pair = following_pair()
    for _ in range(5):
        pair.a.write()
    pair.deliver(pair.b, 5)
    assert len(pair.wire["A"]) == 1


def test_the_age_of_what_is_not_acknowledged_is_known():
    pair = following_pair()
    pair.a.write(now=3.0)
    pair.a.write(now=4.0)
    assert pair.a.link.source.oldest_unacked_at == 3.0
    pair.deliver(pair.b, 1)
    pair.now = 5.0
    pair.deliver(pair.a, 1)
    assert pair.a.link.source.oldest_unacked_at == 4.0
    assert pair.a.link.source.ack_seconds == 2.0


def test_a_value_too_large_for_one_message_leaves_in_parts():
    pair = following_pair()
    pair.a.write(value=bytes(MAX_VALUE_BYTES), count=4)
    pair.settle()
    pair.assert_same()


def test_the_source_hears_once_that_the_standby_has_caught_up():
    pair = following_pair()
    assert pair.a.caught_up == 1
    pair.a.write()
    pair.settle()
    assert pair.a.caught_up == 1


def test_deltas_during_a_copy_wait_for_its_end():
    pair = Pair()
    pair.a.write(count=3000, value=bytes(100))
    pair.serve(pair.a, 1)
    pair.connect()
    for node in (pair.b, pair.a, pair.b):
        pair.deliver(node, 100)
    assert pair.a.link.source.feeding is Feeding.COPYING
    pair.a.write(count=5)
    pair.a.link.send_bulk()
    pair.a.write(count=5)
    assert pair.b.state.empty
    pair.settle()
    pair.assert_same()
    assert pair.b.installed == 1


def test_a_snapshot_cut_within_a_turn_neither_loses_nor_repeats_a_change():
    pair = Pair()
    pair.serve(pair.a, 1)
    pair.connect()
    obj = pair.a.state.shared_object(SCOPE, "x", "T")
    pair.a.state.set_slot(obj, "k", b"1", 2)  # the turn is not over yet
    pair.deliver(pair.b, 10)
    pair.deliver(pair.a, 10)
    pair.a.state.set_slot(obj, "k", b"2", 3)
    pair.a.turn(0.0)
    pair.settle()
    pair.assert_same()


def test_the_old_copy_stays_until_the_new_one_is_complete():
    pair = following_pair()
    pair.a.write(count=2000, value=bytes(100))
    pair.settle()
    before = pair.b.state.digest()
    pair.cut()
    pair.a.state.journal.drop_backlog()
    pair.a.write(count=2000, value=bytes(101))
    pair.a.state.journal.drop_backlog()
    pair.connect()
    for node in (pair.b, pair.a, pair.b):
        pair.deliver(node, 100)
    pair.a.link.send_bulk()
    pair.deliver(pair.b, 100)
    assert pair.b.link.sink.following is Following.LOADING
    assert pair.b.state.digest() == before
    pair.cut()
    assert pair.b.state.digest() == before
    pair.connect()
    pair.settle()
    pair.assert_same()


def test_the_digest_is_compared_at_one_common_seq_while_changes_go_on():
    pair = following_pair()
    answers: list[bool] = []
    pair.a.link.source.on_compared = answers.append
    pair.a.link.source.compare_digests()
    pair.a.write()
    pair.settle()
    assert answers == [True]
    pair.a.state.join_client(SCOPE, "c", b"")  # within a turn there is nothing to compare
    pair.a.link.source.compare_digests()
    pair.collect()
    assert not pair.wire["B"]
    pair.a.turn(0.0)
    pair.settle()
    assert answers == [True, True]


def test_a_digest_that_differs_is_found():
    pair = following_pair()
    answers: list[bool] = []
    pair.a.link.source.on_compared = answers.append
    pair.a.link.source.compare_digests()
    pair.deliver(pair.b)
    pair.wire["A"].clear()
    pair.a.link.source.receive_digest(DigestResponse(pair.a.state.journal.head, b"x" * 16))
    assert answers == [False]


def test_a_seq_that_was_passed_is_asked_for_again():
    pair = following_pair()
    answers: list[bool] = []
    pair.a.link.source.on_compared = answers.append
    pair.a.link.source.compare_digests()
    pair.a.link.source.receive_digest(DigestResponse(pair.a.state.journal.head, b""))
    pair.settle()
    assert answers == [True]


def test_a_standby_that_still_catches_up_is_compared_when_it_has():
    pair = Pair()
    pair.a.write(count=2000, value=bytes(100))
    pair.serve(pair.a, 1)
    pair.connect()
    answers: list[bool] = []
    pair.a.link.source.on_compared = answers.append
    pair.a.link.source.compare_digests()
    pair.deliver(pair.b, 10)
    pair.deliver(pair.a, 10)
    assert answers == []
    pair.settle()
    assert answers == [True]
    pair.a.link.source.compare_digests()
    pair.b.link.sink.request(1)  # it begins again before it has answered
    pair.settle()
    assert answers == [True, True]


def test_a_comparison_ends_with_the_link():
    pair = following_pair()
    answers: list[bool] = []
    pair.a.link.source.on_compared = answers.append
    pair.a.link.source.compare_digests()
    pair.cut()
    assert answers == [False]


def test_a_lost_message_is_a_gap_that_ends_the_link():
    pair = following_pair()
    pair.a.write()
    pair.collect()
    pair.wire["B"].clear()
    pair.a.write()
    with pytest.raises(RemoteProtocolError, match="gap"):
        pair.settle()


def test_lag_is_what_the_active_is_known_to_have():
    pair = following_pair()
    pair.a.write(count=3)
    head = pair.a.state.journal.head
    pair.b.link.sink.hear_head(head, 10.0)
    assert pair.b.link.sink.lag_changes == 4  # the object and its slots
    assert pair.b.link.sink.lag_seconds(12.5) == 2.5
    assert not pair.b.link.sink.in_sync
    pair.settle()
    assert pair.b.link.sink.in_sync
    assert pair.b.link.sink.lag_seconds(13.0) == 0


def test_the_age_of_what_is_missing_is_that_of_the_oldest_that_still_is():
    sink = following_pair().b.link.sink
    head = sink._state.journal.head
    sink.hear_head(head + 1, 10.0)
    sink.hear_head(head + 3, 11.0)
    sink._state.journal.head = head + 2
    sink.hear_head(head + 3, 12.0)
    assert sink.lag_changes == 1
    assert sink.lag_seconds(12.5) == 1.5


def test_a_snapshot_below_the_own_position_is_refused_until_the_record_confirms_it():
    pair = following_pair()
    pair.a.write(count=5)
    pair.settle()
    pair.cut()
    before = pair.b.state.digest()
    pair.a = Node("A", new_state(history_id="h9"))
    pair.a.state.journal.take_batch()
    pair.a.set_role(1, "A", serving=True)
    pair.b.set_role(1, "B", serving=False)
    pair.connect()
    pair.settle()
    assert pair.b.events == ["refused_regressing_snapshot"]
    assert pair.b.state.digest() == before
    pair.a.write()
    pair.settle()
    assert pair.b.state.digest() == before
    pair.b.set_role(1, "A", serving=False)
    pair.settle()
    pair.assert_same()
    assert [batch.first_seq for tail in pair.b.tails for batch in tail.batches]


def test_a_divergent_tail_is_handed_out_before_it_is_dropped():
    pair = following_pair()
    pair.cut()
    shared = pair.b.state.journal.head
    for _ in range(3):
        pair.a.write()
    head = pair.a.state.journal.head
    pair.b.state.start_epoch(2, "boot", "h2", lossy=False)
    pair.b.turn(0.0)
    pair.serve(pair.b, 2)
    pair.connect()
    pair.settle()
    pair.assert_same()
    [tail] = pair.a.tails
    assert tail.epoch == 1
    assert (tail.batches[0].first_seq, tail.batches[-1].last_seq) == (shared + 1, head)


def test_a_deposed_nodes_unfinished_turn_is_part_of_its_tail():
    pair = following_pair()
    pair.cut()
    pair.a.state.join_client(SCOPE, "c", b"")
    pair.b.state.start_epoch(2, "boot", "h2", lossy=False)
    pair.b.turn(0.0)
    pair.serve(pair.b, 2)
    pair.connect()
    pair.settle()
    pair.assert_same()
    assert len(pair.a.tails) == 1


def test_a_deposed_nodes_unfinished_turn_is_on_its_disk_while_the_copy_is():
    pair = following_pair()
    pair.cut()
    written: list[int] = []
    pair.b.state.start_epoch(2, "boot", "h2", lossy=False)
    pair.b.turn(0.0)
    pair.serve(pair.b, 2)
    pair.connect()
    pair.a.link._hooks.on_batch = lambda batch: written.append(batch.last_seq)
    pair.a.state.join_client(SCOPE, "c", b"")
    pair.deliver(pair.a, 1)
    assert pair.a.link.sink.following is Following.REQUESTED
    assert written == [pair.a.state.journal.head]


def test_nothing_of_an_older_epoch_is_applied_and_its_sender_is_told():
    pair = following_pair()
    before = pair.b.state.digest()
    pair.b.set_role(2, "B", serving=False)
    pair.a.write()
    pair.settle()
    assert pair.b.state.digest() == before
    assert pair.a.fences == [2]


def test_a_promoted_node_takes_nothing_that_is_still_on_its_way():
    pair = following_pair()
    pair.a.write()
    pair.collect()
    pair.b.set_role(1, "A", serving=True)
    head = pair.b.state.journal.head
    pair.settle()
    assert pair.b.state.journal.head == head
    assert pair.a.acked == head


def test_an_acknowledgement_of_more_than_was_sent_ends_the_link():
    pair = following_pair()
    pair.b.link.link.send(Ack(pair.a.state.journal.head + 1))
    with pytest.raises(RemoteProtocolError, match="ACK of"):
        pair.settle()


def test_a_delta_that_leaves_a_gap_ends_the_link_and_changes_nothing():
    pair = following_pair()
    before = pair.b.state.digest()
    pair.a.link.link.send(Delta(pair.a.state.journal.head + 2, b"\x90"))
    with pytest.raises(RemoteProtocolError):
        pair.settle()
    assert pair.b.state.digest() == before


def test_a_second_request_makes_the_answers_to_the_first_void():
    pair = following_pair()
    pair.b.link.sink.request(1)
    pair.b.link.sink.request(1)
    pair.a.write()
    pair.settle()
    pair.assert_same()
    assert pair.a.link.source.caught_up


def test_a_request_is_left_until_somebody_serves():
    pair = Pair()
    pair.connect()
    pair.settle()
    pair.b.link.link.send(SyncRequest(1, "?", 0, 0))
    pair.settle()
    assert pair.a.link.source.feeding is Feeding.IDLE


def test_a_standby_that_outgrows_what_may_wait_is_given_up(monkeypatch):
    monkeypatch.setattr("rtmp_sync.cluster.source.MAX_WAITING_BYTES", 1000)
    pair = Pair()
    pair.a.write(count=3000, value=bytes(100))
    pair.serve(pair.a, 1)
    pair.connect()
    pair.deliver(pair.b, 100)
    pair.deliver(pair.a, 100)
    pair.a.write(count=1, value=bytes(2000))
    assert pair.a.link.source.overloaded
    pair.cut()


def test_a_quarter_of_a_copy_may_wait_for_its_end(monkeypatch):
    monkeypatch.setattr("rtmp_sync.cluster.source.MAX_WAITING_BYTES", 1000)
    pair = Pair()
    pair.a.write(count=3000, value=bytes(100))
    pair.serve(pair.a, 1)
    pair.connect()
    for node in (pair.b, pair.a):
        pair.deliver(node, 100)
    source = pair.a.link.source
    for _ in range(12):
        pair.a.link.send_bulk()
    assert source.copying
    pair.a.write(count=1, value=bytes(20_000))
    assert not source.overloaded
    while not source.overloaded:
        pair.a.write(count=1, value=bytes(20_000))
    assert source._waiting_bytes > source._copied_bytes / 4 > 20_000
    pair.cut()


def test_heartbeats_tell_the_position_and_keep_the_link():
    pair = following_pair()
    for step in range(1, 30):
        pair.now = step * 0.1
        for node in pair.nodes():
            node.link.tick(pair.now)
        pair.settle()
    peer = pair.b.link.peer
    assert peer.heartbeat_at is not None
    assert peer.hb_age(pair.now) < 0.3
    assert peer.position == pair.a.state.journal.position
    assert peer.gate_open
    assert not peer.ready


def test_silence_ends_the_link_but_not_when_this_loop_slept_itself():
    pair = following_pair()
    for step in range(1, 10):
        pair.now = step * 0.1
        pair.a.link.tick(pair.now)
    pair.a.link.tick(5.0)  # it slept: what came meanwhile may not have been read yet
    pair.a.link.tick(5.1)
    for step in range(2, 6):
        pair.a.link.tick(5.0 + step * 0.1)
    with pytest.raises(LinkRefused, match="nothing heard"):
        pair.a.link.tick(5.6)


def test_promises_and_switchover_steps_go_both_ways():
    pair = following_pair()
    heard: list[tuple[int, float]] = []
    pair.a.link.on_promise = lambda request_id, seconds: heard.append((request_id, seconds))
    pair.a.link.say(PromiseRequest(1, 1))
    pair.settle()
    pair.b.promise_seconds = 3.5
    pair.a.link.say(PromiseRequest(2, 1))
    pair.settle()
    assert heard == [(1, 0.0), (2, 3.5)]
    step = Switchover("prepare", "s1", 9, 2.0, 0)
    pair.a.link.say(step)
    pair.settle()
    assert pair.b.steps == [step]


def test_goodbye_ends_the_link():
    pair = following_pair()
    pair.a.link.say(Bye("stopping", "this origin stops"))
    with pytest.raises(LinkLost, match="stops"):
        pair.settle()
