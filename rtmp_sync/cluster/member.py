"""A member: one node's part in its pair, without I/O.

    inputs (of `Facts`): what was noticed
    turn(now): Facts  ->  View  ->  failover.decide  ->  Turn: what is to be done
    outputs: authority, require_peer, announced, what to read and when to look again

Inputs only note facts; a `turn` follows them. An adapter performs the actions of a turn in
their order, says with `gate_is` what the gate has become, and takes further turns until the
node does not change any more. Then it waits for an input, or for `next_look` to pass. After
each input and turn it grants `authority` to whatever applies writes. The watchdog is such an
adapter, with sockets and files; the simulation is another one.

Times are CLOCK_BOOTTIME seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from math import inf

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.alarms import alarms
from rtmp_sync.cluster.facts import Facts
from rtmp_sync.cluster.failover import beats, decide, give_promise, leave, require_peer
from rtmp_sync.cluster.ledger import Ledger
from rtmp_sync.cluster.peer_status import OwnRole
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.restraint import Restraint
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.surroundings import Surroundings
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import (
    SERVING,
    STANDING_BY,
    CasResult,
    Identity,
    Node,
    Policy,
    State,
    View,
)

__all__ = ["TURNS_AT_ONCE", "Member"]

TURNS_AT_ONCE = 8  # rows follow each other without a pause; more in a row would be a loop
SOONEST_LOOK_SECONDS = 0.005

NOBODY = (0, -inf)  # an authority that ended before anything began


class Member(Facts):
    """What it has noticed, and what it makes of that."""

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
        super().__init__(identity, timing, policy, around, nonce=nonce, wall=wall, now=now)
        self.node = Node()
        self.ledger = Ledger()
        self.sentence = ""
        self.took_part = False  # was READY or ACTIVE in this life
        self._restraint = Restraint()

    # -- what it shows ----------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.node.state

    @property
    def record(self) -> Record | None:
        return self.observer.record

    @property
    def epoch(self) -> int:
        if self.node.word is not None:
            return self.node.word.epoch
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
        record = self.node.word or self.record
        holder = record.holder if record is not None else ""
        is_open = self._gate == "open"
        return OwnRole(self.epoch, holder, is_open, self.role == "active", self.state.value)

    def alarms(self, now: float) -> dict[str, str]:
        """Name -> what it means now."""
        return alarms(
            self.situation(now),
            store_trouble=self._store_trouble,
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

    # -- inputs --------------------------------------------------------------------------

    def tried(self, result: CasResult, highest: Record | None) -> None:
        """What came of a `Cas`, and the highest record seen after it."""
        pending = self.node.pending
        awaited = pending.record.nonce if pending is not None else ""
        self.observer.tried(result, highest, awaited=awaited)
        self._pace.read_soon()

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
        peer, record = self._link_peer, self.record
        if peer is None or record is None:
            return None
        asker = (record.other(self.observer.identity.node_id), peer.boot_id, epoch)
        self.node, given = give_promise(self.node, self.view(now), asker, now)
        return self._timing.t_conf if given else None

    def switch_answer(self) -> do.Switchover | None:
        """As the standby: what is to be told about a switchover, now that so much is here."""
        if self.state is State.READY:
            return self._steps.answer(self._around.position[1])
        # in doubt is not out of step: it may be READY again in time
        return self._steps.refuse() if self.state is not State.SUSPECT else None

    @property
    def authority(self) -> tuple[int, float]:
        """The epoch in which writes may be applied and answers may leave, and until when."""
        epoch, until = self.observer.authority
        node = self.node
        if node.word is not None:
            epoch, until = node.word.epoch, inf
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
        peer, pending = self._link_peer, self.node.pending
        if self.node.word is not None:
            return True  # what the record lists is of before
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
        if claim is not None and claim.open_at is not None and claim.open_at > now:
            instants.append(claim.open_at)  # once that is past, a read gives the authority
        if (due := self._acks.due()) is not None and due > now:  # else it was seen
            instants.append(due)
        return max(SOONEST_LOOK_SECONDS, min(instants) - now)

    # -- inside ------------------------------------------------------------------------

    def view(self, now: float) -> View:
        """What is known at this instant."""
        return self._view(self.node, now)

    def situation(self, now: float) -> Situation:
        return Situation(self.node, self.view(now), now)

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
        if former.state is not self.state and not self._claims_in_vain(former):
            was, state = former.state.value, self.state.value
            self._tell("state", was=was, now=state, row=turn.row, why=turn.sentence)
        if (answer := self.switch_answer()) is not None:
            self._news.append(answer)  # READY again, with everything applied before
        self._compare_now_and_then(now)
        self._count_time_alone(now)
        self.ledger.acted(turn.row)
        return Turn(turn.node, self._told(now), turn.sentence, turn.row)

    def _told(self, now: float) -> tuple[do.Action, ...]:
        """What is to be done, and of what happened as much as a history should hold."""
        news, self._news = self._news, []
        told: list[do.Action] = []
        for action in news:
            if isinstance(action, do.Happened):
                self.ledger.happened(action)
                if (happened := self._restraint.admit(action, now)) is not None:
                    told.append(happened)
            else:
                told.append(action)
        return tuple(told)

    def _claims_in_vain(self, former: Node) -> bool:
        """The store refused this claim before, and that was told: it is tried twice a second."""
        rev = self.record.rev if self.record is not None else 0
        refused = self.node.told_refused == rev + 1
        return refused and State.CLAIMING in (former.state, self.state)

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
            case do.Repair() | do.CloseGate():  # this node's end of the question goes with it
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
        single = until == inf and self.node.word is None  # without a coordinator
        by_design = self._policy.mode != "semi" or single
        if self.serving and not by_design and not self.require_peer:
            self.ledger.alone(epoch, self._peer_has, head, now)
        elif (ended := self.ledger.together(head, now)) is not None:
            fields = asdict(ended)
            fields["seconds"] = round(ended.seconds, 3)
            self._tell("acknowledged_alone", **fields)


def _newly_landed(former: Node, node: Node) -> bool:
    was = former.claim is not None and former.claim.landed_at is not None
    return not was and node.claim is not None and node.claim.landed_at is not None
