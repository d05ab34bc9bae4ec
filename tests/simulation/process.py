"""One life of an origin: the real member, state, link and disk journal, and the thin adapters
between them, which here are models of `server.watchdog`, `performer` and `persistence`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.member import TURNS_AT_ONCE, Member
from rtmp_sync.cluster.peer_status import OwnHealth
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import Identity, Policy
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.simulation.errands import Wait, run
from tests.simulation.here import HERE
from tests.simulation.links import Links
from tests.simulation.pair_link import PairLink
from tests.simulation.pair_store import PairStore
from tests.simulation.service import Service
from tests.simulation.storing import Storing
from tests.simulation.turns import SimulatedTurn

if TYPE_CHECKING:
    from tests.simulation.node import Node

__all__ = ["Process"]

LEAVE_SECONDS = 3.0


class Process:
    """node: the machine that it runs on; its clock counts."""

    def __init__(self, node: Node, boot_id: str) -> None:
        world = node.world
        self.node, self.name, self.boot_id = node, node.name, boot_id
        self.world = world
        self.alive = True
        self.frozen = False
        self.gate_said: tuple[int, str] | None = None  # what the guard was told
        self.well = False  # was READY or ACTIVE
        self.thawed: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.stopping = False
        self._gate = "closed"
        self._filter_open = False  # though the gate was closed
        self._turning = False
        self._wanted = False  # a turn, as soon as the present one is over
        self._look = 0
        self._deadline = 0.0
        self.enter()

        setup, timing = world.setup, world.timing
        self.state = ReplicatedState(Journal(max_changes=setup.backlog_changes))
        self.storing: Storing | None = None
        if setup.disk != "off":
            self.storing = Storing(self, self.state, fsync=setup.disk == "fsync")
            self.state.temporary_stale = node.down_seconds > setup.grace_seconds
        self.commit = CommitPoint(require_disk=self.storing is not None)
        self.authority = Authority()
        self.turn = SimulatedTurn(self.state, self.authority, self.commit, self.after)
        self.turn.on_batch += [self.persist, self._feed]
        self.store = PairStore(self, self._learn, self._noticed)
        self.link: PairLink | None = None
        policy = Policy(
            mode=setup.mode,
            promote_lag_max=10 if setup.mode == "async" else None,
            cold_start_alone=2.5 * timing.t_conf if setup.cold_start_alone else float("inf"),
            guard_lost=setup.guard_lost,
            drain_seconds=setup.drain_seconds,
            digest_seconds=4 * timing.t_conf,
            failsafe=setup.failsafe,
            lb_path=setup.lb_path,
        )
        self.member = Member(
            Identity(self.name, boot_id, self.clock),
            timing,
            policy,
            self,
            nonce=node.nonce,
            wall=lambda: "",
            now=self.clock,
        )
        self.service = Service(
            self.state,
            self.turn,
            self.after,
            lambda message: world.verdicts.leaves(self, message),
            lambda: world.verdicts.accepted(self),
        )
        if self.storing is not None:
            self.storing.begin()
        self.store.start(self._started, self._misconfigured)

    # -- time --------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        return self.node.clock

    @property
    def runs(self) -> bool:
        return self.alive and not self.frozen

    @property
    def place(self) -> str:
        return self.name

    def enter(self) -> None:
        """What runs now is this process's."""
        HERE.clock, HERE.chance = self.node.read_clock, self.node.chance

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        self.world.schedule.after(seconds / self.node.rate, self._run, act, arguments)

    def _run(self, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        if self.frozen:
            self.thawed.append((act, arguments))
            return
        self.enter()
        act(*arguments)

    # -- what the member and the link look at ------------------------------------------

    @property
    def links(self) -> Links | None:
        return self.link.links if self.link is not None else None

    @property
    def replication(self) -> Links | None:
        return self.links

    @property
    def position(self) -> tuple[int, int]:
        return self.state.journal.position

    @property
    def epoch_served(self) -> int:
        return self.authority.epoch if self.turn.authorised else self.member.epoch

    @property
    def serving(self) -> bool:
        """Would apply a client's write and answer it at this instant."""
        return self.runs and self._gate == "open" and self.clock < self.authority.deadline

    @property
    def gate(self) -> str:
        """As read back: a packet filter may stay open when the origin itself is closed."""
        return "unknown" if self._gate == "closed" and self._filter_open else self._gate

    # -- life --------------------------------------------------------------------------

    def _started(self) -> None:
        self._probe()
        self.store.read()
        self.wake()

    def _misconfigured(self, _: Exception) -> None:
        """Exit code 2."""
        self.node.died(self, "configuration")

    def _learn(self, nodes: tuple[str, str]) -> None:
        if self.link is None:
            self.member.nodes = nodes
            self.link = PairLink(self, nodes)

    def stop(self) -> None:
        """SIGTERM."""
        if not self.stopping:
            self.stopping = True
            self.authority.end()
            self.after(LEAVE_SECONDS, self._exit)
            self._begin_turns()

    def _exit(self) -> None:
        self.node.died(self, "stopped")

    # -- probes ------------------------------------------------------------------------

    def _probe(self) -> None:
        member, links = self.member, self.links
        answers: dict[str, bool | None] = {"admin": self.world.answers(self)}
        if links is not None:
            answers["link"] = links.connected
        member.probed(answers, begun=self.clock, now=self.clock)
        member.self_tested(not self.node.sick)
        if not self.node.guard_alive:
            member.guard_died()
        cut_at = self.node.lb_cut_at
        age = self.world.schedule.now - cut_at if cut_at is not None else 0.2
        member.load_balancer_seen(age)
        if links is not None and links.exchange is not None:
            links.exchange.health = OwnHealth(not self.node.sick, age)
        # No turn for a probe alone: the next read, just as often, brings one.
        self.after(self.world.timing.probe_interval, self._probe)

    # -- the Changes -------------------------------------------------------------------

    def persist(self, batch: Batch) -> None:
        if self.storing is not None:
            self.storing.write(batch)

    def _feed(self, batch: Batch) -> None:
        if self.links is not None:
            self.links.send_batch(batch)

    def applied_from(self, epoch: int) -> None:
        self.world.verdicts.applied(self, epoch)

    # -- turns -------------------------------------------------------------------------

    def wake(self) -> None:
        if not self._wanted and not self.stopping:
            self._wanted = True
            if not self._turning:
                self.after(0.0, self._begin_turns)

    def _begin_turns(self, look: int = 0) -> None:
        if self._turning or (look and look != self._look):
            return
        self._turning, self._wanted = True, False
        run(self._leave() if self.stopping else self._turns(), self._turned, self._turned)

    def _turned(self, _: object) -> None:
        self._turning = False
        if not self.alive:
            return
        if self.stopping:
            self._begin_turns()
            return
        if self._wanted:
            self.after(0.0, self._begin_turns)
        self._look += 1
        look = self.member.next_look(self.clock)
        if look == self.world.timing.probe_interval:
            look *= 1.5  # nothing is due; the next read will bring a turn before
        self.after(look, self._begin_turns, self._look)

    async def _turns(self) -> None:
        member = self.member
        for _ in range(TURNS_AT_ONCE):
            before = member.node
            member.gate_is(self.gate)
            await self._take(member.turn(self.clock))
            if member.node == before or self.stopping:
                break

    async def _leave(self) -> None:
        self._close_gate("stop")
        while True:
            self.member.gate_is(self.gate)
            turn = self.member.leave(self.clock)
            await self._take(turn)
            if not turn.actions and self.member.node.pending is None:
                self._exit()
                return
            await Wait(
                lambda resume, _: self.after(self.world.timing.probe_interval / 5, resume, None)
            )

    async def _take(self, turn: Turn) -> None:
        world = self.world
        if turn.row:
            world.rows.add(turn.row)
        if world.tracing and (turn.actions or turn.row):
            world.trace(lambda: f"{self.boot_id} {turn.state} [{turn.row}] {turn.sentence}")
        self.commit.set_require_peer(self.member.require_peer)
        for action in turn.actions:
            await self._perform(action)
        self.member.gate_is(self.gate)
        self.authority.gate_open = self._gate == "open"
        self._extend()
        if self.link is not None:
            self.link.look()
        self.store.read_if_wanted()
        self.well = self.well or self.member.took_part
        if turn.row == "ready":
            self.node.away_long = self.node.forced_copy = False  # it has the other one's copy

    def _noticed(self) -> None:
        """The store told something."""
        self._extend()
        self.wake()

    def _extend(self) -> None:
        epoch, until = self.member.authority
        if until == float("-inf"):
            self.authority.revoke()
            return
        self.authority.grant(epoch, until)
        self.world.verdicts.granted(self)
        if until > self._deadline and self._gate == "open":
            self._deadline = until
            self.after(max(0.0, until - self.clock), self._check_deadline)

    def _check_deadline(self) -> None:
        if self._gate == "open" and not self.authority.valid(self.clock):
            self._close_gate("the authority ran out")
            self.wake()

    # -- what a turn asks for ----------------------------------------------------------

    async def _perform(self, action: do.Action) -> None:
        match action:
            case do.CloseGate():
                self._close_gate(action.reason)
            case do.Promote():
                await self._promote(action)
            case do.Demote():
                self._let_go()
            case do.Cas():
                self.store.cas(action.record)
            case do.AskPromise():
                self._ask_promise(action.epoch)
            case do.CompareDigests():
                self._compare(action.question)
            case do.HoldWrites():
                self.service.hold(action.on)
            case do.Prepare():
                self.service.hold(True)
                head = self.state.journal.head
                self.member.holding(action.switch_id, head)
                self._tell_peer(do.Switchover("prepare", action.switch_id, final_seq=head))
            case do.Switchover():
                self._tell_peer(action)
            case do.Repair():
                if self.links is not None:
                    self.links.repair()
            case do.Answer():
                self.node.wish = ""
            case do.Happened():
                self._count(action)

    def _tell_peer(self, step: do.Switchover) -> None:
        if self.link is not None:
            self.link.tell(step)

    def _count(self, action: do.Happened) -> None:
        names = {"degraded": "degrades", "failover": "takeovers", "digest_mismatch": "mismatches"}
        if action.event in names:
            self.world.count(names[action.event])
        if action.event != "state":  # the turn was traced
            self.world.trace(lambda: f"{self.boot_id} {action.event} {action.fields}")

    def _close_gate(self, why: str) -> None:
        if self._gate == "open":
            self.world.trace(lambda: f"{self.boot_id} closes: {why}")
        self.authority.revoke()
        self.authority.gate_open = False
        self._filter_open = self.node.gate_stuck and self.gate != "closed"
        self._gate = "closed"
        self.service.cut()

    async def _promote(self, action: do.Promote) -> None:
        record, member = action.record, self.member
        if not member.may_open(record.epoch, self.clock):
            return
        self.authority.grant(*member.authority)
        self.node.forced_copy |= member.node.word is not None
        self._let_go()
        stale, empty = self.state.temporary_stale or self.node.away_long, self.state.empty
        self.node.away_long = stale  # until its gate opens without what was temporary
        self.state.start_epoch(record.epoch, self.boot_id, record.history_id, lossy=action.lossy)
        self.turn.commit_journal()
        if self.storing is not None:
            await self.storing.written(self.state.journal.head)
        if not member.may_open(record.epoch, self.clock):
            self.authority.revoke()
            return
        self.authority.grant(*member.authority)
        self.gate_said = (record.epoch, self.boot_id)
        if self.node.gate_shut:
            member.gate_failed(record.epoch)
            self._close_gate("it did not open")
            return
        self._gate = "open"
        self.world.gate_opened()
        self.world.trace(lambda: f"{self.boot_id} OPENS in epoch {record.epoch}: {record.reason}")
        self.service.promoted(record.epoch)
        self.world.verdicts.opened(self, record, temporary_dropped=stale, empty=empty)
        self.node.away_long = False

    def _let_go(self) -> None:
        self.service.let_go()
        self.commit.reset(self.state.journal.head)

    def _ask_promise(self, epoch: int) -> None:
        def answered(asked_at: float | None) -> None:
            self.member.promised(epoch, asked_at)
            self._extend()
            self.wake()

        if self.links is None:
            answered(None)
        else:
            self.links.promise(epoch, answered)

    def _compare(self, question: int) -> None:
        def answered(agrees: bool) -> None:
            self.member.compared(question, agrees)
            self.wake()

        if self.links is None:
            answered(False)
        else:
            self.links.compare(answered)
