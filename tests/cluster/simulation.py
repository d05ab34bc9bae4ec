"""A deterministic pair: two nodes with the real `decide` and `Observer`, one simulated clock.

Modelled: the store (records, heartbeats, late and unknown outcomes, outages per node), the link
(cuts, loss of the peer's copy), clients' writes and their acknowledgements, processes (crash,
freeze with and without the guard, power-off, clean stop), guards, operators, clocks of
different rate. After every step the invariants of failover.md section 3 are checked:

    I1  never two nodes serving, never two under one epoch
    I5  what was acknowledged with the peer is on whichever node opens next
    I4  (at the end, with everything repaired) one gate is open

`Simulation(seed).run()` raises `Violation` with the trace of that seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.failover import (
    beats,
    decide,
    give_promise,
    leave,
    require_peer,
)
from rtmp_sync.cluster.observer import Observer, Sighting
from rtmp_sync.cluster.record import Author, Record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import (
    CasResult,
    Identity,
    Node,
    Outcome,
    Peer,
    Policy,
    Request,
    State,
    View,
)

NAMES = ("A", "B")
SERVING = (State.ACTIVE, State.DRAINING)
HEAL_SECONDS = 40.0  # I4 allows 15 s after the store is reached; a hold-off and a wait precede


FAULTS = (
    *("crash", "power", "freeze", "vm", "vm", "stop"),  # a process
    *("cut", "mute", "isolate", "isolate"),  # the network
    *("store", "store_one", "flaky"),  # the store
    *("switch", "switch", "pause"),  # an operator
)


class Violation(AssertionError):
    """An invariant does not hold; the text ends with the trace."""


@dataclass
class Store:
    """Records by revision, heartbeats by node; `reach` is which nodes get through."""

    records: dict[int, Record] = field(default_factory=dict)
    beats: dict[str, str] = field(default_factory=dict)
    reach: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(NAMES, True))

    @property
    def highest(self) -> Record | None:
        return self.records[max(self.records)] if self.records else None

    def put(self, record: Record) -> bool:
        known = self.records.setdefault(record.rev, record)
        return known.nonce == record.nonce


class Process:
    """One boot of one node."""

    def __init__(self, world: Simulation, name: str, boot: int) -> None:
        self.world, self.name = world, name
        self.boot_id = f"{name}{boot}"
        self.started = self.clock
        self.observer = Observer(Identity(name, self.boot_id, self.started), DEFAULT)
        self.node = Node()
        self.frozen = False
        self.alive = True
        self.gate = "closed"
        self.until = -inf  # this node's clock
        self.epoch = 0
        self.gate_said: int | None = None  # what the guard was told
        self.following = False  # as sink: the copy is complete and live
        self.acked = 0
        self.unacked_since: float | None = None
        self.held = False
        self.final_seq = -1
        self.switch_ready = False
        self.digest: bool | None = None
        self.request: Request | None = None
        self.stopping = False
        self.last_look = self.clock
        self.asking = False

    # -- time and facts ---------------------------------------------------------------

    @property
    def clock(self) -> float:
        return self.world.now * self.world.rate[self.name] + self.world.offset[self.name]

    @property
    def runs(self) -> bool:
        return self.alive and not self.frozen

    @property
    def serving(self) -> bool:
        """Would apply and acknowledge a client's write at this instant."""
        return self.runs and self.gate == "open" and self.clock < self.until

    @property
    def log(self) -> list[tuple[int, int]]:
        return self.world.copies[self.name]

    @property
    def other(self) -> Process | None:
        return self.world.process[NAMES[self.name == "A"]]

    @property
    def position(self) -> tuple[int, int]:
        return (self.log[-1][0] if self.log else 0, len(self.log))

    def link_up(self) -> bool:
        other = self.other
        return self.world.link and self.runs and other is not None and other.runs

    def peer(self) -> Peer | None:
        other = self.other
        if not self.link_up() or other is None:
            return None
        record = other.observer.record
        epoch = record.epoch if record is not None else 0
        opened = other.gate == "open"
        return Peer(other.boot_id, epoch, opened, other.node.state.value, other.position)

    def view(self) -> View:
        seen, (epoch, until) = self.observer, self.observer.authority
        other, late = self.other, False
        if self.unacked_since is not None:
            late = self.clock - self.unacked_since > DEFAULT.ack_timeout
        caught_up = self.link_up() and other is not None and other.following
        return View(
            identity=seen.identity,
            timing=DEFAULT,
            policy=self.world.policy,
            author=Author(self.name, self.boot_id, self.world.nonce(), ""),
            store=seen.store,
            record=seen.record,
            nodes=NAMES,
            read_started=seen.read_started,
            beat_changed_at=seen.beat_changed_at,
            authority_epoch=epoch,
            authority_until=until,
            cas=seen.cas,
            link_up=self.link_up(),
            peer=self.peer(),
            misses=seen.misses,
            dead=seen.dead,
            answers=seen.answers,
            gate=self.gate,
            position=self.position,
            copy_in_sync=self.following and self.link_up(),
            lag=None,
            acked=self.acked,
            ack_late=late,
            peer_caught_up=caught_up,
            digest_agrees=self.digest,
            switch_ready=self.switch_ready,
            request=self.request,
        )

    # -- turns ------------------------------------------------------------------------

    def look(self) -> None:
        """The watchdog's loop ran."""
        if not self.runs:
            return
        if self.clock - self.last_look > DEFAULT.probe_interval + 1.0:
            self.observer.stalled()
        self.last_look = self.clock
        self.expire()
        for _ in range(8):
            before = self.node
            decision = leave if self.stopping else decide
            turn = decision(self.node, self.view(), self.clock)
            self.node = turn.node
            if turn.node.state is not before.state:
                self.world.trace(f"{self.boot_id} {turn.node.state}: {turn.sentence}")
            for action in turn.actions:
                self.perform(action)
            self.extend()
            if self.node == before:
                break
        landed = self.node.claim is not None and self.node.claim.landed_at == self.clock
        if landed:
            self.world.after(0.001, self.poll_once)
        if self.stopping and self.node.pending is None and self.gate == "closed":
            record = self.observer.record
            mine = record is not None and record.held_by(self.name, self.boot_id)
            if not mine or record is None or record.released:
                self.world.trace(f"{self.boot_id} stopped cleanly")
                self.world.kill(self, guard=False)

    def expire(self) -> None:
        if self.gate == "open" and self.clock >= self.until:
            self.close("authority ran out")

    def extend(self) -> None:
        epoch, until = self.observer.authority
        if self.node.state in SERVING and epoch == self.node.epoch:
            self.until = until
        elif self.node.claim is None:
            self.until = -inf

    def close(self, why: str) -> None:
        if self.gate == "open":
            self.world.trace(f"{self.boot_id} closes: {why}")
        self.gate, self.until = "closed", -inf

    def perform(self, action: do.Action) -> None:
        world = self.world
        match action:
            case do.Cas():
                world.cas(self, action.record)
            case do.CloseGate():
                self.close(action.reason)
            case do.Promote():
                self.promote(action)
            case do.Demote():
                self.following = False
            case do.AskPromise() if not self.asking:
                self.asking = True
                sent = self.clock
                world.after(world.delay(0.02), lambda: self.ask(action.epoch, sent))
            case do.CompareDigests():
                self.digest = None
                world.after(world.delay(0.05), self.compare)
            case do.HoldWrites():
                self.held = action.on
            case do.Prepare():
                self.held, self.final_seq, self.switch_ready = True, len(self.log), False
                world.after(world.delay(0.05), self.prepared)
            case do.Repair() if self.other is not None:
                self.other.following = False
            case do.Answer():
                self.request = None
            case _:
                pass

    def promote(self, action: do.Promote) -> None:
        epoch, until = self.observer.authority
        if epoch != action.record.epoch or self.clock >= until:
            return
        world = self.world
        lost = world.precious - set(self.log)
        if lost:
            world.fail(f"I5: {self.boot_id} opens without {sorted(lost)[:5]}")
        if epoch in world.epochs:
            world.fail(f"I1: epoch {epoch} opened twice")
        world.epochs.add(epoch)
        self.log.append((epoch, 0))
        self.following, self.acked, self.unacked_since, self.held = False, 0, None, False
        if self.other is not None:
            self.other.following = False
        self.gate, self.until, self.epoch, self.gate_said = "open", until, epoch, epoch
        world.trace(f"{self.boot_id} OPENS in epoch {epoch}: {action.record.reason}")
        world.check()

    # -- the link ---------------------------------------------------------------------

    def ask(self, epoch: int, sent: float) -> None:
        self.asking = False
        other = self.other
        if not self.link_up() or other is None:
            return
        asker = (self.name, self.boot_id, epoch)
        other.node, given = give_promise(other.node, other.view(), asker, other.clock)
        if given:
            self.world.after(self.world.delay(0.02), lambda: self.promised(epoch, sent))

    def promised(self, epoch: int, sent: float) -> None:
        if self.runs and self.link_up():
            self.observer.promised(epoch, sent)
            self.look()

    def compare(self) -> None:
        other = self.other
        if self.runs and self.link_up() and other is not None and other.following:
            self.digest = other.log == self.log
            self.look()

    def prepared(self) -> None:
        other = self.other
        if self.runs and self.link_up() and other is not None and other.following:
            self.switch_ready = len(other.log) >= self.final_seq
            self.look()

    def follow(self) -> None:
        """As a standby whose peer serves: make the copy complete."""
        other = self.other
        if self.following or not self.link_up() or other is None or not other.serving:
            return
        if self.gate == "closed" and self.node.state not in (State.CLAIMING, *SERVING):
            self.log[:] = other.log
            self.following = True
            other.acked, other.unacked_since = len(other.log), None

    def write(self) -> None:
        """A client writes."""
        if not self.serving or self.held:
            return
        self.log.append((self.epoch, self.world.next_write()))
        other = self.other
        if self.link_up() and other is not None and other.following and not self.world.mute:
            other.log.extend(self.log[len(other.log) :])  # in order, what was held up too
            self.acked = len(self.log)
            self.world.acknowledge(self, with_peer=True)
            return
        if other is not None and not self.world.mute:
            other.following = False
        if self.unacked_since is None:
            self.unacked_since = self.clock
        if not require_peer(self.node, self.world.policy.mode, self.observer.record):
            self.world.acknowledge(self, with_peer=False)

    # -- the store --------------------------------------------------------------------

    def poll_once(self) -> None:
        """Heartbeat and record read: the effects happen in the store, whatever becomes of us."""
        if not self.runs:
            return
        world, started, beat = self.world, self.clock, beats(self.node)
        begin, end = world.delay(0.01), world.delay(0.01)
        if not world.store.reach[self.name] or world.random.random() < world.flaky:
            world.after(DEFAULT.t_conf / 3, self.missed)
            if beat and world.random.random() < (0.3 if world.store.reach[self.name] else 0.02):
                world.after(begin, lambda: self.beat_only())
            return
        world.after(begin, lambda: self.in_store(started, beat, end))

    def beat_only(self) -> None:
        self.world.store.beats[self.name] = self.world.nonce()

    def in_store(self, started: float, beat: bool, end: float) -> None:
        store = self.world.store
        if beat:
            self.beat_only()
        peer_beat = store.beats.get(NAMES[self.name == "A"], "")
        record = store.highest
        self.world.after(end, lambda: self.saw(started, record, beat, peer_beat))

    def saw(self, started: float, record: Record | None, beat: bool, peer_beat: str) -> None:
        if not self.alive:
            return
        if self.frozen:  # seen when it thaws
            self.world.thawed[self.name].append(lambda: self.saw(started, record, beat, peer_beat))
            return
        ended = self.clock
        self.observer.saw(Sighting(started, ended, record, False, None, beat, peer_beat))
        self.extend()
        self.look()

    def missed(self) -> None:
        if self.runs:
            self.observer.could_not_read()
            self.look()

    def tick(self) -> None:
        """Probes and a poll, every probe interval of this node's clock."""
        if not self.alive:
            return
        if self.runs:
            other = self.other
            admin = other is not None and other.runs and self.world.link
            self.observer.probed({"link": self.link_up(), "admin": admin})
            self.follow()
            self.poll_once()
            self.look()
        interval = DEFAULT.probe_interval / self.world.rate[self.name]
        self.world.after(interval * (0.9 + 0.2 * self.world.random.random()), self.tick)


