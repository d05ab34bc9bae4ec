"""The kinds of clients that a load is made of; what they do and see goes into a `History`."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence
from typing import Any

from rtmp_sync import NetConnection
from rtmp_sync.errors import CallError, ConnectError, ConnectionLost

from .chaos import ChaosProxy
from .history import CallAnswer, Counted, History, Observer, Slot
from .pair import now

SLOTS_PER_WRITER = 256  # so many later writes may pass before a lost one could hide
DELETED_BEHIND = 101  # odd: deletes hit what was set in a cycle of even length
INTERRUPTED = "NetConnection.Call.Interrupted"
WRITE_TIMEOUT = 120.0  # far beyond any takeover: reaching it is a failure, not a slow write

TAKEOVER_MIX = ("note", "set")
FULL_MIX = (
    *("delete", "set", "note", "set", "look", "set", "note", "set"),
    *("step", "set", "note", "set", "look", "set", "note", "set"),
)


class Writer:
    """One client: its own object, its own numbers, one operation of `mix` at a time.

    rate: operations per second; None: as fast as they are acknowledged.
    """

    def __init__(
        self,
        url: str,
        name: str,
        history: History,
        *,
        mix: Sequence[str] = TAKEOVER_MIX,
        rate: float | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.client = history.client(name)
        self.history = history
        self.persistent = int(name[1:]) % 2 == 0
        self.object_encoding = 3 if int(name[1:]) % 3 == 2 else 0
        self.object_name = f"board-{name}"
        self.connection = NetConnection(reconnect=True)
        self.number = 0
        self.writing = True
        self._mix = mix
        self._pause = 1.0 / rate if rate else 0.0

    async def open(self) -> None:
        await self.connection.connect(
            self.url, self.name, "Writer", object_encoding=self.object_encoding
        )
        self.shared_object = await self.connection.shared_object(
            self.object_name, persistent=self.persistent
        )

    async def run(self) -> None:
        while self.writing:
            self.number += 1
            began = now()
            try:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await getattr(self, f"_{self._mix[self.number % len(self._mix)]}")()
            except ConnectionLost:
                self.client.unknown += 1
                await asyncio.sleep(0.01)
            except CallError as error:
                if error.code != INTERRUPTED:
                    raise
                self.client.unknown += 1
            if self._pause:
                await asyncio.sleep(max(0.0, began + self._pause - now()))

    async def _set(self) -> None:
        slot = (self.object_name, f"s{self.number % SLOTS_PER_WRITER}")
        self.history.set_sent(slot, self.number)
        await self.shared_object.set(slot[1], float(self.number))
        self.history.set_acked(self.client, slot, self.number, now())

    async def _delete(self) -> None:
        slot = (self.object_name, f"s{(self.number - DELETED_BEHIND) % SLOTS_PER_WRITER}")
        self.history.set_sent(slot, self.number, deletes=True)
        await self.shared_object.delete(slot[1])
        self.history.set_acked(self.client, slot, self.number, now())

    async def _note(self) -> None:
        self.history.call_sent(self.client, "note")
        result = await self.connection.call("note", self.name, float(self.number))
        previous, repeated, pid, epoch, at = result
        answer = CallAnswer(int(previous), int(repeated), int(pid), int(epoch), at)
        self.history.note_acked(self.client, self.number, answer, now())

    async def _step(self) -> None:
        for method in ("step", "step-end"):
            self.history.call_sent(self.client, method)
        await self.connection.call("step", self.name)
        for method in ("step", "step-end"):
            self.history.call_acked(self.client, method, now())

    async def _look(self) -> None:
        """A call that changes nothing must not show what may still be taken back (I8)."""
        floors = self.history.floors()
        runs = runs_of(await self.connection.call("counts"))
        self.history.runs_read(runs, floors, self.name)


class Leaver:
    """Short lives that end in the middle of a write: each may have happened, or not.

    No slot is written twice, so that a write that arrives late undoes no other.
    """

    def __init__(self, url: str, name: str, history: History, moments: random.Random) -> None:
        self.url = url
        self.name = name
        self.history = history
        self.persistent = True
        self.object_name = f"board-{name}"
        self.number = 0
        self.writing = True
        self._moments = moments
        self._door = Door(url)

    async def open(self) -> None:
        self.url = await self._door.open()

    async def close(self) -> None:
        await self._door.close()

    async def run(self) -> None:
        while self.writing:
            with contextlib.suppress(ConnectError, ConnectionLost, TimeoutError, OSError):
                await self._live()
            await asyncio.sleep(self._moments.uniform(1.0, 3.0))

    async def _live(self) -> None:
        async with NetConnection(reconnect=False) as connection, asyncio.timeout(10):
            await connection.connect(self.url, self.name, "Writer")
            board = await connection.shared_object(self.object_name, persistent=self.persistent)
            for _ in range(2):
                self.number += 1
                self.history.set_sent((self.object_name, f"s{self.number}"), self.number)
                board.set_nowait(f"s{self.number}", float(self.number))
            await asyncio.sleep(self._moments.uniform(0.0, 0.02))
            self._door.cut()


class Door:
    """A way of a client's own to the pair, which can be cut and shut."""

    def __init__(self, url: str) -> None:
        self._scheme, _, rest = url.partition("://")
        self._target, _, self._path = rest.partition("/")
        self._proxy = ChaosProxy()

    async def open(self) -> str:
        """The address that leads through it."""
        host, _, port = self._target.rpartition(":")
        await self._proxy.start((host, int(port)))
        here, door = self._proxy.address
        return f"{self._scheme}://{here}:{door}/{self._path}"

    def cut(self) -> None:
        self._proxy.cut()

    def shut(self, shut: bool) -> None:
        """Let nobody in, or everybody."""
        self._proxy.refuse = shut

    async def close(self) -> None:
        await self._proxy.stop()


