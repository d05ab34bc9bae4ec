"""One node's part in its pair, driven by hand: time, a link and a gate that are values."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from math import inf

import pytest

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.member import TURNS_AT_ONCE, Member
from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.peer_status import OwnHealth
from rtmp_sync.cluster.record import Author, InSync, Record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import CasResult, Identity, Node, Outcome, Policy, State

BINDING = DEFAULT.t_conf + DEFAULT.margin


@dataclass
class Peer:
    boot_id: str = "b1"
    epoch: int = 0
    gate_open: bool = False
    state: str = "INIT"
    position: tuple[int, int] = (0, 0)
    health: OwnHealth = field(default_factory=OwnHealth)
    heartbeat_at: float | None = inf  # it never falls silent, unless a test says so


@dataclass
class Link:
    connected: bool = True
    peer: Peer | None = field(default_factory=Peer)
    acked: int = 0
    oldest_unacked_at: float | None = None
    peer_caught_up: bool = False
    in_sync: bool = False
    lag_changes: int = 0


@dataclass
class Step:
    step: str
    switch_id: str
    final_seq: int = 0


class World:
    """A member, and everything around it in one place. `look` is what an adapter does."""

    def __init__(self, name: str = "A", policy: Policy | None = None) -> None:
        self.now = 1000.0
        self.replication = Link()
        self.position = (0, 0)
        self.record: Record | None = None  # the highest in the store
        self.gate = "closed"
        self.opens = True
        self.full = False  # the store takes no record
        self.done: list[do.Action] = []
        nonces = (f"n{number}" for number in itertools.count())
        self.member = Member(
            Identity(name, f"{name.lower()}1", self.now - 100),
            DEFAULT,
            policy or Policy(),
            self,
            nonce=lambda: next(nonces),
            wall=lambda: "",
            now=self.now,
        )

    def wait(self, seconds: float) -> None:
        """Time passes, and the member runs all the while."""
        while seconds > 0:
            self.now += min(seconds, 0.25)
            seconds -= 0.25
            self.read()
            self.look()

    def read(self, peer_beat: str = "x") -> None:
        member = self.member
        member.read_began()
        sighting = Sighting(
            self.now, self.now, self.record, beat_written=member.beats, peer_beat=peer_beat
        )
        member.saw(sighting, self.now, nodes=("A", "B"), line="valid")

    def look(self) -> None:
        for _ in range(TURNS_AT_ONCE):
            self.member.gate_is(self.gate)
            former = self.member.node
            for action in self.member.turn(self.now).actions:
                self.perform(action)
            self.member.gate_is(self.gate)
            if self.member.node == former:
                break

    def perform(self, action: do.Action) -> None:
        self.done.append(action)
        match action:
            case do.Cas() if self.full:
                refused = CasResult(action.record.nonce, Outcome.REFUSED, self.now, "ENOSPC")
                self.member.tried(refused, self.record)
            case do.Cas():
                self.record = action.record
                landed = CasResult(action.record.nonce, Outcome.LANDED, self.now)
                self.member.tried(landed, action.record)
            case do.CloseGate():
                self.gate = "closed"
            case do.Promote() if self.member.may_open(action.record.epoch, self.now):
                self.position = (action.record.epoch, self.position[1] + 1)
                if self.opens:
                    self.gate = "open"
                else:
                    self.member.gate_failed(action.record.epoch)
            case do.Repair():
                self.replication.peer_caught_up = False
            case _:
                pass

    def happened(self, event: str) -> list[do.Happened]:
        return [one for one in self.done if isinstance(one, do.Happened) and one.event == event]

    def asked(self, kind: type[do.AskPromise] | type[do.CompareDigests]) -> int:
        return sum(isinstance(action, kind) for action in self.done)

    def begin(self) -> None:
        """The pair's very first record, and the gate open."""
        self.read()
        self.look()
        self.read()
        self.look()
        assert self.member.state is State.ACTIVE

    def sync(self) -> None:
        """The peer follows, and the record says so."""
        link = self.replication
        assert link.peer is not None
        link.peer_caught_up, link.acked = True, self.position[1]
        link.peer.epoch, link.peer.state = self.member.epoch, "READY"
        self.look()
        question = next(a for a in reversed(self.done) if isinstance(a, do.CompareDigests))
        self.member.compared(question.question, True)
        self.look()
        self.read()
        self.look()
        assert self.record is not None
        assert self.record.lists("B", "b1")

    def cut(self) -> None:
        self.replication.connected = False
        self.member.link_changed(False, self.now)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def active(world: World) -> World:
    world.begin()
    return world