class Simulation:
    """One seed's world."""

    def __init__(self, seed: int, *, seconds: float = 60.0, policy: Policy | None = None) -> None:
        self.random = random.Random(seed)
        self.seed, self.seconds = seed, seconds
        self.policy = policy or Policy()
        self.now = 1000.0
        self.store = Store()
        self.link = True
        self.mute = False  # writes reach the peer no more though the link stands
        self.flaky = 0.0
        self.rate = {name: self.random.uniform(0.93, 1.07) for name in NAMES}
        self.offset = {name: self.random.uniform(0, 500) for name in NAMES}
        self.copies: dict[str, list[tuple[int, int]]] = {name: [] for name in NAMES}
        self.process: dict[str, Process | None] = dict.fromkeys(NAMES)
        self.thawed: dict[str, list[Callable[[], None]]] = {name: [] for name in NAMES}
        self.guard_frozen = dict.fromkeys(NAMES, False)
        self.precious: set[tuple[int, int]] = set()  # acknowledged, and on both copies
        self.alone: set[tuple[int, int]] = set()  # acknowledged while the record said sync=[]
        self.epochs: set[int] = set()
        self.lines: list[str] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._boots = dict.fromkeys(NAMES, 0)
        self._writes = itertools.count(1)
        self._nonces = itertools.count(1)

    # -- the machinery ----------------------------------------------------------------

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def delay(self, typical: float) -> float:
        return self.random.expovariate(1 / typical)

    def nonce(self) -> str:
        return f"n{next(self._nonces)}"

    def next_write(self) -> int:
        return next(self._writes)

    def trace(self, text: str) -> None:
        self.lines.append(f"{self.now - 1000:8.3f} {text}")

    def fail(self, text: str) -> None:
        trace = "\n".join(self.lines[-60:])
        raise Violation(f"seed {self.seed} at {self.now - 1000:.3f}: {text}\n{trace}")

    def run(self) -> None:
        for name in NAMES:
            self.after(self.random.uniform(0, 0.5), lambda name=name: self.boot(name))
        self.after(0.1, self.client)
        self.after(self.random.uniform(6, 12), self.fault)
        self._run_until(self.now + self.seconds)
        self.heal()
        self._run_until(self.now + HEAL_SECONDS)
        if sum(p is not None and p.serving for p in self.process.values()) != 1:
            self.fail("I4: nobody serves after everything was repaired")

    def _run_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self.check()
        self.now = end

    def check(self) -> None:
        if all(p is not None and p.serving for p in self.process.values()):
            self.fail("I1: both serve")

    # -- clients ----------------------------------------------------------------------

    def client(self) -> None:
        for process in self.process.values():
            if process is not None:
                process.write()
        self.after(self.random.uniform(0.05, 0.3), self.client)

    def acknowledge(self, process: Process, *, with_peer: bool) -> None:
        if with_peer:
            self.precious.update(process.log)
        else:
            self.alone.add(process.log[-1])

    # -- the store's side ---------------------------------------------------------------

    def cas(self, process: Process, record: Record) -> None:
        reaches = self.store.reach[process.name]
        unknown = not reaches or self.random.random() < 0.05 + self.flaky
        answer = DEFAULT.t_conf / 3 if unknown else self.delay(0.01)
        if unknown and (not reaches or self.random.random() < 0.5):
            effect = self.random.choice([None, self.delay(0.5), self.delay(3.0)])
            effect = None if not reaches and self.random.random() < 0.7 else effect
        else:
            effect = answer / 2
        if effect is not None:
            self.after(effect, lambda: self.land(record))
        self.after(answer, lambda: self.outcome(process, record, unknown))

    def land(self, record: Record) -> None:
        if self.store.put(record) and record.reason == "in_sync":
            holder = self.process[record.holder]
            if holder is not None:
                self.precious.update(self.alone & set(holder.log))

    def outcome(self, process: Process, record: Record, unknown: bool) -> None:
        if not process.alive:
            return
        if process.frozen:
            self.thawed[process.name].append(lambda: self.outcome(process, record, unknown))
            return
        at = process.clock
        if unknown:
            process.observer.tried(CasResult(record.nonce, Outcome.UNKNOWN, at), None)
        else:
            there = self.store.records.get(record.rev)
            landed = there is not None and there.nonce == record.nonce
            outcome = Outcome.LANDED if landed else Outcome.LOST
            process.observer.tried(CasResult(record.nonce, outcome, at), self.store.highest)
        process.look()
        process.poll_once()

    # -- processes ----------------------------------------------------------------------

    def boot(self, name: str) -> None:
        if self.process[name] is not None:
            return
        self._boots[name] += 1
        process = Process(self, name, self._boots[name])
        self.process[name] = process
        self.thawed[name].clear()
        self.trace(f"{process.boot_id} boots at {process.position}")
        self.after(self.delay(0.1), process.tick)

    def kill(self, process: Process, *, guard: bool, reason: str = "process_exit") -> None:
        if not process.alive:
            return
        self.trace(f"{process.boot_id} dies")
        process.alive = False
        self.process[process.name] = None
        self.link_ended()
        if guard:
            self.after(self.delay(0.01), lambda: self.release(process, reason, 3))
        else:
            self.after(self.random.uniform(0.5, 8), lambda: self.boot(process.name))

    def release(self, process: Process, reason: str, tries: int) -> None:
        """The guard, after the child is reaped."""
        record = self.store.highest
        if self.store.reach[process.name] and record is not None:
            mine = record.held_by(process.name, process.boot_id) and not record.released
            if mine and record.epoch == process.gate_said:
                author = Author(process.name, process.boot_id, self.nonce(), "")
                self.after(self.delay(0.01), lambda: self.land(record.let_go(author, 0, reason)))
        elif tries:
            self.after(0.25, lambda: self.release(process, reason, tries - 1))
            return
        self.after(self.random.uniform(0.2, 2.0), lambda: self.boot(process.name))

    def link_ended(self) -> None:
        for process in self.process.values():
            if process is not None and process.runs:
                process.digest = None
                process.following = False
                process.poll_once()
                for step in range(1, 20):
                    self.after(step * 0.05, process.poll_once)
                process.look()

    def freeze(self, process: Process, *, guard: bool, seconds: float) -> None:
        self.trace(f"{process.boot_id} freezes{' with its guard' if guard else ''}")
        process.frozen = True
        self.after(DEFAULT.ack_timeout, self.link_ended)
        if guard:
            self.after(seconds, lambda: self.thaw(process))
        else:
            self.after(
                DEFAULT.guard_deadline, lambda: self.kill(process, guard=True, reason="hung")
            )

    def thaw(self, process: Process) -> None:
        if not process.alive:
            return
        self.trace(f"{process.boot_id} thaws")
        process.frozen = False
        process.following = False
        waiting, self.thawed[process.name] = self.thawed[process.name], []
        self.random.shuffle(waiting)
        for event in waiting:
            event()
        process.look()

    # -- faults ---------------------------------------------------------------------------

    def fault(self) -> None:
        if self.now - 1000 > self.seconds:
            return
        living = [p for p in self.process.values() if p is not None and p.runs]
        kind = self.random.choice(FAULTS)
        process = self.random.choice(living) if living else None
        span = self.random.choice([0.5, 2.0, 4.0, 8.0]) * self.random.uniform(0.5, 1.5)
        self.trace(f"fault {kind} for {span:.1f} s, {process.boot_id if process else '-'}")
        match kind:
            case "cut":
                self.cut_link(span)
            case "mute":
                self.mute = True
                self.after(span, lambda: setattr(self, "mute", False))
            case "flaky":
                self.flaky = 0.4
                self.after(span, lambda: setattr(self, "flaky", 0.0))
            case "store":
                self.cut_store(*NAMES, seconds=span)
            case "store_one":
                self.cut_store(self.random.choice(NAMES), seconds=span)
            case "isolate":  # from the store, then from the other node; clients still get in
                lead = self.random.choice([0.0, 5.0])
                self.cut_store(self.random.choice(NAMES), seconds=lead + span)
                self.after(lead, lambda: self.cut_link(span))
            case _ if process is not None:
                self.hit(kind, process, span)
        self.after(self.random.choice([0.3, 2.0, 8.0]) * self.random.uniform(0.5, 1.5), self.fault)

    def cut_link(self, seconds: float) -> None:
        self.link = False
        self.link_ended()
        self.after(seconds, lambda: setattr(self, "link", True))

    def cut_store(self, *names: str, seconds: float) -> None:
        for name in names:
            self.store.reach[name] = False
            self.after(seconds, lambda name=name: self.store.reach.update({name: True}))

    def hit(self, kind: str, process: Process, span: float) -> None:
        match kind:
            case "crash":
                self.kill(process, guard=True)
            case "power":
                self.kill(process, guard=False)
            case "freeze":
                self.freeze(process, guard=False, seconds=span)
            case "vm":
                self.freeze(process, guard=True, seconds=span)
            case "switch" if process.node.state is State.ACTIVE:
                process.request = Request("switchover", "admin", process.clock)
            case "stop":
                process.stopping = True
                process.close("stop")
                self.after(3.0, lambda: self.kill(process, guard=True))
            case "pause":
                process.request = Request("pause", "admin", process.clock)
                self.after(span, lambda: self.resume(process))

    def resume(self, process: Process) -> None:
        process.request = Request("resume", "admin", process.clock)

    def heal(self) -> None:
        """Repair everything that is still broken."""
        self.trace("repaired")
        self.link, self.mute, self.flaky = True, False, 0.0
        self.store.reach = dict.fromkeys(NAMES, True)
        for name in NAMES:
            process = self.process[name]
            if process is None:
                self.after(1.0, lambda name=name: self.boot(name))
            elif process.frozen:
                self.thaw(process)
        self.after(10.0, self.resume_all)

    def resume_all(self) -> None:
        for process in self.process.values():
            if process is not None:
                self.resume(process)
