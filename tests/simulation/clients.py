"""The world outside: writers with unique values, and readers that go away and come back.

Both record what they sent and what they were told; `verdicts.py` compares.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from tests.simulation.outcome import Broken
from tests.simulation.schedule import Schedule
from tests.simulation.service import Message, Operation, Service, Session

__all__ = ["Door", "Reader", "Writer"]

LOGS = ("P:log", "T:log")  # every write has a slot of its own
HOT = ("P:hot", "T:hot")  # few slots, written and deleted again and again
HOT_KEYS = 4


class Door(Protocol):
    """The load balancer, and the network to the origins."""

    @property
    def service(self) -> Service: ...

    @property
    def runs(self) -> bool: ...

    def after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None: ...
    def enter(self) -> None: ...


class _Client:
    def __init__(
        self, name: str, schedule: Schedule, chance: random.Random, doors: Callable[[], list[Door]]
    ) -> None:
        self.name = name
        self.key = name.encode().ljust(16, b".")
        self.session: Session | None = None
        self.stats: Counter[str] = Counter()
        self._schedule = schedule
        self._chance = chance
        self._doors = doors
        self._door: Door | None = None

    def cut(self, session: Session) -> None:
        """The server ended the connection, or its host did."""
        if session is self.session:
            self.session = self._door = None

    def drop(self) -> None:
        """Go away without a word."""
        session, door = self.session, self._door
        self.session = self._door = None
        if session is not None and door is not None:
            door.after(0.001, self._gone, door, session)

    def _gone(self, door: Door, session: Session) -> None:
        door.enter()
        session.service.leave(session)

    def _connect(self) -> bool:
        doors = self._doors()
        if not doors:
            return False
        door = self._chance.choice(doors)
        door.enter()
        self.session = door.service.connect(self)
        self._door = door if self.session is not None else None
        return self.session is not None

    def _send(self, operation: Operation) -> None:
        door, session = self._door, self.session
        assert door is not None
        assert session is not None
        if door.runs:
            door.enter()
            session.service.receive(session, operation)
        else:  # the kernel takes it; the process may, later
            door.after(0.0, self._arrive, door, session, operation)

    def _arrive(self, door: Door, session: Session, operation: Operation) -> None:
        door.enter()
        session.service.receive(session, operation)

    def receive(self, session: Session, message: Message) -> None:
        raise NotImplementedError

    def come_back(self) -> None:
        """Connect again if the connection is gone and somebody serves."""
        raise NotImplementedError

    def gate_opened(self) -> None:
        """Those that wait are there at once."""
        self._schedule.after(0.01 * self._chance.random(), self.come_back)


class Writer(_Client):
    """Sets and deletes slots, makes keyed calls and reads; retries calls after a reconnect."""

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        chance: random.Random,
        doors: Callable[[], list[Door]],
        interval: float,
    ) -> None:
        super().__init__(name, schedule, chance, doors)
        self.stopped = False
        self.open_calls: dict[int, Operation] = {}
        self._results: dict[int, bytes] = {}
        self._interval = interval
        self._count = 0
        self._calls = 0
        schedule.after(chance.random() * interval, self._act)

    def stop(self) -> None:
        """Nothing new; what is open is still waited for."""
        self.stopped = True

    def receive(self, session: Session, message: Message) -> None:
        if session is not self.session:
            return
        if message.kind in ("result", "interrupted"):
            assert message.operation is not None
            self._settle(message.operation.number, message.result)
        elif message.kind == "done":
            self.stats["acknowledged"] += 1
        if self._chance.random() < 0.01:  # the connection breaks here
            self.drop()

    def _settle(self, number: int, result: bytes) -> None:
        self.open_calls.pop(number, None)
        known = self._results.setdefault(number, result)
        if result and known and known != result:
            raise Broken("duplicate", f"call {number} of {self.name}: {known!r}, then {result!r}")
        self.stats["keyed_calls"] += 1

    def _act(self) -> None:
        chance = self._chance
        pause = chance.uniform(0.3, 1.7) * self._interval
        self._schedule.after(pause, self._act)
        if self._door is not None and not self._door.runs and chance.random() < 0.3:
            self.drop()
        if self.session is None:
            self.come_back()
        elif not self.stopped:
            self._send(self._next())

    def come_back(self) -> None:
        if self.session is None and self._connect():
            for operation in list(self.open_calls.values()):
                if self.session is not None:
                    self._send(operation)

    def _next(self) -> Operation:
        chance = self._chance
        self._count += 1
        value = f"{self.name}.{self._count}".encode()
        dice = chance.random()
        if dice < 0.4:
            name = chance.choice(LOGS)
            return Operation("set", name, f"{self.name}.{self._count}", value)
        hot, key = chance.choice(HOT), f"k{chance.randrange(HOT_KEYS)}"
        if dice < 0.55:
            return Operation("set", hot, key, value)
        if dice < 0.67:
            return Operation("delete", hot, key)
        if dice < 0.7:
            return Operation(chance.choice(["clear", "destroy"]), hot, "", value)
        if dice < 0.8:
            return Operation("read", hot, key)
        self._calls += 1
        seconds = chance.choice([0.0, 0.02, 0.3])
        lowest = min(self.open_calls, default=self._calls)
        call = Operation("call", "", "", value, self._calls, lowest, 0, seconds)
        self.open_calls[self._calls] = call
        return call


class Reader(_Client):
    """Keeps copies of the objects by what it is told, and returns with the versions it has."""

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        chance: random.Random,
        doors: Callable[[], list[Door]],
        interval: float,
    ) -> None:
        super().__init__(name, schedule, chance, doors)
        self.staying = False
        self.copies: dict[str, dict[str, bytes]] = {name: {} for name in (*LOGS, *HOT)}
        self.versions = dict.fromkeys(self.copies, 0)
        self._interval = interval
        self._told: set[str] = set()
        schedule.after(chance.random() * interval, self._act)

    def stay(self) -> None:
        """Go away no more."""
        self.staying = True

    @property
    def complete(self) -> bool:
        """Connected, and told of every object."""
        return self.session is not None and len(self._told) == len(self.copies)

    def receive(self, session: Session, message: Message) -> None:
        if session is not self.session:
            return
        self.stats["seen"] += len(message.writes)
        copy = self.copies[message.name]
        if message.kind == "dump":
            self._told.add(message.name)
            if message.full:
                copy.clear()
            self.versions[message.name] = message.version
        if message.kind == "cleared":
            copy.clear()
        for write in message.writes:
            if write.value is None:
                copy.pop(write.key, None)
            else:
                copy[write.key] = write.value
            if message.kind != "dump":
                self.versions[message.name] = write.version

    def _act(self) -> None:
        chance = self._chance
        self._schedule.after(chance.uniform(0.3, 1.7) * self._interval, self._act)
        frozen = self._door is not None and not self._door.runs
        if self.session is not None:
            if frozen or (not self.staying and chance.random() < 0.3):
                self.drop()
            return
        self.come_back()

    def come_back(self) -> None:
        if self.session is not None:
            return
        self._told.clear()
        if self._connect():
            for name, version in self.versions.items():
                if self.session is not None:
                    self._send(Operation("use", name, version=version))
