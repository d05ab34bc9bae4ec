"""What happened to this node, for operators: the last events, in memory and in a file.

Each event is one JSON object: `at` (wall time, UTC), `clock` (CLOCK_BOOTTIME seconds, so that
events of two nodes of one machine can be ordered), `event`, and its fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiofiles
import aiofiles.os
import structlog

from rtmp_sync.server.clock import now

__all__ = ["History"]

MAX_EVENTS = 1000
MAX_OF_KIND = 250  # what repeats itself pushes out its own kind, and nothing else
MAX_FILE_BYTES = 4 * 1024 * 1024  # then the file begins anew with the events in memory

Event = dict[str, Any]


class History:
    """A bounded number of events; `path` keeps them over a restart."""

    def __init__(self, path: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()  # events of this process, by name
        self._path = path
        self._events: OrderedDict[int, Event] = OrderedDict()  # by number
        self._kinds: defaultdict[str, deque[int]] = defaultdict(deque)  # their numbers, by name
        self._numbers = count(1)
        self._unwritten: deque[Event] = deque(maxlen=MAX_EVENTS)  # while the disk hangs
        self._writing: asyncio.Future[None] | None = None
        self._separator = ""  # after a line that a crash cut short
        self._log = structlog.get_logger("rtmp_sync.history")
        self._load()

    def record(self, event: str, /, **fields: object) -> None:
        """Never waits and never fails: a full disk does not stop a takeover."""
        entry: Event = {"at": datetime.now(UTC).isoformat(), "clock": now(), "event": event}
        entry.update(fields)
        self._keep(entry)
        self.counts[event] += 1
        self._log.info(event, **fields)
        if self._path is not None:
            self._unwritten.append(entry)
            self._begin_writing()

    def events(self) -> list[Event]:
        """Oldest first."""
        return list(self._events.values())

    async def flush(self) -> None:
        """Return when everything recorded before is in the file, or could not be."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    def _keep(self, entry: Event) -> None:
        """In place of the oldest one of its kind, or of all."""
        kind = self._kinds[_kind(entry)]
        if len(kind) >= MAX_OF_KIND:
            del self._events[kind.popleft()]
        elif len(self._events) >= MAX_EVENTS:
            _, oldest = self._events.popitem(last=False)
            self._kinds[_kind(oldest)].popleft()
        number = next(self._numbers)
        self._events[number] = entry
        kind.append(number)

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self._separator = "" if text.endswith("\n") or not text else "\n"
        for line in text.splitlines():
            with contextlib.suppress(ValueError):  # a line that a crash cut short
                if isinstance(entry := json.loads(line), dict):
                    self._keep(entry)

    def _begin_writing(self) -> None:
        if self._writing is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # before the loop runs: the next event takes these with it
            return
        entries = list(self._unwritten)
        self._unwritten.clear()
        self._writing = loop.create_task(self._append(entries))
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing = None
        if not writing.cancelled() and (error := writing.exception()) is not None:
            self._log.warning("history_not_written", error=str(error))
        elif self._unwritten:
            self._begin_writing()

    async def _append(self, entries: list[Event]) -> None:
        if self._path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if await aiofiles.os.path.getsize(self._path) > MAX_FILE_BYTES:
                await self._begin_anew(self._path)
                return
        text = self._separator + _lines(entries)
        try:
            file = await aiofiles.open(self._path, "a", encoding="utf-8")
        except OSError:  # no descriptor is left, say: the next event takes these with it
            self._unwritten = deque((*entries, *self._unwritten), maxlen=MAX_EVENTS)
            raise
        try:
            await file.write(text)
        finally:
            await file.close()
        self._separator = ""

    async def _begin_anew(self, path: Path) -> None:
        """With what is in memory, which has the newest entries too. Beside the file first: a
        crash leaves the old one or the new one."""
        temporary = path.with_name(path.name + ".new")
        async with aiofiles.open(temporary, "w", encoding="utf-8") as file:
            await file.write(_lines(self._events.values()))
        await aiofiles.os.replace(temporary, path)
        self._separator = ""


def _kind(entry: Event) -> str:
    return str(entry.get("event"))  # of a damaged line it may be anything


def _lines(entries: Iterable[Event]) -> str:
    return "".join(json.dumps(entry, default=str) + "\n" for entry in entries)
