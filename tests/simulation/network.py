"""The network between the nodes, and the TCP connections that cross it.

A connection delivers in order what was sent, or nothing any more: what a blocked network holds
back arrives when it is open again, if the connection still stands. A broken proxy on the way
changes messages: the real `Link` has to notice.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol

from rtmp_sync.wire.records import LANE_DELTA, MAC_BYTES
from tests.simulation.schedule import Schedule

__all__ = ["Network", "Wire", "WireEnd"]

Message = tuple[int, bytes]

LISTEN_SECONDS = 0.05  # how often it is looked whether an end listens again

SHORT_BYTES = 32  # an envelope with a number or two in it


class WireEnd(Protocol):
    """A process's end of a connection. Called only while the process runs."""

    def received(self, messages: list[Message], epoch: int) -> None:
        """epoch: in which the sender served when it sent them, by its own belief."""

    def ended(self) -> None: ...

    @property
    def runs(self) -> bool:
        """Neither dead nor frozen: takes what arrives."""

    @property
    def lives(self) -> bool:
        """Not dead, whether it runs or not."""

    @property
    def place(self) -> str:
        """The node's name."""


class Network:
    """latency: seconds, typical. blocked: directions (from, to) that nothing passes."""

    def __init__(self, schedule: Schedule, chance: random.Random, latency: float) -> None:
        self.schedule = schedule
        self.chance = chance
        self.latency = latency
        self.slow_by = 0.0
        self.lag = 0.0  # of Changes behind everything else, seconds
        self.proxy = 0.0  # share of messages that something on the way spoils
        self.flips = 0.0  # share of short messages (ACK, PROMISE) with another number in them
        self.blocked: set[tuple[str, str]] = set()
        self.wires: list[Wire] = []

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.blocked

    def delay(self) -> float:
        delay = self.latency * (0.5 + self.chance.random())
        return delay + self.slow_by * self.chance.random() if self.slow_by else delay

    def connect(self, dialer: WireEnd, acceptor: WireEnd) -> Wire:
        wire = Wire(self, dialer, acceptor)
        self.wires.append(wire)
        return wire

    def block(self, *directions: tuple[str, str]) -> None:
        self.blocked.update(directions)

    def unblock(self, *directions: tuple[str, str]) -> None:
        self.blocked.difference_update(directions)
        for wire in list(self.wires):
            wire.resume()


class Wire:
    """One connection: two directions, 0 from the dialer and 1 from the acceptor. Deltas that
    stand behind bulk have a queue of their own (2 and 3): what is urgent passes them."""

    def __init__(self, network: Network, dialer: WireEnd, acceptor: WireEnd) -> None:
        self.open = True
        self.spoiled = False  # something on the way has changed what was sent
        self._network = network
        self._ends = (dialer, acceptor)
        self._queues: list[deque[_Sent]] = [deque(), deque(), deque(), deque()]
        self._busy_until = [0.0, 0.0, 0.0, 0.0]
        self._old: list[Message] = []  # what a proxy may replay

    def send(self, end: WireEnd, messages: list[Message], epoch: int) -> None:
        if not self.open or not messages:
            return
        side = 0 if end is self._ends[0] else 1
        network = self._network
        self.spoiled = self.spoiled or network.proxy > 0 or network.flips > 0
        if network.proxy:
            messages = self._spoil(messages)
        if network.flips:
            messages = self._raise_short(messages)
        if network.lag or self._queues[2 + side]:
            late = [message for message in messages if message[0] == LANE_DELTA]
            messages = [message for message in messages if message[0] != LANE_DELTA]
            if late:  # behind the deltas that are still on the common way
                self._busy_until[2 + side] = max(self._busy_until[side::2])
                self._put(2 + side, late, epoch, network.delay() + network.lag)
        if messages:
            self._put(side, messages, epoch, network.delay())

    def _put(self, queue: int, messages: list[Message], epoch: int, delay: float) -> None:
        schedule = self._network.schedule
        arrival = max(self._busy_until[queue], schedule.now + delay)
        self._busy_until[queue] = arrival
        self._queues[queue].append((arrival, messages, epoch))
        schedule.after(arrival - schedule.now, self._deliver, queue)

    def close(self, end: WireEnd) -> None:
        """This end is gone: the other one reads what was sent, then the end."""
        if not self.open:
            return
        side = 0 if end is self._ends[0] else 1
        self._queues[side].append((self._network.schedule.now, None, 0))
        self._network.schedule.after(self._network.delay(), self._deliver, side)
        self._queues[1 - side].clear()
        self._queues[3 - side].clear()

    def process_ended(self, place: str, *, silent: bool) -> None:
        """A host has lost its power without a word, or its kernel closes what a process had."""
        for end in self._ends:
            if end.place == place and not end.runs:
                if silent:
                    self._end()
                else:
                    self.close(end)

    def reset(self) -> None:
        """Both ends are told that it is over, each as soon as it listens."""
        self._end()
        for side in (0, 1):
            self._queues[side].clear()
            self._queues[2 + side].clear()
            self._tell_end(side)

    def _tell_end(self, side: int) -> None:
        sender, receiver = self._ends[side], self._ends[1 - side]
        network = self._network
        if receiver.runs and network.passes(sender.place, receiver.place):
            receiver.ended()
        elif receiver.lives:
            network.schedule.after(LISTEN_SECONDS, self._tell_end, side)

    def resume(self) -> None:
        """The network or a process goes on: deliver what has piled up."""
        for queue in range(4):
            self._deliver(queue)

    def _deliver(self, number: int) -> None:
        queue, side = self._queues[number], number % 2
        sender, receiver = self._ends[side], self._ends[1 - side]
        network = self._network
        now = network.schedule.now
        while queue and queue[0][0] <= now and self.open:
            if not receiver.runs or not network.passes(sender.place, receiver.place):
                return
            _, messages, epoch = queue.popleft()
            if messages is None:
                self._end()
                receiver.ended()
                return
            receiver.received(messages, epoch)

    def _end(self) -> None:
        self.open = False
        if self in self._network.wires:
            self._network.wires.remove(self)

    def _spoil(self, messages: list[Message]) -> list[Message]:
        chance, spoiled = self._network.chance, []
        for lane, payload in messages:
            if chance.random() >= self._network.proxy:
                spoiled.append((lane, payload))
                self._old.append((lane, payload))
                continue
            match chance.choice(["flip", "flip", "drop", "double", "replay", "swap", "lane"]):
                case "flip":
                    spoiled.append((lane, _flipped(payload, chance)))
                case "double":
                    spoiled += [(lane, payload), (lane, payload)]
                case "replay" if self._old:
                    spoiled += [(lane, payload), chance.choice(self._old)]
                case "swap":
                    spoiled.insert(max(0, len(spoiled) - 1), (lane, payload))
                case "lane":
                    spoiled.append((chance.choice([8, 9, 10, 11]), payload))
                case _:  # drop
                    pass
        return spoiled

    def _raise_short(self, messages: list[Message]) -> list[Message]:
        """Nothing but the mac tells: a flipped bit makes another number of a number."""
        chance, share = self._network.chance, self._network.flips
        raised = []
        for lane, payload in messages:
            if len(payload) <= SHORT_BYTES and chance.random() < share:
                spoiled = bytearray(payload)
                spoiled[-MAC_BYTES - 3] ^= 1 << chance.randrange(3)
                payload = bytes(spoiled)
            raised.append((lane, payload))
        return raised


_Sent = tuple[float, "list[Message] | None", int]


def _flipped(payload: bytes, chance: random.Random) -> bytes:
    spoiled = bytearray(payload)
    if spoiled:
        spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)