# -- the way up ------------------------------------------------------------------------


def test_an_input_notes_a_fact_and_a_turn_acts_on_it(world: World) -> None:
    assert not world.member.turn(world.now).actions
    world.read()
    assert world.member.state is State.INIT
    turn = world.member.turn(world.now)
    assert turn.row == "first-record"
    assert world.member.node is turn.node
    assert world.member.ledger.rows == {"first-record": 1}


def test_a_change_of_state_is_told_with_the_row_that_made_it(active: World) -> None:
    *_, last = active.happened("state")
    assert last.fields == {
        "was": "CLAIMING",
        "now": "ACTIVE",
        "row": "serve",
        "why": "serving in epoch 1",
    }
    (began,) = active.happened("began")
    assert began.fields["row"] == "serve"


def test_from_the_first_record_to_an_open_gate(world: World) -> None:
    assert (world.member.role, world.member.authority) == ("closed", (0, -inf))
    world.read()
    world.look()
    assert world.member.state is State.CLAIMING
    assert world.member.beats
    assert world.member.wants_read  # with the heartbeat: that is the authority to open
    world.read()
    assert not world.member.wants_read
    assert world.member.authority == (0, -inf)  # not before the promotion
    world.look()
    assert (world.member.role, world.gate) == ("active", "open")
    assert world.member.authority == (1, world.now + DEFAULT.t_conf)
    assert world.member.took_part
    announced = world.member.announced
    assert (announced.epoch, announced.holder, announced.serving) == (1, "A", True)


def test_a_gate_that_does_not_open_takes_the_authority_away(world: World) -> None:
    world.opens = False
    world.read()
    world.look()
    world.read()
    world.look()
    assert world.member.state is State.FENCED
    assert world.member.authority == (0, -inf)
    assert "gate_mismatch" in world.member.alarms(world.now)


def test_without_authority_nothing_opens(active: World) -> None:
    assert active.member.may_open(1, active.now)
    assert not active.member.may_open(2, active.now)
    assert not active.member.may_open(1, active.now + DEFAULT.t_conf)


# -- what clients wait for -------------------------------------------------------------


def test_a_node_that_does_not_serve_lets_nothing_out(world: World) -> None:
    assert world.member.require_peer
    world.begin()
    assert not world.member.require_peer  # every claim opens alone
    world.member.fenced(9)
    world.look()
    assert world.member.require_peer


def test_a_peer_that_follows_is_taken_back_in_sync_and_then_waited_for(active: World) -> None:
    active.sync()
    assert active.member.require_peer
    assert active.happened("in_sync")


def test_a_lost_link_makes_it_go_on_alone_by_the_record_and_counts_what_that_may_cost(
    active: World,
) -> None:
    active.sync()
    ledger = active.member.ledger
    past = ledger.alone_changes
    active.position = (1, 8)
    active.member.acked(5)
    active.cut()
    assert active.member.require_peer  # until the record says so
    active.look()
    active.read()
    active.look()
    assert not active.member.require_peer
    active.position = (1, 12)
    active.wait(1.0)
    assert ledger.alone_changes - past == 7  # 6 to 12: the peer has nothing beyond 5
    assert ledger.degraded_seconds(active.now) >= 1.0
    active.replication.connected = True
    active.member.link_changed(True, active.now)
    active.sync()
    (*_, told) = active.happened("acknowledged_alone")
    assert (told.fields["first_seq"], told.fields["last_seq"]) == (6, 12)
    ranges = ledger.all_ranges
    active.wait(1.0)
    assert ledger.all_ranges == ranges


