"""One seed's world: the nodes, what is between and around them, and the course of events."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from rtmp_sync.cluster.timing import DEFAULT, FAST
from rtmp_sync.cluster.view import State
from tests.simulation.clients import Door, Reader, Writer
from tests.simulation.etcd import Etcd
from tests.simulation.faults import DEFAULT_MIX, NAMES, Fault, Mix, draw_setup, plan
from tests.simulation.here import product_on
from tests.simulation.links import LinkEnd
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.outcome import Broken, Outcome, Violation
from tests.simulation.process import Process
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store
from tests.simulation.trouble import Trouble
from tests.simulation.verdicts import Verdicts

__all__ = ["World", "simulate"]

WRITERS, READERS = 2, 2
HEAL_SECONDS = 15.0  # I4, from when the nodes are there again
CALM_SECONDS = 0.5  # after the last write, for everything to arrive


def simulate(
    seed: int,
    *,
    faults: Sequence[Fault] | None = None,
    mix: Mix = DEFAULT_MIX,
    trace: bool = False,
) -> Outcome:
    """Run a seed, with these faults instead of its own; never raises for what it finds."""
    return World(seed, faults=faults, mix=mix, trace=trace).run()


class World:
    def __init__(self, seed: int, *, faults: Sequence[Fault] | None, mix: Mix, trace: bool) -> None:
        self.seed = seed
        self.setup = draw_setup(seed, mix)
        self.faults = list(plan(seed, mix) if faults is None else faults)
        self.tracing = trace
        self.lines: list[str] = []
        self.stats: Counter[str] = Counter()
        self.rows: set[str] = set()
        self.timing = FAST if self.setup.fast else DEFAULT
        self.schedule = Schedule()
        self.network = Network(self.schedule, random.Random(f"{seed}/net"), self.setup.latency)
        self.store = Store(self.schedule, random.Random(f"{seed}/store"), NAMES)
        self.etcd = Etcd(self.schedule, self.store) if self.setup.etcd else None
        self.verdicts = Verdicts(self.setup.mode, self.stats)
        self.store.landed = self._landed
        self.bulk_delay = 0.002
        self.nodes = {name: Node(self, name) for name in NAMES}
        self.trouble = Trouble(self)
        unit = self.timing.t_conf
        self._unit = unit
        interval = WRITERS * unit / mix.writes
        self.writers = [
            Writer(f"w{n}", self.schedule, self._stream(f"writer {n}"), self._doors, interval)
            for n in range(WRITERS)
        ]
        self.readers = [
            Reader(f"r{n}", self.schedule, self._stream(f"reader {n}"), self._doors, unit)
            for n in range(READERS)
        ]

    def run(self) -> Outcome:
        violation = None
        setup = self.setup
        self.trace(lambda: f"{setup}")
        try:
            with product_on(
                self.store.nas, keep_records=setup.keep_records, chunk_bytes=setup.chunk_bytes
            ):
                self._live()
        except Broken as broken:
            violation = self._violation(broken.invariant, broken.text)
        except Exception:  # whatever the product's code raises is what we look for
            violation = self._violation("crash", traceback.format_exc())
        for client in (*self.writers, *self.readers):
            self.stats.update(client.stats)
        return Outcome(self.seed, violation, self.faults, self.stats, self.rows, self.lines)

    # -- what the parts use ------------------------------------------------------------

    def count(self, what: str) -> None:
        self.stats[what] += 1

    def trace(self, text: Callable[[], str]) -> None:
        if self.tracing:
            self.lines.append(f"{self.schedule.now:8.3f} {text()}")

    def dial(self, process: Process, end: LinkEnd) -> bool:
        """Connect to the other node; False: nobody is there."""
        for node in self.nodes.values():
            other = node.process
            if node.name != process.name and other is not None and other.links is not None:
                way, back = (process.name, node.name), (node.name, process.name)
                if not (self.network.passes(*way) and self.network.passes(*back)):
                    return False
                acceptor = LinkEnd(other.links, dials=False)
                wire = self.network.connect(end, acceptor)
                acceptor.wire = wire
                end.connected(wire)
                other.after(0.0, acceptor.connected, wire)
                return True
        return False

    def answers(self, process: Process) -> bool:
        """The other node's admin port answers this process."""
        for node in self.nodes.values():
            if node.name != process.name:
                both = self.network.passes(process.name, node.name) and self.network.passes(
                    node.name, process.name
                )
                return both and node.process is not None and node.process.runs
        return False

    def process_ended(self, process: Process, *, power: bool) -> None:
        """Its clients lose it; the other node hears of the end, unless the power went."""
        for session in list(process.service.sessions):
            session.open = False
            session.peer.cut(session)
        for wire in list(self.network.wires):
            wire.process_ended(process.name, silent=power)

    def network_goes_on(self) -> None:
        for wire in list(self.network.wires):
            wire.resume()

    def gate_opened(self) -> None:
        for client in (*self.writers, *self.readers):
            client.gate_opened()

    def active(self) -> Process | None:
        for node in self.nodes.values():
            if node.process is not None and node.process.serving:
                return node.process
        return None

    # -- the course --------------------------------------------------------------------

    def _live(self) -> None:
        schedule = self.schedule
        for node in self.nodes.values():
            schedule.after(node.chance.random() * 0.3, node.boot)
        for fault in self.faults:
            schedule.after(fault.at, self.trouble.happen, fault)
        end = max((fault.at for fault in self.faults), default=0.0) + 1.5 * self._unit
        self._run_until(end)
        self.trouble.repair()
        limit = schedule.now + HEAL_SECONDS + 5 * self._unit
        while not self._healed():
            if schedule.now > limit:
                raise Broken("I4", f"after everything was repaired: {self._standing()}")
            self._run_until(schedule.now + 0.25)
        self._run_until(schedule.now + self._unit)  # with writes
        for writer in self.writers:
            writer.stop()
        for reader in self.readers:
            reader.stay()
        limit = schedule.now + 15.0 * max(1.0, self._unit)
        calm = 0
        while calm < 2:  # and the verdict comes at an instant that was seen to be so
            if schedule.now > limit:
                raise Broken("I4", f"it does not become quiet: {self._standing()}")
            self._run_until(schedule.now + CALM_SECONDS)
            calm = calm + 1 if self._healed() and self._quiet() else 0
        self._judge()

    def _run_until(self, end: float) -> None:
        step = self.schedule.step
        while step(end):
            pass

    def _healed(self) -> bool:
        """One serves, the other one is ready to."""
        active = self.active()
        if active is None or active.member.state is not State.ACTIVE:
            return False
        if (
            active.member.node.word is not None
            or active.member.node.hold is not None
            or active.member.node.pending is not None
        ):
            return False
        for node in self.nodes.values():
            process = node.process
            if process is None or not process.runs:
                return False
            if process is not active and process.member.state is not State.READY:
                return False
        return True

    def _quiet(self) -> bool:
        """Everybody was told everything, and what rotted was found."""
        if self.verdicts.rotten and not self.verdicts.agree(self._copies()):
            return False
        writers = all(one.session is not None and not one.open_calls for one in self.writers)
        return writers and all(reader.complete for reader in self.readers)

    def _copies(self) -> list[Process]:
        return [node.process for node in self.nodes.values() if node.process is not None]

    def _judge(self) -> None:
        self.verdicts.ended(self._copies())
        active = self.active()
        assert active is not None
        for reader in self.readers:
            for name, copy in reader.copies.items():
                obj = active.service._object(name)
                if copy != dict(obj.slots):
                    different = {
                        key: (copy.get(key), obj.slots.get(key))
                        for key in sorted(copy.keys() | obj.slots.keys())
                        if copy.get(key) != obj.slots.get(key)
                    }
                    raise Broken("view", f"{reader.name}'s copy of {name} differs: {different}")

    def _standing(self) -> str:
        told = []
        for node in self.nodes.values():
            process = node.process
            if process is None:
                told.append(f"{node.name} is down")
            else:
                told.append(
                    f"{process.boot_id} {process.member.state} gate {process.gate}"
                    f" at {process.position}: {process.member.sentence}"
                )
        calls = {writer.name: sorted(writer.open_calls) for writer in self.writers}
        return f"{'; '.join(told)}; record {self.verdicts.record}; open calls {calls}"

    # -- inside ------------------------------------------------------------------------

    def _stream(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")

    def _doors(self) -> list[Door]:
        """Where the load balancer sends a client."""
        return [
            node.process
            for node in self.nodes.values()
            if node.process is not None and node.process.serving and node.lb_cut_at is None
        ]

    def _landed(self, record: object) -> None:
        self.verdicts.landed(record)  # type: ignore[arg-type]  # the store tells records

    def _violation(self, invariant: str, text: str) -> Violation:
        return Violation(invariant, round(self.schedule.now, 3), text)
