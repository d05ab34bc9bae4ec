"""A machine of the pair: its clock, its disk, its guard, and one origin process after another."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import StoreError
from tests.simulation.disk import Disk
from tests.simulation.errands import Wait, run
from tests.simulation.here import HERE
from tests.simulation.outcome import Broken
from tests.simulation.pair_store import make_coordinator
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Node"]

POLL_SECONDS = 0.01
BUDGET = 5
BACKOFF_SECONDS = (0.2, 10.0)


class Node:
    """sick, gate_shut, gate_stuck: what is wrong with it now. on: it has power."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.rate = world.setup.rates[name]
        self.chance = random.Random(f"{world.seed}/node {name}")
        self.disk = Disk(random.Random(f"{world.seed}/disk {name}"))
        self.process: Process | None = None
        self.on = True
        self.paused = False  # the whole machine
        self.guard_alive = True
        self.sick = self.gate_shut = self.gate_stuck = False
        self.lb_cut_at: float | None = None  # since when the load balancer does not reach it
        self.forced_copy = False  # an operator had it go on with its copy, whatever that lacks
        self.vouched_until = 0.0  # an operator sees to it that it stays off
        self.away_long = False  # its copy dropped what was temporary, as it may
        self.when_writing: Callable[[], None] = lambda: None  # a record, and has not yet
        self.wish = ""  # an operator's, not answered yet
        self._offset = world.setup.offsets[name]
        self._boots = 0
        self._nonces = 0
        self._failures = 0
        self._life = 0  # of the guard
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._died_at: float | None = None
        self._owed_seq = 0  # what the disk must give back
        self._found_seq = 0  # what the present process started with

    @property
    def unfit(self) -> bool:
        """Not able to serve now, or to show that it does not."""
        return self.sick or self.gate_shut or self.gate_stuck

    @property
    def kept_off(self) -> bool:
        """The other one serves, or is about to, by the operator's word that this one is off."""
        others = [node.process for node in self.world.nodes.values() if node is not self]
        trusted = any(one is not None and one.member.node.word is not None for one in others)
        return trusted or self.world.schedule.now < self.vouched_until

    # -- time --------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        return self.world.schedule.now * self.rate + self._offset

    def read_clock(self) -> float:
        return self.world.schedule.now * self.rate + self._offset

    @property
    def down_seconds(self) -> float:
        """How long nobody lived here."""
        return self.clock - self._died_at if self._died_at is not None else 0.0

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        """As the guard: it goes on when an origin dies, and stands still with its machine."""
        self.world.schedule.after(seconds / self.rate, self._run, self._life, act, arguments)

    def _run(self, life: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life != self._life or not self.on:
            return
        if self.paused:
            self._waiting.append((act, arguments))
            return
        HERE.clock, HERE.chance = self.read_clock, self.chance
        act(*arguments)

    def nonce(self) -> str:
        self._nonces += 1
        return f"{self.name}{self._nonces}"

    def disk_delay(self) -> float:
        return 0.0002 + 0.002 * self.chance.random() ** 3

    # -- life of an origin -------------------------------------------------------------

    def boot(self) -> None:
        if self.process is not None or not self.on:
            return
        self._boots += 1
        boot_id = f"{self.name}{self._boots}"
        process = Process(self, boot_id)
        if not process.alive:
            return
        self.process = process
        self.world.verdicts.boots[boot_id] = process
        self._found_seq = process.state.journal.head
        self.world.trace(lambda: f"{boot_id} boots at {process.position}")
        if process.state.journal.head < self._owed_seq:
            raise Broken(
                "disk", f"{boot_id} starts at {process.position}; {self._owed_seq} was written"
            )

    def died(self, process: Process, reason: str) -> None:
        """The process has ended; the guard sees it."""
        self._end(process, reason)
        if reason == "stopped":
            return  # its guard has ended too; an operator starts both again
        if not self.guard_alive or reason == "configuration":
            self.world.schedule.after(3 * self.world.timing.t_conf, self.start_again)
        else:
            self.after(0.005, self._reap, process, reason)

    def lose_power(self) -> None:
        process = self.process
        if process is not None:
            self._end(process, "power")
        self._owed_seq = 0
        if process is not None and self.world.setup.disk == "fsync" and self.disk.honest:
            assert process.storing is not None
            journal = process.storing.journal
            # What it found may not be on the medium before something of its own is.
            is_synced = journal.written_seq > self._found_seq
            if not self.disk.lying and not journal.persist_failed and is_synced:
                self._owed_seq = journal.written_seq
        self.on, self.paused = False, False
        self._life += 1
        self._waiting.clear()
        self.disk.lose_power()

    def start_again(self) -> None:
        """Power is back, or an operator starts the service: guard and origin."""
        if self.kept_off:
            self.world.schedule.after(self.world.timing.t_conf, self.start_again)
            return
        self.on = True
        if self.process is None:
            self.guard_alive = True
            self._failures = 0
            self.boot()

    def _end(self, process: Process, reason: str) -> None:
        self.world.trace(lambda: f"{process.boot_id} ends: {reason}")
        storing = process.storing
        if storing is not None:
            storing.tear()
        process.alive = False
        if self.process is process:
            self.process = None
        self._died_at = self.clock
        self._owed_seq = 0
        if storing is not None and self.disk.honest and not storing.journal.persist_failed:
            self._owed_seq = storing.journal.written_seq
        self.wish = ""
        self.world.process_ended(process, power=reason == "power")

    def forget_disk(self) -> None:
        """Something happened to the files that no software can make good."""
        self._owed_seq = 0

    # -- pauses ------------------------------------------------------------------------

    def freeze(self) -> None:
        """The origin alone: its guard kills it."""
        process = self.process
        if process is None or process.frozen:
            return
        process.frozen = True
        if self.guard_alive:
            self.after(self.world.timing.guard_deadline, self._kill_hung, process)

    def _kill_hung(self, process: Process) -> None:
        if process.alive and process.frozen:
            self.died(process, "hung")

    def pause(self) -> None:
        self.paused = True
        if self.process is not None:
            self.process.frozen = True

    def thaw(self) -> None:
        """Everything goes on, in some order; what came over a connection, in its own."""
        process, self.paused = self.process, False
        waiting, self._waiting = self._waiting, []
        for act, arguments in waiting:
            self._run(self._life, act, arguments)
        if process is None or not process.alive:
            return
        process.frozen = False
        thawed, process.thawed = process.thawed, []
        self.chance.shuffle(thawed)
        for act, arguments in thawed:
            process.after(0.0, act, *arguments)
        self.world.network_goes_on()

    # -- the guard ---------------------------------------------------------------------

    def _reap(self, process: Process, reason: str) -> None:
        """Nothing of the dead origin may still reach the store."""
        if process.store.stuck:
            self.after(POLL_SECONDS, self._reap, process, reason)
            return
        run(self._release(process, reason), self._released, self._released)
        self._failures = 0 if process.well else self._failures + 1

    def _released(self, _: object) -> None:
        if self._failures > BUDGET:
            return  # the guard gives up; an operator looks after it
        first, last = BACKOFF_SECONDS
        self.after(min(last, first * 2.0 ** max(0, self._failures - 1)), self.boot)

    async def _release(self, process: Process, reason: str) -> None:
        world = self.world
        owner = f"{self.name}-guard"
        coordinator, _ = make_coordinator(world, self.name, "", owner, self.after)
        give_up_at = self.clock + world.timing.t_conf
        while process.gate_said is not None and self.clock < give_up_at:
            try:
                if await self._try_to_release(coordinator, process.gate_said, reason):
                    return
            except StoreError:
                pass
            await Wait(lambda resume, _: self.after(world.timing.guard_interval, resume, None))

    async def _try_to_release(
        self, coordinator: Coordinator, gate: tuple[int, str], reason: str
    ) -> bool:
        epoch, boot_id = gate
        record = (await coordinator.read(beat=False)).sighting.record
        if record is None or not record.held_by(coordinator.node_id, boot_id):
            return True
        if record.epoch != epoch or record.released:
            return True
        author = Author(coordinator.node_id, boot_id, self.nonce(), "")
        why = "hung" if reason == "hung" else "process_exit"
        attempt = await coordinator.cas(record.let_go(author, record.seq, why))
        return attempt.result.outcome is Outcome.LANDED