def test_an_acknowledgement_that_is_late_degrades_without_any_other_input(active: World) -> None:
    active.sync()
    active.position = (1, 8)
    active.wait(0.5)
    assert active.member.require_peer
    active.wait(DEFAULT.ack_timeout + 0.5)
    assert not active.member.require_peer


@pytest.mark.parametrize("mode", ["async", "strict"])
def test_only_semi_counts_time_alone(mode: str) -> None:
    world = World(policy=Policy(mode=mode))
    world.begin()
    world.wait(2.0)
    assert world.member.ledger.degraded_seconds(world.now) == 0.0
    assert world.member.require_peer is (mode == "strict")


# -- promises --------------------------------------------------------------------------


def test_one_promise_is_asked_for_at_a_time(active: World) -> None:
    active.now += DEFAULT.t_conf * 0.6
    active.look()
    active.look()
    assert active.asked(do.AskPromise) == 1
    active.member.promised(1, None)
    active.look()
    assert active.asked(do.AskPromise) == 2
    active.member.promised(1, active.now)
    assert active.member.authority == (1, active.now + DEFAULT.t_conf)


def test_a_standby_promises_to_the_holder_it_reads_and_claims_nothing_meanwhile() -> None:
    world = World("B")
    a = World()
    a.begin()
    world.record = a.record
    assert world.replication.peer is not None
    world.replication.peer.boot_id = "a1"
    world.read()
    world.look()
    assert world.member.give_promise(2, world.now) is None
    assert world.member.give_promise(1, world.now) == DEFAULT.t_conf
    assert world.member.node.promised_until == world.now + BINDING


# -- comparisons -----------------------------------------------------------------------


def test_the_copies_are_compared_now_and_then(active: World) -> None:
    active.sync()
    before = active.asked(do.CompareDigests)
    active.wait(Policy().digest_seconds - 1)
    assert active.asked(do.CompareDigests) == before
    active.wait(2.0)
    assert active.asked(do.CompareDigests) == before + 1


def test_async_compares_a_copy_that_is_never_recorded() -> None:
    world = World(policy=Policy(mode="async", digest_seconds=5.0))
    world.begin()
    world.wait(10.0)
    assert world.asked(do.CompareDigests) == 0
    world.replication.peer_caught_up = True
    world.wait(1.0)
    assert world.asked(do.CompareDigests) == 1


def test_copies_that_differ_are_told_recorded_and_repaired(active: World) -> None:
    active.sync()
    active.wait(Policy().digest_seconds + 1)
    (*_, asked) = [a for a in active.done if isinstance(a, do.CompareDigests)]
    active.member.compared(asked.question, False)
    active.look()
    active.read()
    active.look()
    assert active.happened("digest_mismatch")
    assert active.record is not None
    assert active.record.reason == "digest_mismatch"
    assert isinstance(active.done[-1], do.Repair)
    assert active.member.ledger.events["digest_mismatch"] == 1


def test_an_answer_from_the_link_before_says_nothing(active: World) -> None:
    active.sync()
    active.wait(Policy().digest_seconds + 1)
    (*_, asked) = [a for a in active.done if isinstance(a, do.CompareDigests)]
    active.member.link_changed(True, active.now)
    active.member.compared(asked.question, False)
    active.look()
    assert not active.happened("digest_mismatch")


def test_a_comparison_that_ends_with_the_service_says_nothing(active: World) -> None:
    """Its source stops feeding the peer then; the link, and with it the question, goes on."""
    active.sync()
    active.wait(Policy().digest_seconds + 1)
    (*_, asked) = [a for a in active.done if isinstance(a, do.CompareDigests)]
    active.now += DEFAULT.t_conf + 1
    active.look()
    assert active.happened("fenced")
    active.member.compared(asked.question, False)
    active.wait(2)
    assert active.member.state is State.ACTIVE
    assert not active.happened("digest_mismatch")
    assert not [action for action in active.done if isinstance(action, do.Repair)]


# -- stalls and probes -----------------------------------------------------------------

