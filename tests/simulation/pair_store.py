"""A process and its store: a real coordinator, read as `server.store_reader` reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import ConfigError, StoreError
from tests.simulation.errands import run
from tests.simulation.etcd import make_etcd_coordinator
from tests.simulation.store import Helper, SimulatedCoordinator

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

__all__ = ["PairStore", "make_coordinator"]


def make_coordinator(
    world: World, node: str, boot_id: str, owner: str, after: Callable[..., None]
) -> tuple[Coordinator, Helper | None]:
    """boot_id: "" for a guard. With a NAS its helper, too: what it began may yet be done."""
    if world.etcd is not None:
        made = make_etcd_coordinator(world.etcd, node, boot_id, after=after, timing=world.timing)
        return made, None
    deadline = world.timing.t_conf / 3
    helper = Helper(world.store, node, owner, deadline, after)
    return SimulatedCoordinator(node, helper, deadline), helper


class PairStore:
    """learned(nodes): the store told the pair's names. noticed: a read or a cas came back."""

    def __init__(
        self,
        process: Process,
        learned: Callable[[tuple[str, str]], None],
        noticed: Callable[[], None],
    ) -> None:
        name, boot_id = process.name, process.boot_id
        self._coordinator, self._helper = make_coordinator(
            process.world, name, boot_id, f"{name}-{boot_id}", process.after
        )
        self._coordinator.on_change(self._told)
        self._urgent = False
        self._process = process
        self._learned = learned
        self._noticed = noticed
        self._reading = False
        self._timer = 0

    @property
    def stuck(self) -> int:
        """Requests that were given up and may still reach the store, where nothing else keeps
        those of a dead process out."""
        return self._helper.stuck if self._helper is not None else 0

    def start(
        self, started: Callable[[], None], misconfigured: Callable[[Exception], None]
    ) -> None:
        """misconfigured: what the store holds is no pair of this node's."""

        def done(nodes: tuple[str, str] | None) -> None:
            if nodes is not None:
                self._learn(nodes)
            started()

        run(self._coordinator.start(), done, misconfigured, (ConfigError,))

    def read(self, timer: int = 0) -> None:
        """Now, if none is under way; else as soon as the member wants one again."""
        if self._reading or timer not in (0, self._timer):
            return
        self._reading, self._urgent = True, False
        member = self._process.member
        member.read_began()
        reading = self._coordinator.read(beat=member.beats)
        run(reading, self._saw, self._could_not_read, (StoreError,))

    def read_if_wanted(self) -> None:
        if self._process.member.wants_read:
            self.read()

    def cas(self, record: Record) -> None:
        process = self._process
        process.world.trace(lambda: f"{process.boot_id} cas {_told(record)}")
        process.world.schedule.after(0.0, process.node.when_writing)
        run(self._coordinator.cas(record), self._tried, self._tried)

    def _told(self) -> None:
        """The store says by itself that something changed: read at once, or once more."""
        if self._reading:
            self._urgent = True
        else:
            self.read()

    def _learn(self, nodes: tuple[str, str]) -> None:
        self._process.member.renamed(self._coordinator.node_id)
        self._learned(nodes)

    def _saw(self, reading: Any) -> None:
        member = self._process.member
        member.renamed(self._coordinator.node_id)
        member.saw(
            reading.sighting,
            self._process.clock,
            nodes=reading.nodes,
            line=reading.line,
            wished_holder=reading.wished_holder,
        )
        if reading.nodes is not None:
            self._learned(reading.nodes)
        self._ended()

    def _could_not_read(self, _: Exception) -> None:
        self._process.member.could_not_read(self._coordinator.condition)
        self._ended()

    def _ended(self) -> None:
        process = self._process
        self._reading = False
        self._timer += 1
        wait = 0.0 if self._urgent else process.member.read_interval(process.clock)
        process.after(wait, self.read, self._timer)
        self._noticed()

    def _tried(self, attempt: Any) -> None:
        process, result = self._process, attempt.result
        process.world.trace(lambda: f"{process.boot_id} cas: {result.outcome.value}")
        if result.outcome is Outcome.LANDED:
            process.world.verdicts.tried(process, result.nonce)
        process.member.tried(result, attempt.highest)
        self._noticed()


def _told(record: Record) -> str:
    sync = ",".join(copy.boot_id for copy in record.sync)
    released = " released" if record.released else ""
    paused = " paused" if record.paused else ""
    return (
        f"{record.rev}: epoch {record.epoch} {record.boot_id} sync=[{sync}]{released}{paused}"
        f" {record.reason}"
    )
