"""Clients that write as fast as they are acknowledged, or at a rate, and others that look at it.

Writers, each with slots of its own in an object of its own (every second one persistent, every
third one speaks AMF3) and methods that it calls in turn; watchers subscribe to all objects for
the whole run; comers do so too, but go and come back with the versions they know; full reads are
fresh clients that look at everything once. What they do and see goes into a `History`.
"""

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
from .pair import now, within

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
        runs = _runs(await self.connection.call("counts"))
        self.history.runs_read(runs, floors, self.name)


class Watcher:
    """Subscribes to every writer's object and checks each thing it is told."""

    def __init__(self, url: str, observer: Observer, writers: Iterable[Writer]) -> None:
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
        self, url: str, observer: Observer, writers: Iterable[Writer], moments: random.Random
    ) -> None:
        super().__init__(url, observer, writers)
        self._moments = moments
        self._proxy = ChaosProxy()
        self.staying = False

    async def open(self) -> None:
        scheme, _, rest = self.url.partition("://")
        address, _, path = rest.partition("/")
        host, _, port = address.rpartition(":")
        await self._proxy.start((host, int(port)))
        proxy_host, proxy_port = self._proxy.address
        self.url = f"{scheme}://{proxy_host}:{proxy_port}/{path}"
        await super().open()

    async def run(self) -> None:
        """Come and go until cancelled; while `staying`, stay."""
        while True:
            await asyncio.sleep(self._moments.uniform(1.0, 8.0))
            if self.staying:
                continue
            self._proxy.refuse = True
            self._proxy.cut()
            await asyncio.sleep(self._moments.choice((0.0, 0.5, 3.0, 8.0)))
            self._proxy.refuse = False

    async def close(self) -> None:
        await super().close()
        await self._proxy.stop()


class Load:
    """All clients of one run; `history` is where to look afterwards.

    looks_every: seconds between two full reads in the background; None: none.
    """

    def __init__(
        self,
        url: str,
        *,
        writers: int = 20,
        watchers: int = 2,
        comers: int = 0,
        mix: Sequence[str] = TAKEOVER_MIX,
        rate: float | None = None,
        looks_every: float | None = None,
        moments: random.Random | None = None,
    ) -> None:
        self.url = url
        self.history = History()
        self.writers = [
            Writer(url, f"c{index:02d}", self.history, mix=mix, rate=rate)
            for index in range(writers)
        ]
        self.watchers = [
            Watcher(url, self.history.observer(f"w{index}"), self.writers)
            for index in range(watchers)
        ]
        moments = moments or random.Random()
        self.comers = [
            Comer(url, self.history.observer(f"g{index}"), self.writers, moments)
            for index in range(comers)
        ]
        self._looks_every = looks_every
        self._writing: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(*(writer.open() for writer in self.writers))
                await asyncio.gather(*(one.open() for one in [*self.watchers, *self.comers]))
        except BaseException:
            await self._close()
            raise
        self.resume()
        self._others = [asyncio.create_task(comer.run()) for comer in self.comers]
        if self._looks_every is not None:
            self._others.append(asyncio.create_task(self._look_on(self._looks_every)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.writing = False
        tasks = [*self._writing, *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        closing = [writer.connection.close() for writer in self.writers]
        closing += [one.close() for one in [*self.watchers, *self.comers]]
        await asyncio.gather(*closing, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended a client, if anything did."""
        for task in [*self._writing, *self._others]:
            if task.done() and not task.cancelled():
                task.result()

    async def acknowledged(self, more: int, *, seconds: float = 60.0) -> None:
        """Wait until `more` further writes are acknowledged."""
        goal = self.history.acknowledged() + more

        async def reached() -> bool:
            self.check()
            return self.history.acknowledged() >= goal

        await within(seconds, f"{more} more acknowledged writes", reached)

    async def everyone_served(self, since: float, *, seconds: float = 30.0) -> None:
        """Wait until every writer had a write acknowledged after `since`."""

        async def served() -> bool:
            self.check()
            return all(
                client.acked_at and client.acked_at[-1] > since
                for client in self.history.clients.values()
            )

        await within(seconds, "a write of every client acknowledged", served)

    async def rest(self) -> None:
        """Let every writer finish the write it is at and stay connected."""
        for writer in self.writers:
            writer.writing = False
        async with asyncio.timeout(WRITE_TIMEOUT):
            await asyncio.gather(*self._writing)
        self.history.rested_at = now()

    def resume(self) -> None:
        """Let the writers go on."""
        self.history.rested_at = float("inf")
        for writer in self.writers:
            writer.writing = True
        self._writing = [asyncio.create_task(writer.run()) for writer in self.writers]

    async def full_read(
        self, reader: str, *, url: str | None = None, seconds: float = 30.0
    ) -> dict[Slot, int]:
        """Look at everything with a fresh client, trying again until one look succeeds."""

        async def attempt() -> dict[Slot, int] | None:
            return await self._try_full_read(reader, url or self.url)

        found: dict[Slot, int] = await within(seconds, f"a full read by {reader}", attempt)
        return found

    async def mirrors(self, values: dict[Slot, int], *, seconds: float = 60.0) -> None:
        """At rest: whoever was told all changes must hold `values`; who does not is stale."""
        mirrors = [*self.watchers, *self.comers]
        for comer in self.comers:
            comer.staying = True

        async def all_there() -> bool:
            return all(mirror.values() == values for mirror in mirrors)

        with contextlib.suppress(AssertionError):  # Overdue; told in detail here
            await within(seconds, "every reader holds the same", all_there)
        for mirror in mirrors:
            self.history.mirrored(mirror.values(), values, mirror.observer.name)
        for comer in self.comers:
            comer.staying = False

    async def _look_on(self, every: float) -> None:
        number = 0
        while True:
            await asyncio.sleep(every)
            number += 1
            await self._try_full_read(f"look-{number}", self.url)

    async def _try_full_read(self, reader: str, url: str) -> dict[Slot, int] | None:
        floors = self.history.floors()
        connection = NetConnection(reconnect=False)
        try:
            async with asyncio.timeout(5):
                await connection.connect(url, reader, "Reader")
                objects = await asyncio.gather(
                    *(
                        connection.shared_object(writer.object_name, persistent=writer.persistent)
                        for writer in self.writers
                    )
                )
                runs = _runs(await connection.call("counts"))
        except (ConnectError, ConnectionLost, TimeoutError, OSError):
            return None
        finally:
            with contextlib.suppress(ConnectionLost, OSError):
                await connection.close()
        values: dict[Slot, int] = {
            (writer.object_name, key): int(value)
            for writer, shared_object in zip(self.writers, objects, strict=True)
            for key, value in dict(shared_object).items()
        }
        self.history.full_read(values, floors, reader)
        self.history.runs_read(runs, floors, reader)
        return values


def _number(value: float | None) -> int | None:
    return None if value is None else int(value)


def _runs(variables: dict[str, float]) -> dict[Counted, int]:
    """Of the application's variables those that count: "method/client"."""
    found = {}
    for name, value in dict(variables).items():
        method, _, client = name.partition("/")
        if client:
            found[method, client] = int(value)
    return found