GONE = {"link": False, "admin": False}


def test_probes_that_fail_often_enough_are_evidence(world: World) -> None:
    for _ in range(DEFAULT.fall):
        world.now += DEFAULT.probe_interval
        world.member.probed(GONE, begun=world.now - 0.1, now=world.now)
    assert world.member.view(world.now).dead


def test_a_node_that_slept_through_its_probes_drops_them(world: World) -> None:
    for _ in range(DEFAULT.fall - 1):
        world.member.probed(GONE, begun=world.now, now=world.now)
    begun = world.now
    world.now += 60.0
    world.look()
    world.member.probed(GONE, begun=begun, now=world.now)  # all its waits ended at once
    view = world.member.view(world.now)
    assert (view.dead, view.misses) == (False, 0)
    assert world.happened("loop_lag")[0].fields["seconds"] == pytest.approx(59.5)


def test_an_active_one_that_wakes_after_its_deadline_says_for_how_long_it_slept(
    active: World,
) -> None:
    active.now += 60.0
    active.look()
    assert active.member.state is State.FENCED
    (event,) = active.happened("fenced")
    assert event.fields["reason"] == "fenced_on_resume"
    assert event.fields["paused_for"] == pytest.approx(59.5)


def test_what_a_peer_said_before_this_node_slept_is_not_what_it_says() -> None:
    world = World("B")
    assert world.replication.peer is not None
    world.member.link_changed(True, world.now)
    for last in (None, world.now):  # its heartbeats had not begun, or had
        world.replication.peer.heartbeat_at = last
        assert world.member.view(world.now + DEFAULT.ack_timeout).peer is not None
        assert world.member.view(world.now + 3 * DEFAULT.ack_timeout).peer is None
    world.replication.connected = False  # then it is the last that was heard, and known as such
    assert world.member.view(world.now + 60).peer is not None


def test_rejected_probes_are_an_alarm_and_no_evidence(world: World) -> None:
    for _ in range(DEFAULT.fall):
        world.member.probed({"admin": None}, begun=world.now, now=world.now)
    assert "probe_auth_rejected" in world.member.alarms(world.now)
    assert not world.member.view(world.now).dead


def test_the_links_end_makes_it_read_the_store_at_once_and_often(active: World) -> None:
    assert active.member.read_interval(active.now) == DEFAULT.hb_interval
    active.read()
    active.cut()
    assert active.member.wants_read
    assert active.member.read_interval(active.now) < DEFAULT.hb_interval / 2


# -- switchovers and operators ---------------------------------------------------------


def test_a_switchover_from_the_command_to_the_record_that_names_the_peer(active: World) -> None:
    active.sync()
    assert active.member.ask("switchover", "admin", active.now)
    assert not active.member.ask("pause", "admin", active.now)
    active.look()
    prepare = next(action for action in active.done if isinstance(action, do.Prepare))
    active.member.holding(prepare.switch_id, active.position[1])
    active.look()
    assert active.gate == "open"
    active.member.heard_step(Step("ready", prepare.switch_id, active.position[1]))
    active.look()
    active.read()
    active.look()
    assert active.gate == "closed"
    assert active.record is not None
    assert active.record.held_by("B", "b1")
    assert active.record.sync == (InSync("A", "a1"),)
    assert active.member.state is State.SYNCING
    answer = next(action for action in active.done if isinstance(action, do.Answer))
    assert answer.done
    assert active.member.view(active.now).request is None


def test_while_it_closes_for_a_switchover_it_has_no_authority(active: World) -> None:
    active.sync()
    active.member.ask("switchover", "admin", active.now)
    active.look()
    prepare = next(action for action in active.done if isinstance(action, do.Prepare))
    active.member.holding(prepare.switch_id, active.position[1])
    active.member.heard_step(Step("ready", prepare.switch_id, active.position[1]))
    active.member.turn(active.now)
    assert active.member.state is State.DRAINING
    assert active.member.authority == (0, -inf)


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (State.READY, do.Switchover("ready", "s1", final_seq=10)),
        (State.SUSPECT, None),  # it may be READY again in time
        (State.SYNCING, do.Switchover("abort", "s1")),
    ],
)
def test_a_standby_says_whether_a_switchover_can_be(
    world: World, state: State, answer: do.Switchover | None
) -> None:
    world.member.node = Node(state)
    world.position = (1, 10)
    world.member.heard_step(Step("prepare", "s1", 10))
    assert world.member.switch_answer() == answer


