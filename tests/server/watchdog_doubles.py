"""A pair of watchdogs on a real folder, joined by an in-memory link; the origins around them
are doubles that keep a log of numbers instead of shared objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rtmp_sync.cluster.peer_status import OwnHealth
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import CasResult, Outcome, Policy
from rtmp_sync.coordinators.base import Attempt, Reading
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.errors import StoreTimeout
from rtmp_sync.firewalls.base import GateState
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.clock import now
from rtmp_sync.server.guard_pipe import GuardPipe
from rtmp_sync.server.history import History
from rtmp_sync.server.watchdog import Watchdog

TIMING = Timing(
    probe_interval=0.1,
    probe_deadline=0.08,
    t_conf=1.0,
    margin=0.2,
    hb_interval=0.1,
    ack_timeout=0.3,
    guard_interval=0.05,
    guard_deadline=0.7,
)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when the condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (processes and files: nothing to wait on)
            await asyncio.sleep(0.005)


@dataclass
class GateDouble:
    state: GateState = "closed"
    stuck: bool = False  # it does not open
    held_until: list[float] = field(default_factory=list)

    def hold(self, until: float) -> None:
        self.held_until.append(until)

    async def verify(self) -> GateState:
        return self.state


@dataclass
class CommitDouble:
    require_peer: bool = True

    peer: int = 0

    def set_require_peer(self, required: bool) -> None:
        self.require_peer = required

    def peer_acked(self, seq: int) -> None:
        self.peer = max(self.peer, seq)


@dataclass
class PeerDouble:
    boot_id: str
    epoch: int = 0
    gate_open: bool = False
    state: str = "INIT"
    position: tuple[int, int] = (0, 0)
    health: OwnHealth = field(default_factory=OwnHealth)

    @property
    def heartbeat_at(self) -> float:
        return now()


@dataclass
class SwitchStepDouble:
    step: str
    switch_id: str
    final_seq: int


@dataclass
class SelfTestDouble:
    reason: str = ""
    loop_lag: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.reason


class NoProbes:
    """The link alone tells of the peer."""

    admin = rtmp = None

    async def close(self) -> None:
        pass


class LinkDouble:
    """One end. What it is told appears at the other end in the same instant."""

    def __init__(self, origin: OriginDouble) -> None:
        self.origin = origin
        self.other: LinkDouble | None = None
        self.connected = False
        self.peer: PeerDouble | None = None
        self.serving = False
        self.deaf = False  # what the source sends does not arrive
        self.acked = 0
        self.equal = True
        self.repairs = 0
        self.reported: dict[str, object] = {}

    def name_nonce(self, nonce: str, *, stale: bool) -> None:
        if self.connected and self.other is not None:
            self.other.origin.watchdog.on_store_nonce(nonce, stale)

    def report(self, **facts: object) -> None:
        self.reported = facts

    @property
    def oldest_unacked_at(self) -> float | None:
        return None

    @property
    def peer_caught_up(self) -> bool:
        return self.connected and self.serving and self.other is not None and self.other.in_sync

    @property
    def in_sync(self) -> bool:
        other = self.other
        if not self.connected or other is None or not other.serving or self.deaf:
            return False
        return self.origin.log == other.origin.log

    @property
    def lag_changes(self) -> int:
        return 0

    def set_role(
        self, *, epoch: int, holder: str, gate_open: bool, state: str, serving: bool
    ) -> None:
        self.serving = serving
        if not self.connected or self.other is None:
            return
        peer = self.other.peer
        assert peer is not None
        described = (epoch, gate_open, state, self.origin.position)
        changed = described != (peer.epoch, peer.gate_open, peer.state, peer.position)
        peer.epoch, peer.gate_open, peer.state, peer.position = described
        if changed:
            self.other.origin.watchdog.on_role(peer)
        self.feed()

    def feed(self) -> None:
        """As the source: bring the other copy to mine."""
        other = self.other
        if self.connected and self.serving and other is not None and not other.deaf:
            if other.origin.log != self.origin.log:
                other.origin.log[:] = self.origin.log
            self.acked = len(self.origin.log)
            self.origin.watchdog.on_acked(self.acked)
            other.origin.watchdog.on_applied()

    async def promise(self, epoch: int) -> float | None:
        sent = now()
        if not self.connected or self.other is None:
            return None
        given = self.other.origin.watchdog.give_promise(epoch)
        return sent if given is not None else None

    async def digest_agrees(self) -> bool:
        return self.connected and self.equal

    def repair(self) -> None:
        self.repairs += 1
        self.equal = True

    def switchover(
        self,
        kind: str,
        *,
        switch_id: str = "",
        final_seq: int = 0,
        deadline_seconds: float = 0.0,
        epoch: int = 0,
    ) -> None:
        if self.connected and self.other is not None:
            step = SwitchStepDouble(kind, switch_id, final_seq)
            self.other.origin.watchdog.on_switchover(step)


def join(one: OriginDouble, other: OriginDouble) -> None:
    """The link is up."""
    a, b = one.link, other.link
    a.other, b.other = b, a
    a.peer, b.peer = PeerDouble(other.boot_id), PeerDouble(one.boot_id)
    a.connected = b.connected = True
    for origin in (one, other):
        origin.watchdog.on_link(True)


def cut(one: OriginDouble, other: OriginDouble) -> None:
    """The link is down, for both at once."""
    for origin in (one, other):
        origin.link.connected = False
        origin.link.acked = 0
    for origin in (one, other):
        origin.watchdog.on_link(False)


@dataclass
class OriginDouble:
    """What a watchdog moves."""

    boot_id: str
    log: list[str] = field(default_factory=list)
    epoch: int = 0
    authority: Authority = field(default_factory=Authority)
    commit: CommitDouble = field(default_factory=CommitDouble)
    gate: GateDouble = field(default_factory=GateDouble)
    history: History = field(default_factory=History)
    nodes: tuple[str, str] | None = None
    held: bool = False
    draining: bool = False
    clients: int = 1
    test: SelfTestDouble = field(default_factory=SelfTestDouble)
    opened: list[tuple[int, float]] = field(default_factory=list)
    demotions: int = 0
    lb_age: float | None = None

    def __post_init__(self) -> None:
        self.link = LinkDouble(self)
        self.watchdog: Watchdog
        self.store: ReachableOrNot
        self.overseer: GuardPipe

    @property
    def replication(self) -> LinkDouble:
        return self.link

    @property
    def position(self) -> tuple[int, int]:
        epochs = [int(entry[1:]) for entry in self.log if entry.startswith("e")]
        return (epochs[-1] if epochs else 0, len(self.log))

    def write(self, text: str) -> None:
        """A client's write, applied."""
        assert self.authority.valid(now())
        self.log.append(text)
        self.link.feed()

    async def nodes_known(self, nodes: tuple[str, str]) -> None:
        self.nodes = nodes

    async def open_gate(self, epoch: int) -> bool:
        if not self.gate.stuck:
            self.gate.state = "open"
            self.opened.append((epoch, now()))
        self.authority.gate_open = self.gate.state == "open"
        return self.authority.gate_open

    async def close_gate(self) -> bool:
        self.authority.gate_open = False
        self.gate.state = "closed"
        return True

    async def promote(self, epoch: int, history_id: str, *, lossy: bool) -> None:
        assert self.authority.valid(now())
        self.log.append(f"e{epoch}")

    async def demote(self) -> None:
        self.demotions += 1

    def drain(self, on: bool) -> int | None:
        self.draining = on
        return self.clients if on else None

    def hold_writes(self, on: bool) -> int:
        self.held = on
        return len(self.log)

    async def check_self(self, *, port_open: Callable[[], bool]) -> SelfTestDouble:
        return self.test

    def lb_checks_age(self, now: float) -> float | None:
        return self.lb_age


