"""All clients of a run, their rests, and what a fresh client sees of everything.

Writers, each with slots of its own in an object of its own (every second one persistent, every
third one speaks AMF3) and methods that it calls in turn; watchers subscribe to all objects for
the whole run; comers do so too, but go and come back with the versions they know; leavers write
and are gone before they know what came of it; full reads are fresh clients that look at
everything once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

from rtmp_sync import NetConnection
from rtmp_sync.errors import ConnectError, ConnectionLost

from .clients import TAKEOVER_MIX, WRITE_TIMEOUT, Board, Comer, Leaver, Watcher, Writer, runs_of
from .history import History, Slot
from .pair import Overdue, now, within


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
        leavers: int = 0,
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
        moments = moments or random.Random()
        self.leavers = [Leaver(url, f"l{index}", self.history, moments) for index in range(leavers)]
        boards: list[Board] = [*self.writers, *self.leavers]
        self.watchers = [
            Watcher(url, self.history.observer(f"w{index}"), boards) for index in range(watchers)
        ]
        self.comers = [
            Comer(url, self.history.observer(f"g{index}"), boards, moments)
            for index in range(comers)
        ]
        self._looks_every = looks_every
        self._writing: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(*(writer.open() for writer in self.writers))
                await asyncio.gather(*(leaver.open() for leaver in self.leavers))
                await asyncio.gather(*(reader.open() for reader in self.watchers))
                await asyncio.gather(*(reader.open() for reader in self.comers))
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
        closing += [leaver.close() for leaver in self.leavers]
        closing += [reader.close() for reader in [*self.watchers, *self.comers]]
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
        writers: list[Board] = [*self.writers, *self.leavers]
        for writer in writers:
            writer.writing = False
        async with asyncio.timeout(WRITE_TIMEOUT):
            await asyncio.gather(*self._writing)
        self.history.rested_at = now()

    def resume(self) -> None:
        """Let the writers go on."""
        self.history.rested_at = float("inf")
        writers: list[Board] = [*self.writers, *self.leavers]
        for writer in writers:
            writer.writing = True
        self._writing = [asyncio.create_task(writer.run()) for writer in writers]

    async def full_read(
        self, reader: str, *, url: str | None = None, seconds: float = 30.0
    ) -> dict[Slot, int]:
        """Look at everything with a fresh client, trying again until one look succeeds."""

        async def attempt() -> dict[Slot, int] | None:
            return await self._try_full_read(reader, url or self.url)

        found: dict[Slot, int] = await within(seconds, f"a full read by {reader}", attempt)
        return found

    async def agree(self, reader: str, *, seconds: float = 60.0) -> None:
        """At rest: whoever was told all changes must hold what a full read shows, or is stale.

        A last write of one who left may still be on its way: so until they agree, look again.
        """
        mirrors = [*self.watchers, *self.comers]
        for comer in self.comers:
            comer.staying = True
        values: dict[Slot, int] = {}

        async def all_there() -> bool:
            nonlocal values
            values = await self.full_read(reader)
            return all(mirror.values() == values for mirror in mirrors)

        with contextlib.suppress(Overdue):  # told in detail here
            await within(seconds, "every reader holds the same", all_there, every=0.5)
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
        writers: list[Board] = [*self.writers, *self.leavers]
        connection = NetConnection(reconnect=False)
        try:
            async with asyncio.timeout(5):
                await connection.connect(url, reader, "Reader")
                objects = await asyncio.gather(
                    *(
                        connection.shared_object(writer.object_name, persistent=writer.persistent)
                        for writer in writers
                    )
                )
                runs = runs_of(await connection.call("counts"))
        except (ConnectError, ConnectionLost, TimeoutError, OSError):
            return None
        finally:
            with contextlib.suppress(ConnectionLost, OSError):
                await connection.close()
        values: dict[Slot, int] = {
            (writer.object_name, key): int(value)
            for writer, shared_object in zip(writers, objects, strict=True)
            for key, value in dict(shared_object).items()
        }
        self.history.full_read(values, floors, reader)
        self.history.runs_read(runs, floors, reader)
        return values