def test_a_standby_that_is_ready_again_answers_what_it_was_asked_in_doubt() -> None:
    world = World("B")
    a = World()
    a.begin()
    assert a.record is not None
    world.record = a.record.synced(Author("A", "a1", "x", ""), 1, "in_sync", InSync("B", "b1"))
    assert world.replication.peer is not None
    world.replication.peer.boot_id, world.replication.in_sync = "a1", True
    world.read()
    world.look()
    assert world.member.state == "READY"
    world.member.probed({"link": False}, begun=world.now, now=world.now)
    world.look()
    assert world.member.state == "SUSPECT"
    world.member.heard_step(Step("prepare", "s1", 0))
    assert world.member.switch_answer() is None
    for _ in range(DEFAULT.rise):
        world.member.probed({"link": True}, begun=world.now, now=world.now)
    world.look()
    assert do.Switchover("ready", "s1") in world.done


def test_a_wish_that_nobody_waits_for_any_more_is_forgotten(active: World) -> None:
    active.member.ask("force", "admin", active.now)
    active.member.withdraw()
    assert active.member.view(active.now).request is None


def test_an_edit_of_the_pair_file_is_told_once(active: World) -> None:
    for _ in range(3):
        sighting = Sighting(active.now, active.now, active.record)
        active.member.saw(sighting, active.now, line="valid", wished_holder="B")
        active.look()
    assert len(active.happened("request_pending")) == 1


def test_a_clean_stop_releases_and_has_nothing_left_to_do(active: World) -> None:
    active.gate = "closed"
    active.member.gate_is("closed")
    for action in active.member.leave(active.now).actions:
        active.perform(action)
    assert active.record is not None
    assert active.record.released
    active.read()
    last = active.member.leave(active.now)
    assert active.member.node.pending is None
    assert not last.actions


def heir() -> World:
    """Node B, in sync, when it has read that A let go."""
    world, a = World("B"), World()
    a.begin()
    assert a.record is not None
    author = Author("A", "a1", "x", "")
    listed = a.record.synced(author, 1, "in_sync", InSync("B", "b1"))
    world.record = listed.let_go(author, 1, "stopped")
    world.read()
    return world


def test_what_the_store_refuses_for_long_is_tried_again_and_told_once(active: World) -> None:
    active.sync()
    claimant = heir()
    for world in (active, claimant):
        world.full = True
    active.cut()
    for world in (active, claimant):
        world.done.clear()
        world.wait(60)
        tried = [action for action in world.done if isinstance(action, do.Cas)]
        told = [action.event for action in world.done if isinstance(action, do.Happened)]
        assert len(tried) > 60
        assert told.count("record_refused") + told.count("claim_failed") == 1
        assert len(told) < 5
        world.full = False
        world.wait(5)
    assert active.record is not None
    assert active.record.reason == "degraded"
    assert len(active.happened("degraded")) == 1
    assert claimant.member.state is State.ACTIVE


def test_a_wait_that_is_over_is_no_reason_to_look_all_the_time() -> None:
    """The store went away meanwhile, and with it the authority to open."""
    world = heir()
    world.look()
    assert world.member.state is State.CLAIMING
    world.member.could_not_read()
    world.now += 1
    world.look()
    assert world.member.next_look(world.now) == DEFAULT.probe_interval


def test_it_looks_again_when_a_wait_is_over_or_an_acknowledgement_is_due(active: World) -> None:
    assert active.member.next_look(active.now) == DEFAULT.probe_interval
    active.sync()
    active.position = (1, 50)
    active.look()
    active.now += DEFAULT.ack_timeout - 0.1
    assert active.member.next_look(active.now) == pytest.approx(0.1)