Board = Writer | Leaver  # who owns an object that others look at


class Watcher:
    """Subscribes to every writer's object and checks each thing it is told."""

    def __init__(self, url: str, observer: Observer, writers: Iterable[Board]) -> None:
        self.url = url
        self.observer = observer
        self.writers = list(writers)
        self.connection = NetConnection(reconnect=True)
        self.objects: dict[str, Any] = {}

    async def open(self) -> None:
        await self.connection.connect(self.url, self.observer.name, "Reader")
        for writer in self.writers:
            shared_object = await self.connection.shared_object(
                writer.object_name, persistent=writer.persistent
            )
            self._watch(writer.object_name, shared_object)

    async def close(self) -> None:
        await self.connection.close()

    def values(self) -> dict[Slot, int]:
        """Everything that it was told, as it stands now."""
        return {
            (name, key): int(value)
            for name, shared_object in self.objects.items()
            for key, value in dict(shared_object).items()
        }

    def _watch(self, name: str, shared_object: Any) -> None:
        def on_sync(changes: list[dict[str, Any]]) -> None:
            self.observer.saw_version(name, shared_object.version)
            if any(change["code"] == "clear" for change in changes):
                self._look_again(name, shared_object)
                return
            for change in changes:
                if change["code"] in ("change", "delete"):
                    key = change["name"]
                    self.observer.saw((name, key), _number(shared_object.get(key)))

        self.objects[name] = shared_object
        shared_object.on_sync = on_sync
        self._look_again(name, shared_object)

    def _look_again(self, name: str, shared_object: Any) -> None:
        """Everything seen so far must still be there: after a clear the whole object follows."""
        keys = {key for object_name, key in self.observer.last if object_name == name}
        for key in keys | set(shared_object):
            self.observer.saw((name, key), _number(shared_object.get(key)))


class Comer(Watcher):
    """A watcher that is cut off again and again, and comes back with the versions it knows."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        writers: Iterable[Board],
        moments: random.Random,
    ) -> None:
        super().__init__(url, observer, writers)
        self._moments = moments
        self._door = Door(url)
        self.staying = False

    async def open(self) -> None:
        self.url = await self._door.open()
        await super().open()

    async def run(self) -> None:
        """Come and go until cancelled; while `staying`, stay."""
        while True:
            await asyncio.sleep(self._moments.uniform(1.0, 8.0))
            if self.staying:
                continue
            self._door.shut(True)
            self._door.cut()
            await asyncio.sleep(self._moments.choice((0.0, 0.5, 3.0, 8.0)))
            self._door.shut(False)

    async def close(self) -> None:
        await super().close()
        await self._door.close()


def _number(value: float | None) -> int | None:
    return None if value is None else int(value)


def runs_of(variables: dict[str, float]) -> dict[Counted, int]:
    """Of the application's variables those that count: "method/client"."""
    found = {}
    for name, value in dict(variables).items():
        method, _, client = name.partition("/")
        if client:
            found[method, client] = int(value)
    return found
