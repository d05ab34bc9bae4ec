"""The watchdog: a background task of an origin that decides, turn by turn, who serves.

    observe (store, probes, link, own checks)  ->  View  ->  decide  ->  perform  ->  one sentence

The decision is `cluster.failover`, the bookkeeping `cluster.observer`, the doing `performer`;
this is the loop around them, the link's hooks, and what the admin API shows. It alone writes
the origin's authority, and it closes the gate when that runs out, whatever else it is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime

import structlog

from rtmp_sync.cluster.alarms import alarms
from rtmp_sync.cluster.failover import beats, decide, give_promise, leave, require_peer
from rtmp_sync.cluster.observer import Observer
from rtmp_sync.cluster.record import Author, Record
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import Identity, Node, Peer, Policy, State, View
from rtmp_sync.coordinators.base import Coordinator, Reading
from rtmp_sync.server.ack_watch import AckWatch
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects, LinkPeer
from rtmp_sync.server.guard_pipe import GuardPipe
from rtmp_sync.server.performer import Performer
from rtmp_sync.server.prober import Probe, Prober
from rtmp_sync.server.requests import Requests, Result
from rtmp_sync.server.store_reader import StoreReader
from rtmp_sync.server.switch_steps import SwitchStep, SwitchSteps

__all__ = ["Probe", "Result", "Watchdog"]


SERVING = (State.ACTIVE, State.DRAINING)
STANDING_BY = (State.SYNCING, State.READY, State.SUSPECT)

STALL_SECONDS = 1.0  # a loop late by more has slept through its own probes
DIGEST_SECONDS = 60.0  # between comparisons of the two copies
LEAVE_SECONDS = 3.0  # for the last record of a clean stop
TURNS_AT_ONCE = 8  # rows follow each other without a pause; more in a row would be a loop


class Watchdog:
    """`probe` asks whether the peer answers on a path other than the link; None without one.
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
        guard: GuardPipe,
        probe: Probe | None = None,
    ) -> None:
        self.node = Node()
        self.nodes: tuple[str, str] | None = None
        self.sentence = ""
        self.took_part = False  # was READY or ACTIVE in this life
        self._effects = effects
        self._coordinator = coordinator
        self._timing = timing
        self._policy = policy
        self._guard = guard
        self._observer = Observer(Identity(coordinator.node_id, boot_id, started_at), timing)
        self._performer = Performer(effects, coordinator, self._observer, guard, self._outcome)
        self._reader = StoreReader(
            coordinator,
            self._observer,
            interval_seconds=min(timing.probe_interval, timing.hb_interval),
            beats=lambda: beats(self.node),
            saw=self._saw,
        )
        self._prober = Prober(
            effects,
            self._observer,
            probe,
            interval_seconds=timing.probe_interval,
            wake=lambda: self._wake.set(),
        )
        self._turning: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None
        self._gate = "closed"
        self._line = "none"
        self._requests = Requests()
        self._performer.answer = self._requests.answer
        self._steps = SwitchSteps()
        self._acks = AckWatch(timing.ack_timeout)
        self._fenced_by = 0
        self._compared_at = now()
        self._looked_at = now()
        self._log = structlog.get_logger("rtmp_sync.watchdog")

    # -- life -------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises ConfigError when the store says that this node cannot take part."""
        nodes = await self._coordinator.start()
        if nodes is not None:
            await self._learn(nodes)
        loops = (self._beat_loop(), self._reader.run(), self._prober.run())
        self._loops = [asyncio.ensure_future(loop) for loop in loops]
        self._turning = asyncio.ensure_future(self._turn_loop())
        for task in (*self._loops, self._turning):
            task.add_done_callback(self._loop_ended)

    async def stop(self) -> None:
        """A clean stop: close the gate, release, end. The guard does not restart it."""
        if self._turning is not None:
            await _cancel(self._turning)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._leave()
        if self._deadline is not None:
            self._deadline.cancel()
        for task in (*self._loops, *self._errands):
            await _cancel(task)
        await self._performer.end()
        await self._prober.close()
        await self._coordinator.stop()
        self._guard.close()

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        """A loop ended by an error of ours: close, and give the guard no more signs of life,
        so that it starts this origin anew."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.critical("watchdog_failed", exc_info=error)
        self._effects.authority.revoke()
        for loop in self._loops:
            loop.cancel()
        self._send_on_errand(self._performer.close_gate())

    # -- what it shows ----------------------------------------------------------------

    @property
    def state(self) -> str:
        return self.node.state.value

    @property
    def record(self) -> Record | None:
        return self._observer.record

    @property
    def store(self) -> str:
        return self._observer.store.value

    @property
    def epoch(self) -> int:
        return self.record.epoch if self.record is not None else 0

    @property
    def role(self) -> str:
        """ "active", "standby" or "closed"."""
        if self.node.state in SERVING and self._gate == "open":
            return "active"
        return "standby" if self.node.state in STANDING_BY else "closed"

    @property
    def alarms(self) -> dict[str, str]:
        return alarms(
            self._situation(),
            line=self._line,
            rejected_probes=self._prober.rejected,
            stale_reads=self._observer.stale_reads,
        )

    def health_active(self) -> bool:
        """The gate is open and the authority is valid."""
        return self.role == "active" and self._effects.authority.valid(now())

    def health_standby(self) -> bool:
        """READY, recorded in sync and free to claim."""
        s = self._situation()
        free = not (s.paused or s.held_off or s.promised)
        return self.node.state is State.READY and s.listed and s.healthy and free

    async def request(self, kind: str, by: str = "admin") -> Result:
        """An operator's "switchover", "pause", "resume" or "force"."""
        if kind == "switchover" and self.node.state is not State.ACTIVE:
            return Result(False, f"this origin is not the active one: it is {self.state}")
        patience = self._policy.drain_seconds + self._timing.binding + LEAVE_SECONDS
        self._wake.set()
        return await self._requests.command(kind, by, patience_seconds=patience)

    async def request_failback(self, by: str = "admin") -> Result:
        """Give the service back to the first node of the pair."""
        if self.nodes is not None and self.record is not None:
            primary = self.nodes[0]
            if self.record.holder == primary:
                return Result(True, f"{primary} holds the service already")
        return await self.request("switchover", f"failback by {by}")

    # -- the link's hooks ---------------------------------------------------------------

    def on_link(self, up: bool) -> None:
        self._performer.link_count += 1
        self._performer.digest_agrees = None
        self._acks.restart()
        if not up:
            self._reader.hurry()
        self._wake.set()

    def on_role(self, _peer: LinkPeer) -> None:
        self._wake.set()

    def on_caught_up(self) -> None:
        self._wake.set()

    def on_fence(self, epoch: int, _holder: str) -> None:
        self._fenced_by = max(self._fenced_by, epoch)
        self._reader.read_now()
        self._wake.set()

    def on_acked(self, _seq: int) -> None:
        if self.node.hold is not None:
            self._wake.set()

    def on_applied(self) -> None:
        self._answer_switch()
        if self.node.state is State.SYNCING:
            self._wake.set()

    def on_switchover(self, step: SwitchStep) -> None:
        self._steps.heard(step)
        self._answer_switch()
        self._reader.read_now()
        self._wake.set()

    def give_promise(self, epoch: int) -> float | None:
        """Seconds for which this node will make no claim; None: it promises nothing."""
        peer, record = self._peer(), self.record
        if peer is None or record is None:
            return None
        asker = (record.other(self._observer.identity.node_id), peer.boot_id, epoch)
        self.node, given = give_promise(self.node, self._view(), asker, now())
        return self._timing.t_conf if given else None

    # -- observing ----------------------------------------------------------------------

    def _saw(self, reading: Reading | None) -> None:
        if reading is not None:
            self._line = reading.line
            self._note_wish(reading.wished_holder)
            if self.nodes is None and reading.nodes is not None:
                self.nodes = reading.nodes
                learning = self._send_on_errand(self._learn(reading.nodes))
                learning.add_done_callback(self._loop_ended)  # without a link there is no pair
        self._extend_authority()
        self._wake.set()

    async def _learn(self, nodes: tuple[str, str]) -> None:
        self.nodes = nodes
        self._observer.renamed(self._coordinator.node_id)
        await self._effects.nodes_known(nodes)

    def _note_wish(self, holder: str | None) -> None:
        """An operator edited the line, or did not."""
        wished = holder is not None and holder != self._observer.identity.node_id
        if self._requests.note_edit(wished):
            self._effects.history.record("request_pending", holder=holder)

    async def _beat_loop(self) -> None:
        while True:
            self._guard.beat()
            await asyncio.sleep(self._timing.guard_interval)

    def _peer(self) -> Peer | None:
        link = self._effects.replication
        peer = link.peer if link is not None else None
        if peer is None:
            return None
        return Peer(peer.boot_id, peer.epoch, peer.gate_open, peer.state, peer.position)

    def _ack_late(self) -> bool:
        link, head = self._effects.replication, self._effects.position[1]
        if link is None or self.node.state not in SERVING:
            self._acks.restart()  # a standby is owed nothing; what it may serve begins anew
            return False
        return self._acks.look(head, link.acked, link.oldest_unacked_at, now())

    def _view(self) -> View:
        seen, link = self._observer, self._effects.replication
        epoch, until = seen.authority
        switch_id, final_seq = self._performer.switch_id, self._performer.final_seq
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        identity = seen.identity
        return View(
            identity=identity,
            timing=self._timing,
            policy=self._policy,
            author=Author(identity.node_id, identity.boot_id, secrets.token_hex(8), at),
            store=seen.store,
            record=seen.record,
            nodes=self.nodes,
            read_started=seen.read_started,
            beat_changed_at=seen.beat_changed_at,
            authority_epoch=epoch,
            authority_until=until,
            cas=seen.cas,
            link_up=link is not None and link.connected,
            peer=self._peer(),
            misses=seen.misses,
            dead=seen.dead,
            answers=seen.answers,
            gate=self._gate,
            open_failed=self._performer.open_failed,
            position=self._effects.position,
            copy_in_sync=link is not None and link.in_sync,
            lag=link.lag_changes if link is not None else None,
            self_test_fails=self._prober.self_test_fails,
            guard_lost=self._guard.lost,
            acked=link.acked if link is not None else 0,
            ack_late=self._ack_late(),
            peer_caught_up=link is not None and link.peer_caught_up,
            digest_agrees=self._performer.digest_agrees,
            switch_ready=self._steps.is_ready(switch_id, final_seq),
            switch_aborted=self._steps.is_aborted(switch_id),
            fenced_by=self._fenced_by,
            request=self._requests.current,
        )

    def _situation(self) -> Situation:
        return Situation(self.node, self._view(), now())

    # -- deciding -----------------------------------------------------------------------

    async def _turn_loop(self) -> None:
        while True:
            self._notice_stall()
            await self._turns()
            self._looked_at = now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_look()):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # a turn that wakes the next one must not keep others out

    def _notice_stall(self) -> None:
        if now() - self._looked_at > self._timing.probe_interval + STALL_SECONDS:
            self._effects.history.record("loop_late", seconds=now() - self._looked_at)
            self._observer.stalled()

    async def _turns(self) -> None:
        """Turns until nothing changes any more."""
        for _ in range(TURNS_AT_ONCE):
            self._gate = await self._effects.gate.verify()
            before = self.node
            await self._take(decide(self.node, self._view(), now()))
            if self.node == before:
                break
        self._compare_now_and_then()

    async def _take(self, turn: Turn) -> None:
        former, self.node = self.node, turn.node
        serving = self.node.state in SERVING or self.node.claim is not None
        if serving:
            self._effects.commit.set_require_peer(require_peer(self.node, self._view()))
        for action in turn.actions:
            await self._performer.perform(action)
        self._gate = await self._effects.gate.verify()
        self._effects.authority.gate_open = self._gate == "open"
        self._extend_authority()
        self._tell_role()
        if _newly_landed(former, self.node):
            self._reader.read_now()  # with the heartbeat: that is the authority to open
        if former.state is not self.node.state:
            self.took_part |= self.node.state in (State.READY, State.ACTIVE)
            self._guard.state(self.state)
            self._log.info("turn", was=former.state.value, state=self.state, why=turn.sentence)
        elif turn.sentence != self.sentence:
            self._log.debug("turn", state=self.state, why=turn.sentence)
        self.sentence = turn.sentence

    def _extend_authority(self) -> None:
        """Give the origin the authority that was observed, while it serves; take it else."""
        authority, (epoch, until) = self._effects.authority, self._observer.authority
        handing_over = self.node.drain is not None and self.node.drain.closing
        if self.node.state not in SERVING or handing_over or epoch != self.node.epoch:
            if self.node.claim is None:
                authority.revoke()
            return
        authority.grant(epoch, until)
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        wait = min(max(0.0, until - now()), 3600.0)  # without a coordinator it is infinite
        self._deadline = loop.call_later(wait, self._check_deadline)

    def _check_deadline(self) -> None:
        """The authority ran out: close, even if a turn is under way and waits."""
        if self.node.state in SERVING and not self._effects.authority.valid(now()):
            self._send_on_errand(self._performer.close_gate())
        self._wake.set()

    def _send_on_errand(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    def _next_look(self) -> float:
        """Seconds until something may be due by itself."""
        instants = [now() + self._timing.probe_interval]
        claim = self.node.claim
        if claim is not None and claim.open_at is not None:
            instants.append(claim.open_at)
        if (due := self._acks.due()) is not None and due > now():  # else it was seen
            instants.append(due)
        return max(0.005, min(instants) - now())

    def _tell_role(self) -> None:
        link, record = self._effects.replication, self.record
        if link is not None:
            link.set_role(
                epoch=self.epoch,
                holder=record.holder if record is not None else "",
                gate_open=self._gate == "open",
                state=self.state,
                serving=self.node.state in SERVING and self._gate == "open",
            )

    def _compare_now_and_then(self) -> None:
        in_sync = self.record is not None and bool(self.record.sync)
        steady = self.node.state is State.ACTIVE and in_sync and self.node.hold is None
        if steady and now() - self._compared_at > DIGEST_SECONDS:
            self._compared_at = now()
            self._performer.compare_digests()

    def _outcome(self) -> None:
        """A record landed or did not, a promise came: look again, with a fresh read."""
        self._extend_authority()
        self._reader.read_now()
        self._wake.set()

    def _answer_switch(self) -> None:
        if self.node.state is State.READY:
            self._steps.answer(self._effects.replication, self._effects.position[1])

    # -- leaving ------------------------------------------------------------------------

    async def _leave(self) -> None:
        await self._performer.close_gate()
        while True:
            self._gate = await self._effects.gate.verify()
            turn = leave(self.node, self._view(), now())
            await self._take(turn)
            if not turn.actions and self.node.pending is None:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.probe_interval):
                    await self._wake.wait()


def _newly_landed(former: Node, node: Node) -> bool:
    was = former.claim is not None and former.claim.landed_at is not None
    return not was and node.claim is not None and node.claim.landed_at is not None


async def _cancel(task: asyncio.Task[None]) -> None:
    if task.done():  # by an error of its own, which was logged
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
