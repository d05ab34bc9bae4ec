"""The watchdog: a background task of an origin that decides, turn by turn, who serves.

    inputs (store, probes, link, own checks)  ->  Member  ->  turn  ->  perform  ->  one sentence

The deciding is `cluster.member`, the doing `performer`; this is the loop around them, the
link's hooks, and what the admin API shows. It alone writes the origin's authority, and it
closes the gate when that runs out, whatever else it is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime

import structlog

from rtmp_sync.cluster.ledger import Ledger
from rtmp_sync.cluster.member import TURNS_AT_ONCE, Member
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.surroundings import LinkPeer
from rtmp_sync.cluster.switch_steps import SwitchStep
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import Identity, Policy, State
from rtmp_sync.coordinators.base import Coordinator, Reading
from rtmp_sync.firewalls.base import GateState
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects
from rtmp_sync.server.overseer import Overseer
from rtmp_sync.server.performer import Performer
from rtmp_sync.server.prober import Prober, Probes
from rtmp_sync.server.renewals import Renewals
from rtmp_sync.server.requests import Requests, Result
from rtmp_sync.server.store_coherence import StoreCoherence
from rtmp_sync.server.store_reader import StoreReader
from rtmp_sync.server.tenure import HOLD_SECONDS, Tenure
from rtmp_sync.server.wall_clock import WallClock

__all__ = ["Result", "Watchdog"]

LEAVE_SECONDS = 3.0  # for the last record of a clean stop


class Watchdog:
    """`probes` ask whether the peer answers on paths other than the link.
    started_at: CLOCK_BOOTTIME of the process's start."""

    def __init__(
        self,
        effects: Effects,
        coordinator: Coordinator,
        *,
        boot_id: str,
        started_at: float,
        timing: Timing,
        policy: Policy,
        overseer: Overseer,
        probes: Probes,
    ) -> None:
        self.member = Member(
            Identity(coordinator.node_id, boot_id, started_at),
            timing,
            policy,
            effects,
            nonce=lambda: secrets.token_hex(8),
            wall=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"),
            now=now(),
        )
        self._effects = effects
        self._coordinator = coordinator
        self._timing = timing
        self._policy = policy
        self._overseer = overseer
        self._wake = asyncio.Event()
        self._tenure = Tenure(effects, self.member, self._authority_over)
        self._requests = Requests(self.member, self._wake.set)
        self._performer = Performer(
            effects,
            coordinator,
            self.member,
            overseer,
            answer=self._requests.answer,
            noticed=self._noticed,
        )
        self._reader = StoreReader(coordinator, self.member, self._saw)
        self._coherence = StoreCoherence(
            coordinator, name=self._name_nonce, judged=self._judge_store
        )
        self._prober = Prober(
            effects,
            self.member,
            probes,
            interval_seconds=timing.probe_interval,
            wake=self._noticed,
        )
        self._turning: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[object]] = set()
        self._nodes_known = False
        self._guard_lost = False
        self._told = ""  # the last sentence that said what was done
        self._wall_clock = WallClock()
        self._log = structlog.get_logger("rtmp_sync.watchdog")

    # -- life -------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises ConfigError when the store says that this node cannot take part."""
        nodes = await self._coordinator.start()
        if nodes is not None:
            await self._learn(nodes)
        loops = (
            self._beat_loop(),
            self._reader.run(),
            self._prober.run(),
            self._coherence.run(),
        )
        self._loops = [asyncio.ensure_future(loop) for loop in loops]
        self._turning = asyncio.ensure_future(self._turn_loop())
        for task in (*self._loops, self._turning):
            task.add_done_callback(self._loop_ended)

    async def stop(self) -> None:
        """A clean stop: close the gate, release, end. The guard does not restart it."""
        self._overseer.stopping()
        if self._turning is not None:
            await _cancel(self._turning)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._leave()
        self._tenure.stop()
        for task in (*self._loops, *self._errands):
            await _cancel(task)
        await self._performer.end()
        await self._prober.close()
        await self._coherence.stop()
        await self._coordinator.stop()
        self._overseer.close()

    def _loop_ended(self, task: asyncio.Task[object]) -> None:
        """A loop ended by an error of ours: close for good, and give the guard no more signs of
        life, so that it starts this origin anew."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.critical("watchdog_failed", exc_info=error)
        self._effects.authority.end()
        for loop in (*self._loops, self._turning):
            if loop is not None:
                loop.cancel()
        self._send_on_errand(self._give_up())

    async def _give_up(self) -> None:
        """Without a guard this process goes on, and so do its link and its pings: the peer has
        to hear that nobody serves here."""
        if not await self._performer.close_gate():
            return
        member, link = self.member, self._effects.replication
        member.gate_is("closed")
        if link is not None:
            role = member.announced
            link.set_role(
                epoch=role.epoch,
                holder=role.holder,
                gate_open=False,
                state=State.FENCED.value,
                serving=False,
            )

    # -- what it shows ----------------------------------------------------------------

    @property
    def state(self) -> str:
        return self.member.state.value

    @property
    def record(self) -> Record | None:
        return self.member.record

    @property
    def role(self) -> str:
        """ "active", "standby" or "closed"."""
        return self.member.role

    @property
    def took_part(self) -> bool:
        """It was READY or ACTIVE in this life."""
        return self.member.took_part

    @property
    def ledger(self) -> Ledger:
        return self.member.ledger

    @property
    def alarms(self) -> dict[str, str]:
        """Name -> what it means now."""
        found = self.member.alarms(now())
        if self._coherence.coherent is False:
            found["nas_not_coherent"] = (
                "what one origin writes to the store shows late at the other"
            )
        return found

    @property
    def store(self) -> dict[str, object]:
        """How the store does. coherent: whether each node sees at once what the other one
        writes; None while that was not tested, and where it need not be. What is said of safety
        does not hold while it is False."""
        return {"condition": self._coordinator.condition, "coherent": self._coherence.coherent}

    @property
    def renewals(self) -> Renewals:
        """Of the authority to serve; none were made while this origin only stood by."""
        return self._reader.renewals

    def health_active(self) -> bool:
        """The gate is open and the authority is valid."""
        return self.role == "active" and self._effects.authority.valid(now())

    def health_standby(self) -> bool:
        """READY, recorded in sync and free to claim."""
        return self.member.is_ready(now())

    async def request(
        self,
        kind: str,
        by: str = "admin",
        *,
        reason: str = "",
        drain_seconds: float | None = None,
    ) -> Result:
        """An operator's command, a kind of `cluster.view.Request`. reason: for a pause.
        drain_seconds: for a switchover, instead of the configuration's."""
        drain = self._policy.drain_seconds if drain_seconds is None else drain_seconds
        return await self._requests.command(
            kind,
            by,
            patience_seconds=drain + self._timing.binding + LEAVE_SECONDS,
            reason=reason,
            drain_seconds=drain_seconds,
        )

    # -- the link's hooks ---------------------------------------------------------------

    def on_link(self, up: bool) -> None:
        self.member.link_changed(up, now())
        self._coherence.link_changed(up)
        self._noticed()

    def on_store_nonce(self, nonce: str, stale: bool) -> None:
        me = self.member.observer.identity.node_id
        for node in self.member.nodes or ():
            if node != me:
                self._coherence.named(node, nonce, stale=stale)

    def on_role(self, _peer: LinkPeer) -> None:
        self._noticed()

    def on_caught_up(self) -> None:
        self._noticed()

    def on_fence(self, epoch: int, _holder: str) -> None:
        self.member.fenced(epoch)
        self._noticed()

    def on_acked(self, seq: int) -> None:
        self.member.acked(seq)
        if self.member.peer_counts:
            self._effects.commit.peer_acked(seq)
        if self.member.node.hold is not None:
            self._noticed()

    def on_applied(self) -> None:
        self._answer_switch()
        if self.member.state is State.SYNCING:
            self._noticed()

    def on_switchover(self, step: SwitchStep) -> None:
        self.member.heard_step(step)
        self._answer_switch()
        self._noticed()

    def give_promise(self, epoch: int) -> float | None:
        """Seconds for which this node will make no claim; None: it promises nothing."""
        return self.member.give_promise(epoch, now())

    def _answer_switch(self) -> None:
        answer, link = self.member.switch_answer(), self._effects.replication
        if answer is not None and link is not None:
            self._performer.tell(link, answer)

    # -- inputs -------------------------------------------------------------------------

    def _noticed(self) -> None:
        """The member knows something new: what it allows changes at once, the rest follows."""
        self._tenure.extend()
        self._reader.look()
        self._wake.set()

    def _saw(self, reading: Reading | None) -> None:
        if reading is not None and reading.nodes is not None and not self._nodes_known:
            learning = self._send_on_errand(self._learn(reading.nodes))
            learning.add_done_callback(self._loop_ended)  # without a link there is no pair
        self._noticed()

    async def _learn(self, nodes: tuple[str, str]) -> None:
        self._nodes_known = True
        self.member.renamed(self._coordinator.node_id)
        await self._effects.nodes_known(nodes)

    async def _beat_loop(self) -> None:
        while True:
            self._overseer.beat()
            if self._overseer.lost and not self._guard_lost:
                self._guard_lost = True
                self.member.guard_died()
                self._effects.history.record("guard_lost")
            if step := self._wall_clock.step():
                self._effects.history.record("clock_step", seconds=round(step, 3))
            self._tenure.hold_gate()
            await asyncio.sleep(min(self._timing.guard_interval, HOLD_SECONDS))

    def _name_nonce(self, nonce: str, stale: bool) -> None:
        if (link := self._effects.replication) is not None:
            link.name_nonce(nonce, stale=stale)

    def _judge_store(self, coherent: bool) -> None:
        event = "nas_coherent" if coherent else "nas_not_coherent"
        self._effects.history.record(event)

    # -- deciding -----------------------------------------------------------------------

    async def _turn_loop(self) -> None:
        while True:
            await self._turns()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.member.next_look(now())):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # a turn that wakes the next one must not keep others out

    async def _turns(self) -> None:
        """Turns until nothing changes any more."""
        for _ in range(TURNS_AT_ONCE):
            await self._look_at_gate()
            former = self.member.node
            await self._take(self.member.turn(now()), former.state)
            if self.member.node == former:
                break

    async def _take(self, turn: Turn, former: State) -> None:
        member = self.member
        self._effects.commit.set_require_peer(member.require_peer)
        self._report(turn, former)
        member.clients_are(self._effects.drain(member.state is State.DRAINING))
        await self._performer.perform(turn.actions)
        self._effects.authority.gate_open = await self._look_at_gate() == "open"
        self._tenure.extend()
        self._reader.look()
        if (link := self._effects.replication) is not None:
            if member.peer_counts:  # since this turn's record, perhaps
                self._effects.commit.peer_acked(link.acked)
            role = member.announced
            link.set_role(
                epoch=role.epoch,
                holder=role.holder,
                gate_open=role.gate_open,
                state=role.state,
                serving=role.serving,
            )

    async def _look_at_gate(self) -> GateState:
        gate = await self._effects.gate.verify()
        self.member.gate_is(gate)
        return gate

    def _report(self, turn: Turn, former: State) -> None:
        """The sentence of each turn, for people if something was done that is news."""
        moved = former is not turn.state
        if moved:
            self._overseer.state(self.state)
        acted = moved or bool(turn.row and turn.actions)
        tell = self._log.info if acted and turn.sentence != self._told else self._log.debug
        tell("turn", state=self.state, row=turn.row, sentence=turn.sentence)
        if acted:
            self._told = turn.sentence

    def _authority_over(self) -> None:
        """Close, even if a turn is under way and waits."""
        if self.member.serving:
            self._send_on_errand(self._performer.close_gate())
        self._wake.set()

    def _send_on_errand(self, work: Coroutine[None, None, object]) -> asyncio.Task[object]:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    # -- leaving ------------------------------------------------------------------------

    async def _leave(self) -> None:
        await self._performer.close_gate()
        while True:
            await self._look_at_gate()
            former = self.member.state
            turn = self.member.leave(now())
            await self._take(turn, former)
            if not turn.actions and self.member.node.pending is None:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.probe_interval):
                    await self._wake.wait()


async def _cancel(task: asyncio.Task[object]) -> None:
    if task.done():  # by an error of its own, which was logged
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