class ReachableOrNot(FileCoordinator):
    """The store; `away` is this node's loss of it. `tell` says that something changed."""

    away = False
    reads = 0

    def on_change(self, told: Callable[[], None]) -> None:
        self.tell = told

    async def read(self, *, beat: bool) -> Reading:
        self.reads += 1
        if self.away:
            raise StoreTimeout("away")
        return await super().read(beat=beat)

    async def cas(self, record: Record) -> Attempt:
        if self.away:
            return Attempt(CasResult(record.nonce, Outcome.UNKNOWN, now()))
        return await super().cas(record)


class PairDouble:
    """Two origins on one pair file in `folder`."""

    def __init__(self, folder: Path, policy: Policy | None = None, timing: Timing = TIMING) -> None:
        self.pair_file = folder / "pair.txt"
        self.pair_file.write_bytes(b"A\\B\r\n")
        self.policy = policy or Policy()
        self.timing = timing
        self.a = self.make("A", "a1")
        self.b = self.make("B", "b1")

    def make(
        self, node_id: str, boot_id: str, log: list[str] | None = None, *, age: float = 100.0
    ) -> OriginDouble:
        """A new boot of a node; `age` is how long ago its process started."""
        coordinator = ReachableOrNot(self.pair_file, node_id, deadline_seconds=5.0)
        origin = OriginDouble(boot_id, log if log is not None else [])
        origin.store = coordinator
        origin.overseer = GuardPipe(None)
        origin.watchdog = Watchdog(
            origin,
            coordinator,
            boot_id=boot_id,
            started_at=now() - age,
            timing=self.timing,
            policy=self.policy,
            overseer=origin.overseer,
            probes=NoProbes(),
        )
        return origin

    async def start(self) -> None:
        """A serves, B is ready."""
        for origin in (self.a, self.b):
            await origin.watchdog.start()
        join(self.a, self.b)
        await until(lambda: self.a.watchdog.health_active())
        await until(lambda: self.b.watchdog.health_standby())

    async def crash(self, origin: OriginDouble) -> None:
        """The process is gone: nothing of it runs, its gate is no more."""
        watchdog = origin.watchdog
        for task in (*watchdog._loops, watchdog._turning):
            if task is not None:
                task.cancel()
        origin.gate.state = "closed"
        await watchdog._coordinator.stop()
        cut(self.a, self.b)

    async def stop(self) -> None:
        for origin in (self.a, self.b):
            await origin.watchdog.stop()
