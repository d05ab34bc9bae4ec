"""What one node has noticed, of the store, of its peer and of itself: the inputs of a member.

Each input only notes a fact; `view` is all of them at one instant, for the failover table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.ack_watch import AckWatch
from rtmp_sync.cluster.comparison import Comparison
from rtmp_sync.cluster.observer import Observer, Sighting
from rtmp_sync.cluster.pace import Pace
from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.surroundings import LinkPeer, Surroundings
from rtmp_sync.cluster.switch_steps import SwitchStep, SwitchSteps
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import (
    SELF_TESTS,
    SERVING,
    Identity,
    Node,
    Peer,
    Policy,
    View,
)
from rtmp_sync.cluster.wishes import Wishes

__all__ = ["Facts"]

# What became of the operator's line -> how the history calls that.
LINE_EVENTS = {
    "missing": "config_missing",
    "invalid": "config_invalid",
    "rejected": "request_rejected",
}


class Facts:
    """`nonce` gives a new unique string each time, `wall` the wall time for readers of records."""

    def __init__(
        self,
        identity: Identity,
        timing: Timing,
        policy: Policy,
        around: Surroundings,
        *,
        nonce: Callable[[], str],
        wall: Callable[[], str],
        now: float,
    ) -> None:
        self.observer = Observer(identity, timing)
        self.nodes: tuple[str, str] | None = None  # in slot order, once the store was read
        self._timing = timing
        self._policy = policy
        self._around = around
        self._nonce = nonce
        self._wall = wall
        self._acks = AckWatch(timing.ack_timeout)
        self._comparison = Comparison(policy.digest_seconds, now)
        self._steps = SwitchSteps()
        self._wishes = Wishes()
        read_seconds = min(timing.probe_interval, timing.hb_interval)
        self._pace = Pace(timing.probe_interval, read_seconds, now)
        self._gate = "closed"
        self._store_trouble = ""
        self._line = "none"
        self._rejected = False
        self._guard_lost = False
        self._clients: int | None = None
        self._self_test_fails = 0
        self._self_test_reason = ""
        self._lb_checks_age: float | None = None
        self._peer_heard_at = -inf
        self._open_failed = 0
        self._fenced_by = 0
        self._link_fell_silent = False
        self._link_at = now  # when the link came or went
        self._heard_epoch = 0  # that the peer had read when the last read began
        self._late_by = 0.0  # from a stall to the turn after it
        self._asking = False  # the peer, for a promise
        self._peer_has = 0  # what the peer has acknowledged in this epoch, also by older links
        self._news: list[do.Action] = []  # to be done or told with the next turn

    # -- inputs: the store -------------------------------------------------------------

    def renamed(self, node_id: str) -> None:
        """The store spells this node's name so."""
        self.observer.renamed(node_id)

    def read_began(self) -> None:
        """What is wanted from now on is wanted of another read."""
        self._pace.read_began()
        link, peer = self._around.replication, self._link_peer
        heard = link is not None and link.connected
        self._heard_epoch = peer.epoch if heard and peer is not None else 0

    def saw(
        self,
        sighting: Sighting,
        now: float,
        *,
        nodes: tuple[str, str] | None = None,
        line: str = "none",
        wished_holder: str | None = None,
    ) -> None:
        """A read succeeded; the rest as in `coordinators.base.Reading`."""
        self.observer.saw(sighting, at_least_epoch=self._heard_epoch)
        if line != self._line and line in LINE_EVENTS:
            self._tell(LINE_EVENTS[line])
        self._line = line
        if self.nodes is None:
            self.nodes = nodes
        wished = wished_holder is not None and wished_holder != self.observer.identity.node_id
        if self._wishes.note_edit(wished, now):
            self._tell("request_pending", holder=wished_holder)

    def could_not_read(self, trouble: str = "hung") -> None:
        """trouble: what is wrong with the store: "hung", "no_quorum" or in its own words."""
        self.observer.could_not_read()
        self._store_trouble = trouble

    # -- inputs: the peer --------------------------------------------------------------

    def link_changed(self, up: bool, now: float) -> None:
        """The link works, or has just ended."""
        self._comparison.forget()
        self._steps.link_changed()
        self._acks.restart()
        self._link_at = now
        self._link_fell_silent = not up and self._silent_for(now) > 0.8 * self._timing.ack_timeout
        if not up:
            self._pace.hurry(now)

    def acked(self, seq: int) -> None:
        """The peer has everything up to `seq`."""
        self._peer_has = max(self._peer_has, seq)

    def promised(self, epoch: int, asked_at: float | None) -> None:
        """The one answer to an `AskPromise`: when it was sent, None when it was refused."""
        self._asking = False
        if asked_at is not None:
            self.observer.promised(epoch, asked_at)

    def compared(self, question: int, agrees: bool) -> None:
        """The answer to a `CompareDigests`."""
        if self._comparison.answered(question, agrees) and not agrees:
            self._tell("digest_mismatch")

    def fenced(self, epoch: int) -> None:
        """Somebody knows of this epoch."""
        self._fenced_by = max(self._fenced_by, epoch)
        self._pace.read_soon()

    def heard_step(self, step: SwitchStep) -> None:
        """A step of a planned switchover; `switch_answer` may have something to say now."""
        self._steps.heard(step)
        self._pace.read_soon()

    def probed(self, answers: Mapping[str, bool | None], *, begun: float, now: float) -> None:
        """A round of probes: path -> answered; None is "answered, but rejected us"."""
        self._notice_stall(now)
        if begun < self._pace.stalled_at:
            return  # this node slept through its own probes
        self._rejected = None in answers.values()
        self.observer.probed(answers, now)

    # -- inputs: this node -------------------------------------------------------------

    def gate_is(self, gate: str) -> None:
        """As read back: "open", "closed" or "unknown"."""
        self._gate = gate

    def gate_failed(self, epoch: int) -> None:
        """A `Promote` did not get the gate open."""
        self._open_failed = epoch

    def holding(self, switch_id: str, final_seq: int) -> None:
        """A `Prepare` holds writes; `final_seq` is the last one."""
        self._steps.holding(switch_id, final_seq)

    def self_tested(self, ok: bool, reason: str = "") -> None:
        """reason: the check that fails: "loop_lag", "self_probe_rtmp" or "disk"."""
        self._self_test_fails = 0 if ok else self._self_test_fails + 1
        self._self_test_reason = reason if reason in SELF_TESTS and not ok else ""

    def load_balancer_seen(self, age: float | None) -> None:
        """Seconds since the load balancer looked at this node; None: it never did."""
        self._lb_checks_age = age

    def clients_are(self, count: int | None) -> None:
        """So many of those that were asked to leave are still here; None: nobody was asked."""
        self._clients = count

    def guard_died(self) -> None:
        self._guard_lost = True

    def ask(
        self,
        kind: str,
        by: str,
        now: float,
        *,
        reason: str = "",
        drain_seconds: float | None = None,
    ) -> bool:
        """An operator's command, a `Request`, to be settled by an `Answer`; False: another one
        is under way."""
        return self._wishes.command(kind, by, now, reason, drain_seconds)

    def withdraw(self) -> None:
        """The operator waits no longer."""
        self._wishes.settle()

    # -- at one instant ----------------------------------------------------------------

    def _view(self, node: Node, now: float) -> View:
        """What is known; `node` is who looks."""
        seen, link = self.observer, self._around.replication
        link_up = link is not None and link.connected
        epoch, until = seen.authority
        identity = seen.identity
        return View(
            identity=identity,
            timing=self._timing,
            policy=self._policy,
            author=Author(identity.node_id, identity.boot_id, self._nonce(), self._wall()),
            store=seen.store,
            record=seen.record,
            nodes=self.nodes,
            read_started=seen.read_started,
            beat_changed_at=seen.beat_changed_at,
            leases=seen.leases,
            holder_key=seen.holder_key,
            authority_epoch=epoch,
            authority_until=until,
            cas=seen.cas,
            link_up=link_up,
            link_fell_silent=self._link_fell_silent,
            peer=self._peer(now),
            peer_heard_at=self._peer_heard_at,
            peer_seen_at=max(self._peer_heard_at, seen.answered_at),
            noticed_at=now if link_up else max(self._link_at, seen.answered_at),
            misses=seen.misses,
            dead=seen.dead,
            answers=seen.answers,
            gate=self._gate,
            open_failed=self._open_failed,
            position=self._around.position,
            copy_in_sync=link is not None and link.in_sync,
            lag=link.lag_changes if link is not None else None,
            self_test_fails=self._self_test_fails,
            self_test_reason=self._self_test_reason,
            lb_checks_age=self._lb_checks_age,
            guard_lost=self._guard_lost,
            clients=self._clients,
            acked=link.acked if link is not None else 0,
            ack_late=self._ack_late(node, now),
            peer_caught_up=link is not None and link.peer_caught_up,
            digest_agrees=self._comparison.agrees,
            switch_ready=self._steps.is_ready,
            switch_aborted=self._steps.is_aborted,
            fenced_by=self._fenced_by,
            late_by=self._late_by,
            request=self._wishes.current,
        )

    @property
    def _link_peer(self) -> LinkPeer | None:
        """Who is at the other end of the link, or was last."""
        link = self._around.replication
        return link.peer if link is not None else None

    def _peer(self, now: float) -> Peer | None:
        """What it says, if that is not older than a link may be silent, and as much again: a
        node that wakes up from a stall finds the link of before, and nobody behind it any
        more. Without a link it is the last that was heard, for what it is worth."""
        link, peer = self._around.replication, self._link_peer
        if link is None or peer is None:
            return None
        heard_at = peer.heartbeat_at if peer.heartbeat_at is not None else self._link_at
        self._peer_heard_at = max(self._peer_heard_at, heard_at)
        if link.connected and now - heard_at > 2 * self._timing.ack_timeout:
            return None
        age = peer.health.lb_checks_age
        checked = age + now - heard_at if age >= 0 else None
        return Peer(peer.boot_id, peer.epoch, peer.gate_open, peer.state, peer.position, checked)

    def _silent_for(self, now: float) -> float:
        """Seconds since the peer was heard; 0 if it never was."""
        peer = self._link_peer
        heard_at = peer.heartbeat_at if peer is not None else None
        return now - heard_at if heard_at is not None else 0.0

    def _ack_late(self, node: Node, now: float) -> bool:
        link, head = self._around.replication, self._around.position[1]
        if link is None or node.state not in SERVING:
            self._acks.restart()  # a standby is owed nothing; what it may serve begins anew
            return False
        return self._acks.look(head, link.acked, link.oldest_unacked_at, now)

    def _notice_stall(self, now: float) -> None:
        if late := self._pace.ran(now):
            self._late_by = late
            self.observer.stalled()
            self._tell("loop_lag", seconds=round(late, 3))

    def _tell(self, event: str, **fields: object) -> None:
        self._news.append(do.Happened(event, fields))
