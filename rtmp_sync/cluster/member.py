"""A member: one node's part in its pair, without I/O.

    inputs  ->  facts (Observer, AckWatch, Comparison, SwitchSteps, Wishes, Pace)
    turn(now): facts  ->  View  ->  failover.decide  ->  Turn: what is to be done
    outputs: authority, require_peer, announced, what to read and when to look again

Inputs only note facts; a `turn` follows them. An adapter performs the actions of a turn in
their order, says with `gate_is` what the gate has become, and takes further turns until the
node does not change any more. Then it waits for an input, or for `next_look` to pass. After
each input and turn it grants `authority` to whatever applies writes. The watchdog is such an
adapter, with sockets and files; the simulation is another one.

Times are CLOCK_BOOTTIME seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from math import inf

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.ack_watch import AckWatch
from rtmp_sync.cluster.alarms import alarms
from rtmp_sync.cluster.comparison import Comparison
from rtmp_sync.cluster.failover import beats, decide, give_promise, leave, require_peer
from rtmp_sync.cluster.ledger import Ledger
from rtmp_sync.cluster.observer import Observer, Sighting
from rtmp_sync.cluster.pace import Pace
from rtmp_sync.cluster.peer_status import OwnRole
from rtmp_sync.cluster.record import Author, Record
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.surroundings import Surroundings
from rtmp_sync.cluster.switch_steps import SwitchStep, SwitchSteps
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import CasResult, Identity, Node, Peer, Policy, State, View
from rtmp_sync.cluster.wishes import Wishes

__all__ = ["TURNS_AT_ONCE", "Member"]

SERVING = (State.ACTIVE, State.DRAINING)
STANDING_BY = (State.SYNCING, State.READY, State.SUSPECT)

TURNS_AT_ONCE = 8  # rows follow each other without a pause; more in a row would be a loop
SOONEST_LOOK_SECONDS = 0.005

NOBODY = (0, -inf)  # an authority that ended before anything began


class Member:
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
        self.node = Node()
        self.observer = Observer(identity, timing)
        self.ledger = Ledger()
        self.nodes: tuple[str, str] | None = None  # in slot order, once the store was read
        self.sentence = ""
        self.took_part = False  # was READY or ACTIVE in this life
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
        self._line = "none"
        self._rejected = False
        self._guard_lost = False
        self._self_test_fails = 0
        self._open_failed = 0
        self._fenced_by = 0
        self._link_at = now  # when the link came or went
        self._heard_epoch = 0  # that the peer had read when the last read began
        self._late_by = 0.0  # from a stall to the turn after it
        self._asking = False  # the peer, for a promise
        self._peer_has = 0  # what the peer has acknowledged in this epoch, also by older links
        self._news: list[do.Action] = []

    # -- what it shows ----------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.node.state

    @property
    def record(self) -> Record | None:
        return self.observer.record

    @property
    def epoch(self) -> int:
        return self.record.epoch if self.record is not None else 0

    @property
    def serving(self) -> bool:
        return self.state in SERVING

    @property
    def role(self) -> str:
        """ "active", "standby" or "closed"."""
        if self.serving and self._gate == "open":
            return "active"
        return "standby" if self.state in STANDING_BY else "closed"

    @property
    def announced(self) -> OwnRole:
        """What the peer is told of this node."""
        holder = self.record.holder if self.record is not None else ""
        is_open = self._gate == "open"
        return OwnRole(self.epoch, holder, is_open, self.role == "active", self.state.value)

    def alarms(self, now: float) -> dict[str, str]:
        """Name -> what it means now."""
        return alarms(
            self.situation(now),
            line=self._line,
            rejected_probes=self._rejected,
            stale_reads=self.observer.stale_reads,
        )

    def is_ready(self, now: float) -> bool:
        """READY, and free to take over: in sync by the record, or behind by no more than the
        operator accepts."""
        s = self.situation(now)
        free = not (s.paused or s.held_off or s.promised)
        return self.state is State.READY and s.eligible and s.healthy and free

    # -- inputs: the store -------------------------------------------------------------

    def renamed(self, node_id: str) -> None:
        """The store spells this node's name so."""
        self.observer.renamed(node_id)

    def read_began(self) -> None:
        """What is wanted from now on is wanted of another read."""
        self._pace.read_began()
        link, peer = self._around.replication, self._peer()
        heard = link is not None and link.connected and peer is not None
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
        self._line = line
        if self.nodes is None:
            self.nodes = nodes
        wished = wished_holder is not None and wished_holder != self.observer.identity.node_id
        if self._wishes.note_edit(wished, now):
            self._tell("request_pending", holder=wished_holder)

    def could_not_read(self) -> None:
        self.observer.could_not_read()

    def tried(self, result: CasResult, highest: Record | None) -> None:
        """What came of a `Cas`, and the highest record seen after it."""
        self.observer.tried(result, highest)
        self._pace.read_soon()

    # -- inputs: the peer --------------------------------------------------------------

    def link_changed(self, up: bool, now: float) -> None:
        """The link works, or has just ended."""
        self._comparison.forget()
        self._steps.link_changed()
        self._acks.restart()
        self._link_at = now
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
        self.observer.probed(answers)

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

    def self_tested(self, ok: bool) -> None:
        self._self_test_fails = 0 if ok else self._self_test_fails + 1

    def guard_died(self) -> None:
        self._guard_lost = True

    def ask(self, kind: str, by: str, now: float) -> bool:
        """An operator's "switchover", "pause", "resume" or "force", to be settled by an
        `Answer`; False: another one is under way."""
        return self._wishes.command(kind, by, now)

    def withdraw(self) -> None:
        """The operator waits no longer."""
        self._wishes.settle()

    # -- outputs -----------------------------------------------------------------------

    def turn(self, now: float) -> Turn:
        """Decide once. The node is the new one already."""
        self._notice_stall(now)
        return self._take(decide(self.node, self.view(now), now), now)

    def leave(self, now: float) -> Turn:
        """The same for a clean stop; until there are no actions and nothing is pending."""
        return self._take(leave(self.node, self.view(now), now), now)

    def give_promise(self, epoch: int, now: float) -> float | None:
        """Seconds for which this node will make no claim; None: it promises nothing."""
        peer, record = self._peer(), self.record
        if peer is None or record is None:
            return None
        asker = (record.other(self.observer.identity.node_id), peer.boot_id, epoch)
        self.node, given = give_promise(self.node, self.view(now), asker, now)
        return self._timing.t_conf if given else None

    def switch_answer(self) -> do.Switchover | None:
        """As the standby: what is to be told about a switchover, now that so much is here."""
        if self.state is not State.READY:
            return None
        return self._steps.answer(self._around.position[1])

    @property
    def authority(self) -> tuple[int, float]:
        """The epoch in which writes may be applied and answers may leave, and until when."""
        epoch, until = self.observer.authority
        node = self.node
        closing = node.drain is not None and node.drain.closing
        opening = node.state is State.CLAIMING and self._open_failed != epoch
        if epoch != node.epoch or closing or not (node.state in SERVING or opening):
            return NOBODY
        return epoch, until

    def may_open(self, epoch: int, now: float) -> bool:
        """Before a promotion, and again between it and the opening of the gate."""
        granted, until = self.authority
        return granted == epoch and now < until

    @property
    def require_peer(self) -> bool:
        """Whether what clients see waits for the peer. A node that does not serve shows
        nothing to anybody: it keeps the stricter answer."""
        if not self.serving and self.node.claim is None:
            return True
        return require_peer(self.node, self._policy.mode, self.record)

    @property
    def peer_counts(self) -> bool:
        """Whether an acknowledgement of the peer's releases what waits for it. While the record
        lists a copy in sync, or may do so by an attempt that is not settled, only that boot of
        the peer could take over: another one has the same Changes and could not serve them."""
        peer, pending = self._peer(), self.node.pending
        for record in (self.record, pending.record if pending is not None else None):
            if record is None or not record.sync:
                continue
            other = record.other(self.observer.identity.node_id)
            if peer is None or not record.lists(other, peer.boot_id):
                return False
        return True

    @property
    def beats(self) -> bool:
        """Whether the next read begins with this node's heartbeat."""
        return beats(self.node)

    @property
    def wants_read(self) -> bool:
        """A new read of the store is urgent."""
        return self._pace.wants_read

    def read_interval(self, now: float) -> float:
        """Seconds from one read to the next while none is urgent."""
        return self._pace.read_interval(now)

    def next_look(self, now: float) -> float:
        """Seconds until something may be due by itself."""
        instants = [now + self._timing.probe_interval]
        claim = self.node.claim
        if claim is not None and claim.open_at is not None:
            instants.append(claim.open_at)
        if (due := self._acks.due()) is not None and due > now:  # else it was seen
            instants.append(due)
        return max(SOONEST_LOOK_SECONDS, min(instants) - now)

    # -- inside ------------------------------------------------------------------------

    def situation(self, now: float) -> Situation:
        return Situation(self.node, self.view(now), now)

    def view(self, now: float) -> View:
        """What is known at this instant."""
        seen, link = self.observer, self._around.replication
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
            authority_epoch=epoch,
            authority_until=until,
            cas=seen.cas,
            link_up=link is not None and link.connected,
            peer=self._peer() if self._peer_is_fresh(now) else None,
            misses=seen.misses,
            dead=seen.dead,
            answers=seen.answers,
            gate=self._gate,
            open_failed=self._open_failed,
            position=self._around.position,
            copy_in_sync=link is not None and link.in_sync,
            lag=link.lag_changes if link is not None else None,
            self_test_fails=self._self_test_fails,
            guard_lost=self._guard_lost,
            acked=link.acked if link is not None else 0,
            ack_late=self._ack_late(now),
            peer_caught_up=link is not None and link.peer_caught_up,
            digest_agrees=self._comparison.agrees,
            switch_ready=self._steps.is_ready,
            switch_aborted=self._steps.is_aborted,
            fenced_by=self._fenced_by,
            late_by=self._late_by,
            request=self._wishes.current,
        )

    def _peer(self) -> Peer | None:
        link = self._around.replication
        peer = link.peer if link is not None else None
        if peer is None:
            return None
        return Peer(peer.boot_id, peer.epoch, peer.gate_open, peer.state, peer.position)

    def _peer_is_fresh(self, now: float) -> bool:
        """Its words are not older than a link may be silent, and as much again: a node that
        wakes up from a stall finds the link of before, and nobody behind it any more."""
        link = self._around.replication
        if link is None or link.peer is None or not link.connected:
            return True  # the last that was heard, for what it is worth
        heard_at = link.peer.heartbeat_at
        heard_at = heard_at if heard_at is not None else self._link_at
        return now - heard_at <= 2 * self._timing.ack_timeout

    def _ack_late(self, now: float) -> bool:
        link, head = self._around.replication, self._around.position[1]
        if link is None or not self.serving:
            self._acks.restart()  # a standby is owed nothing; what it may serve begins anew
            return False
        return self._acks.look(head, link.acked, link.oldest_unacked_at, now)

    def _notice_stall(self, now: float) -> None:
        if late := self._pace.ran(now):
            self._late_by = late
            self.observer.stalled()
            self._tell("loop_late", seconds=round(late, 3))

    def _tell(self, event: str, **fields: object) -> None:
        self._news.append(do.Happened(event, fields))

    def _take(self, turn: Turn, now: float) -> Turn:
        """The turn is mine: note what it changes, and say what is really to be done."""
        former, self.node = self.node, turn.node
        self._late_by = 0.0
        self.sentence = turn.sentence
        self.took_part |= self.state in (State.READY, State.ACTIVE)
        if _newly_landed(former, self.node):
            self._pace.read_soon()  # with the heartbeat: that is the authority to open
        for action in turn.actions:
            self._note(action, turn.row)
        if former.state is not self.state:
            was, state = former.state.value, self.state.value
            self._tell("state", was=was, now=state, row=turn.row, why=turn.sentence)
        self._compare_now_and_then(now)
        self._count_time_alone(now)
        self.ledger.acted(turn.row)
        actions, self._news = self._news, []
        for action in actions:
            if isinstance(action, do.Happened):
                self.ledger.happened(action)
        return replace(turn, actions=tuple(actions)) if actions or turn.actions else turn

    def _note(self, action: do.Action, row: str) -> None:
        """Have it done, unless it is under way already."""
        match action:
            case do.AskPromise():
                if self._asking:
                    return
                self._asking = True
            case do.CompareDigests():
                self._comparison.want()  # asked below, when no older question is open
                return
            case do.Repair():
                self._comparison.forget()
            case do.Promote():
                self._peer_has = self._around.position[1] + 1  # with the epoch's first Change
            case do.Answer():
                self._wishes.settle()
            case do.Happened(event, fields):
                self._tell(event, **fields, row=row)
                return
            case _:
                pass
        self._news.append(action)

    def _compare_now_and_then(self, now: float) -> None:
        link = self._around.replication
        if link is None or not link.connected:
            return
        in_sync = self.record is not None and bool(self.record.sync)
        if self._policy.mode == "async":  # there it is never recorded
            in_sync = link.peer_caught_up
        steady = self.state is State.ACTIVE and in_sync and self.node.hold is None
        if steady and self._comparison.due(now):
            self._comparison.want()
        if (question := self._comparison.begin(now)) is not None:
            self._news.append(do.CompareDigests(question))

    def _count_time_alone(self, now: float) -> None:
        epoch, until = self.authority
        head = self._around.position[1]
        by_design = self._policy.mode != "semi" or until == inf  # without a coordinator
        if self.serving and not by_design and not self.require_peer:
            self.ledger.alone(epoch, self._peer_has, head, now)
        elif (ended := self.ledger.together(head, now)) is not None:
            fields = asdict(ended)
            fields["seconds"] = round(ended.seconds, 3)
            self._tell("acknowledged_alone", **fields)


def _newly_landed(former: Node, node: Node) -> bool:
    was = former.claim is not None and former.claim.landed_at is not None
    return not was and node.claim is not None and node.claim.landed_at is not None
