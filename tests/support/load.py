"""Clients that write as fast as they are acknowledged, and others that look at it.

Twenty writers, each with slots of its own in an object of its own (every second one persistent)
and a method that it calls in turn; watchers subscribe to all objects for the whole run; full
reads are fresh clients that look at everything once. What they do and see goes into a `History`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from rtmp_sync import NetConnection
from rtmp_sync.errors import CallError, ConnectError, ConnectionLost

from .history import CallAnswer, Client, History, Observer, Slot
from .pair import now, within

SLOTS_PER_WRITER = 256  # so many later writes may pass before a lost one could hide
INTERRUPTED = "NetConnection.Call.Interrupted"
WRITE_TIMEOUT = 60.0  # far beyond any takeover: reaching it is a failure, not a slow write


class Writer:
    """One client: its own object, its own numbers, one write at a time."""

    def __init__(self, url: str, name: str, client: Client, history: History) -> None:
        self.url = url
        self.name = name
        self.client = client
        self.history = history
        self.persistent = int(name[1:]) % 2 == 0
        self.object_name = f"board-{name}"
        self.connection = NetConnection(reconnect=True)
        self.number = 0
        self.writing = True

    async def open(self) -> None:
        await self.connection.connect(self.url, self.name, "Writer")
        self.shared_object = await self.connection.shared_object(
            self.object_name, persistent=self.persistent
        )

    async def run(self) -> None:
        while self.writing:
            self.number += 1
            try:
                if self.number % 2:
                    await self._set()
                else:
                    await self._call()
            except ConnectionLost:
                self.client.unknown += 1
                await asyncio.sleep(0.01)
            except CallError as error:
                if error.code != INTERRUPTED:
                    raise
                self.client.unknown += 1

    async def _set(self) -> None:
        key = f"s{self.number % SLOTS_PER_WRITER}"
        await asyncio.wait_for(self.shared_object.set(key, float(self.number)), WRITE_TIMEOUT)
        self.history.set_acked(self.client, (self.object_name, key), self.number, now())

    async def _call(self) -> None:
        result = await self.connection.call(
            "note", self.name, float(self.number), timeout=WRITE_TIMEOUT
        )
        previous, repeated, pid, epoch, at = result
        answer = CallAnswer(int(previous), int(repeated), int(pid), int(epoch), at)
        self.history.call_acked(self.client, self.number, answer, now())


class Watcher:
    """Subscribes to every writer's object and checks each thing it is told."""

    def __init__(self, url: str, observer: Observer, writers: Iterable[Writer]) -> None:
        self.url = url
        self.observer = observer
        self.writers = list(writers)
        self.connection = NetConnection(reconnect=True)

    async def open(self) -> None:
        await self.connection.connect(self.url, self.observer.name, "Reader")
        for writer in self.writers:
            shared_object = await self.connection.shared_object(
                writer.object_name, persistent=writer.persistent
            )
            self._watch(writer.object_name, shared_object)

    def _watch(self, name: str, shared_object: Any) -> None:
        def on_sync(changes: list[dict[str, Any]]) -> None:
            for change in changes:
                if change["code"] == "change":
                    key = change["name"]
                    self.observer.saw((name, key), int(shared_object[key]))
                elif change["code"] == "delete":
                    self.observer.lost_sight((name, change["name"]))
                elif change["code"] == "clear":
                    self._look_again(name, shared_object)

        shared_object.on_sync = on_sync
        self._look_again(name, shared_object)

    def _look_again(self, name: str, shared_object: Any) -> None:
        """Everything seen so far must still be there: after a clear the whole object follows."""
        keys = {key for object_name, key in self.observer.last if object_name == name}
        for key in keys | set(shared_object):
            self.observer.saw((name, key), int(shared_object.get(key, 0)))


class Load:
    """Writers and watchers of one run; `history` is where to look afterwards."""

    def __init__(
        self, url: str, history: History | None = None, *, writers: int = 20, watchers: int = 2
    ) -> None:
        self.url = url
        self.history = history or History()
        names = [f"c{index:02d}" for index in range(writers)]
        self.writers = [
            Writer(url, name, self.history.client(name), self.history) for name in names
        ]
        self.watchers = [
            Watcher(url, self.history.observer(f"w{index}"), self.writers)
            for index in range(watchers)
        ]
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(*(writer.open() for writer in self.writers))
                await asyncio.gather(*(watcher.open() for watcher in self.watchers))
        except BaseException:
            await self._close()
            raise
        self._running = [asyncio.create_task(writer.run()) for writer in self.writers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.writing = False
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        everyone = [*self.writers, *self.watchers]
        await asyncio.gather(*(one.connection.close() for one in everyone), return_exceptions=True)

    def check(self) -> None:
        """Raise what ended a writer, if anything did."""
        for task in self._running:
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
            await asyncio.gather(*self._running)
        self.history.rested_at = now()

    async def full_read(
        self, reader: str, *, url: str | None = None, seconds: float = 30.0
    ) -> None:
        """Look at everything with a fresh client, trying again until one look succeeds."""

        async def attempt() -> bool:
            return await self._try_full_read(reader, url or self.url)

        await within(seconds, f"a full read by {reader}", attempt)

    async def _try_full_read(self, reader: str, url: str) -> bool:
        floors = self.history.floors()
        calls = {name: client.last_call for name, client in self.history.clients.items()}
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
                notes = dict(await connection.call("last_notes"))
        except (ConnectError, ConnectionLost, TimeoutError, OSError):
            return False
        finally:
            with contextlib.suppress(ConnectionLost, OSError):
                await connection.close()
        values: dict[Slot, int] = {
            (writer.object_name, key): int(value)
            for writer, shared_object in zip(self.writers, objects, strict=True)
            for key, value in dict(shared_object).items()
        }
        self.history.full_read(values, floors, reader)
        for name, number in calls.items():
            if int(notes.get(name, 0)) < number:
                self.history.lost.append(
                    f"{reader}: last call of {name} is {notes.get(name)}, acked {number}"
                )
        return True
