"""Makes the faults of a seed happen, ends them when their time is over, and repairs everything."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from rtmp_sync.cluster.pair_file import parse
from tests.simulation.faults import NAMES, Fault
from tests.simulation.service import CALLS, SCOPE
from tests.simulation.store import PAIR_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.node import Node
    from tests.simulation.world import World

__all__ = ["Trouble"]

GARBAGE = (b"", b"A", b"B\\A", b"\xff\xfe\x00", b"A\\B\\thirdUP", b"A\\C")


class Trouble:
    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = random.Random(f"{world.seed}/trouble")
        self._repaired = False
        self._names: tuple[str, ...] = NAMES

    def happen(self, fault: Fault) -> None:
        act: Callable[[Fault, Node], bool] = getattr(self, f"_{fault.kind}")
        node = self._node(fault.node)
        if act(fault, node):
            self._world.count(f"faults.{fault.kind}")
            self._world.trace(lambda: f"--- {fault.kind} of {node.name}, {fault.seconds:.2f} s")

    def repair(self) -> None:
        """Operators come and make everything good."""
        world = self._world
        world.trace(lambda: "--- repaired")
        self._repaired = True
        self._whole_network()
        store = world.store
        store.unreachable.clear()
        store.slow.clear()
        store.stale.clear()
        store.flaky = 0.0
        store.nas.full = False
        if world.etcd is not None and world.etcd.leaderless:
            world.etcd.elect()
        for node in world.nodes.values():
            node.sick = node.gate_shut = node.gate_stuck = False
            node.lb_cut_at = None
            node.disk.trouble, node.disk.lying = "", False
            if node.paused or (node.process is not None and node.process.frozen):
                node.thaw()
        world.schedule.after(0.5, self._look_after)

    def _look_after(self) -> None:
        """Again and again, until all is well."""
        world = self._world
        for node in world.nodes.values():
            forgotten = node.down_seconds > 3 * world.timing.t_conf
            if node.process is None and (forgotten or not node.on):
                node.start_again()
        record = world.verdicts.record
        self._mend_line(record is not None and record.nodes[1] == record.holder)
        if record is not None and record.paused:
            self._ask("resume")
        world.schedule.after(world.timing.t_conf, self._look_after)

    # -- helpers -----------------------------------------------------------------------

    def _node(self, name: str) -> Node:
        """By name, or by what it is at this time."""
        nodes = self._world.nodes
        if name in nodes:
            return nodes[name]
        active = self._world.active()
        holder = active.name if active is not None else self._names[0]
        if name == "active":
            return nodes[holder]
        return next(node for node in nodes.values() if node.name != holder)

    def _later(self, seconds: float, act: Callable[..., object], *arguments: object) -> None:
        self._world.schedule.after(seconds, self._unless_repaired, act, arguments)

    def _unless_repaired(self, act: Callable[..., object], arguments: tuple[object, ...]) -> None:
        if not self._repaired:
            act(*arguments)

    def _set(self, target: object, name: str, value: object) -> None:
        setattr(target, name, value)

    # -- a process ---------------------------------------------------------------------

    def _crash(self, fault: Fault, node: Node) -> bool:
        process = node.process
        if process is None or node.paused:
            return False
        node.died(process, "crash")
        return True

    def _power(self, fault: Fault, node: Node) -> bool:
        if not node.on:
            return False
        node.lose_power()
        self._world.schedule.after(fault.seconds, node.start_again)
        return True

    def _freeze(self, fault: Fault, node: Node) -> bool:
        if node.process is None or node.process.frozen:
            return False
        node.freeze()
        if not node.guard_alive:
            self._later(fault.seconds, node.thaw)
        return True

    def _vm(self, fault: Fault, node: Node) -> bool:
        if not node.on or node.paused:
            return False
        node.pause()
        self._later(fault.seconds, node.thaw)
        return True

    def _vm_writing(self, fault: Fault, node: Node) -> bool:
        """The next record that it writes is on its way, and stays there."""

        def pause() -> None:
            node.when_writing = lambda: None
            if not self._repaired:
                self._vm(fault, node)

        node.when_writing = pause
        return True

    def _stop(self, fault: Fault, node: Node) -> bool:
        process = node.process
        if process is None or not process.runs:
            return False
        process.enter()
        process.stop()
        self._world.schedule.after(fault.seconds + 3.5, node.start_again)
        return True

    def _guard_dead(self, fault: Fault, node: Node) -> bool:
        if node.process is None:
            return False
        node.guard_alive = False
        return True

    def _both_crash(self, fault: Fault, node: Node) -> bool:
        hit = [self._crash(fault, one) for one in self._world.nodes.values()]
        return any(hit)

    def _both_power(self, fault: Fault, node: Node) -> bool:
        hit = [self._power(fault, one) for one in self._world.nodes.values()]
        return any(hit)

    def _crash_copying(self, fault: Fault, node: Node) -> bool:
        """The standby, as soon as a snapshot is on its way to it."""
        self._crash_when_copying(self._world.schedule.now + 4 * self._world.timing.t_conf)
        return True

    def _crash_when_copying(self, until: float) -> None:
        world = self._world
        for node in world.nodes.values():
            process = node.process
            exchange = process.links.exchange if process and process.links else None
            if process and exchange and exchange.sink.following.name == "LOADING":
                node.died(process, "crash")
                return
        if world.schedule.now < until:
            self._later(0.01, self._crash_when_copying, until)

    # -- its host ----------------------------------------------------------------------

    def _sick(self, fault: Fault, node: Node) -> bool:
        node.sick = True
        self._later(fault.seconds, self._set, node, "sick", False)
        return True

    def _gate_shut(self, fault: Fault, node: Node) -> bool:
        node.gate_shut = True
        self._later(fault.seconds, self._set, node, "gate_shut", False)
        return True

    def _gate_stuck(self, fault: Fault, node: Node) -> bool:
        node.gate_stuck = True
        self._later(fault.seconds, self._set, node, "gate_stuck", False)
        return True

    def _bit_rot(self, fault: Fault, node: Node) -> bool:
        """The standby's copy gets something that nobody wrote."""
        process = node.process
        if process is None or process is self._world.active() or process.state.empty:
            return False
        obj = process.state.find(SCOPE, CALLS[2:], CALLS[0])
        if obj is None:
            return False
        obj.set("rot", b"1 rot", obj.version)  # no client looks at this object
        process.state._touch_object(obj)
        self._world.verdicts.rotten = True
        return True

    # -- its disk ----------------------------------------------------------------------

    def _disk_full(self, fault: Fault, node: Node) -> bool:
        node.disk.trouble = "full"
        self._later(fault.seconds, self._set, node.disk, "trouble", "")
        return self._world.setup.disk != "off"

    def _disk_hung(self, fault: Fault, node: Node) -> bool:
        node.disk.trouble = "hung"
        self._later(fault.seconds, self._set, node.disk, "trouble", "")
        return self._world.setup.disk != "off"

    def _disk_flip(self, fault: Fault, node: Node) -> bool:
        if node.process is None or node.paused:
            return False
        node.disk.flip()
        node.died(node.process, "crash")
        node.forget_disk()
        return True

    def _disk_lost(self, fault: Fault, node: Node) -> bool:
        if not node.on:
            return False
        node.lose_power()
        node.disk.wipe()
        node.forget_disk()
        self._world.schedule.after(fault.seconds * 0.3, node.start_again)
        return True

    def _sync_lost(self, fault: Fault, node: Node) -> bool:
        node.disk.lying = True
        return True

    # -- the network -------------------------------------------------------------------

    def _cut(self, fault: Fault, node: Node) -> bool:
        self._block(fault.seconds, ("A", "B"), ("B", "A"))
        return True

    def _one_way(self, fault: Fault, node: Node) -> bool:
        self._block(fault.seconds, ("A", "B") if fault.level < 0.5 else ("B", "A"))
        return True

    def _block(self, seconds: float, *directions: tuple[str, str]) -> None:
        network = self._world.network
        network.block(*directions)
        self._later(seconds, network.unblock, *directions)

    def _reset(self, fault: Fault, node: Node) -> bool:
        wires = list(self._world.network.wires)
        for wire in wires:
            wire.reset()
        return bool(wires)

    def _slow(self, fault: Fault, node: Node) -> bool:
        network = self._world.network
        network.slow_by = self._world.timing.ack_timeout * fault.level
        self._world.bulk_delay = 0.3 * fault.level
        self._later(fault.seconds, self._set, network, "slow_by", 0.0)
        self._later(fault.seconds, self._set, self._world, "bulk_delay", 0.002)
        return True

    def _lag(self, fault: Fault, node: Node) -> bool:
        network = self._world.network
        network.lag = self._world.timing.ack_timeout * (0.5 + 2 * fault.level)
        self._later(fault.seconds, self._set, network, "lag", 0.0)
        return True

    def _proxy(self, fault: Fault, node: Node) -> bool:
        network = self._world.network
        network.proxy = 0.3 * fault.level**2 + 0.005
        self._later(fault.seconds, self._set, network, "proxy", 0.0)
        return True

    def _flip_acks(self, fault: Fault, node: Node) -> bool:
        network = self._world.network
        network.flips = 0.3 * fault.level
        self._later(fault.seconds, self._set, network, "flips", 0.0)
        return True

    def _isolate(self, fault: Fault, node: Node) -> bool:
        lead = fault.seconds * fault.level if fault.level > 0.3 else 0.0
        self._unreachable(lead + fault.seconds, node.name)
        self._later(lead, self._block, fault.seconds, ("A", "B"), ("B", "A"))
        return True

    def _whole_network(self) -> None:
        network = self._world.network
        network.slow_by = network.lag = network.proxy = network.flips = 0.0
        self._world.bulk_delay = 0.002
        network.unblock(("A", "B"), ("B", "A"))

    # -- the store ---------------------------------------------------------------------

    def _unreachable(self, seconds: float, *names: str) -> None:
        unreachable = self._world.store.unreachable
        unreachable.update(names)
        for name in names:
            self._later(seconds, unreachable.discard, name)

    def _store(self, fault: Fault, node: Node) -> bool:
        self._unreachable(fault.seconds, *NAMES)
        return True

    def _store_one(self, fault: Fault, node: Node) -> bool:
        self._unreachable(fault.seconds, node.name)
        return True

    def _store_slow(self, fault: Fault, node: Node) -> bool:
        slow = self._world.store.slow
        slow[node.name] = self._world.timing.t_conf / 3 * fault.level * 1.2
        self._later(fault.seconds, slow.pop, node.name, None)
        return True

    def _flaky(self, fault: Fault, node: Node) -> bool:
        store = self._world.store
        store.flaky = 0.2 + 0.6 * fault.level
        self._later(fault.seconds, self._set, store, "flaky", 0.0)
        return True

    def _stale(self, fault: Fault, node: Node) -> bool:
        stale = self._world.store.stale
        stale.add(node.name)
        self._later(fault.seconds, stale.discard, node.name)
        return True

    def _store_full(self, fault: Fault, node: Node) -> bool:
        nas = self._world.store.nas
        nas.full = True
        self._later(fault.seconds, self._set, nas, "full", False)
        return True

    def _leader(self, fault: Fault, node: Node) -> bool:
        etcd = self._world.etcd
        if etcd is None or etcd.leaderless:
            return False
        etcd.leaderless = True
        self._later(fault.seconds, etcd.elect)
        return True

    def _revoke(self, fault: Fault, node: Node) -> bool:
        """What is revoked by hand from a holder that nobody hears of is asking for two."""
        world = self._world
        active = world.active()
        linked = active is not None and active.links is not None and active.links.connected
        if world.etcd is None or not linked:
            return False
        return world.etcd.revoke(lease_too=fault.level < 0.5)

    def _lb_path(self, fault: Fault, node: Node) -> bool:
        if node.lb_cut_at is not None:
            return False
        node.lb_cut_at = self._world.schedule.now
        self._later(max(fault.seconds, 4.5), self._set, node, "lb_cut_at", None)
        return True

    def _line_garbage(self, fault: Fault, node: Node) -> bool:
        if self._world.etcd is not None:
            return False
        content = GARBAGE[int(fault.level * len(GARBAGE))]
        if self._world.verdicts.record is None and parse(content) is not None:
            return False  # a wrong line before the first record is another pair
        self._world.store.nas.put(PAIR_FILE, content)
        return True

    # -- operators ---------------------------------------------------------------------

    def _ask(self, kind: str) -> bool:
        """Of the active node, or of any that lives."""
        world = self._world
        processes = [node.process for node in world.nodes.values() if node.process is not None]
        asked = world.active() or next(iter(processes), None)
        if asked is None or not asked.runs:
            return False
        asked.enter()
        member = asked.member
        if not member.ask(kind, "operator", asked.clock):
            return False
        asked.wake()
        asked.after(3 * world.timing.t_conf, member.withdraw)
        return True

    def _switchover(self, fault: Fault, node: Node) -> bool:
        return self._world.active() is not None and self._ask("switchover")

    def _resync(self, fault: Fault, node: Node) -> bool:
        return self._ask("resync")

    def _edit(self, fault: Fault, node: Node) -> bool:
        record = self._world.verdicts.record
        if record is None or self._world.etcd is not None:
            return False
        other, same = record.nodes[0], record.nodes[1]  # it may be saved as it is, too
        self._write_line(record.holder == (same if fault.level < 0.3 else other))
        return True

    def _write_line(self, second_up: bool) -> None:
        line = b"A\\B\\secondaryUP" if second_up else b"A\\B"
        self._world.store.nas.put(PAIR_FILE, line)

    def _mend_line(self, second_up: bool) -> None:
        """config repair: a line that nobody understands is written anew."""
        if self._world.store.nas.content(PAIR_FILE) in GARBAGE:
            self._write_line(second_up)

    def _pause(self, fault: Fault, node: Node) -> bool:
        if not self._ask("pause"):
            return False
        self._later(fault.seconds, self._ask, "resume")
        return True

    def _force(self, fault: Fault, node: Node) -> bool:
        """An operator waits for a moment in which nobody serves, or not even that."""
        until = self._world.schedule.now + 4 * self._world.timing.t_conf
        self._force_when_closed(node, until, hasty=fault.level > 0.7)
        return True

    def _force_when_closed(self, node: Node, until: float, hasty: bool) -> None:
        process, world = node.process, self._world
        closed = process is not None and process.runs and (hasty or world.active() is None)
        if process is not None and closed:
            process.enter()
            if process.member.ask("force", "operator", process.clock):
                process.wake()
                process.after(2 * world.timing.t_conf, process.member.withdraw)
        elif world.schedule.now < until:
            self._later(0.3 * world.timing.t_conf, self._force_when_closed, node, until, hasty)

    def _force_fenced(self, fault: Fault, node: Node) -> bool:
        """The store goes, then a node; an operator pulls its plug, and says so to the other.
        Now and then that one's gate does not open."""
        process = node.process
        other = next(one for one in self._world.nodes.values() if one is not node)
        if process is None or not process.runs:
            return False
        if fault.level > 0.8:
            self._gate_shut(fault, node)
        self._unreachable(fault.seconds + self._world.timing.t_conf, *NAMES)
        self._later(0.5 * self._world.timing.t_conf * fault.level, self._vouch_for, node, other)
        return True

    def _vouch_for(self, node: Node, other: Node) -> None:
        if other.on:
            other.lose_power()
        patience = 2 * self._world.timing.t_conf
        other.vouched_until = self._world.schedule.now + patience
        process = node.process
        if process is None or not process.runs:
            return
        process.enter()
        if process.member.ask("force_fenced", "operator", process.clock):
            process.wake()
            process.after(0.5 * patience, process.member.withdraw)
