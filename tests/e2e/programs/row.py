"""One line of the table: what a program does, and how it is seen whether it does it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rtmp_sync.errors import RtmpSyncError

from .scene import Scene

AT_ONCE = 6  # rows run beside each other; they mostly wait for time to pass

Check = Callable[[Scene], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """check: does it and says what was seen; raises AssertionError, also for a program that ends
    badly. needs: commands. cannot: what it then says, where the program itself is not able to; ""
    if it is."""

    program: str
    action: str
    check: Check
    needs: tuple[str, ...] = ()
    cannot: str = ""

    @property
    def missing(self) -> list[str]:
        return [command for command in self.needs if shutil.which(command) is None]

    @property
    def id(self) -> str:
        return f"{self.program}: {self.action}"


@dataclass(frozen=True, slots=True)
class Outcome:
    row: Row
    works: bool
    observed: str
    seconds: float

    @property
    def as_expected(self) -> bool:
        if self.row.cannot:
            return not self.works and self.row.cannot in self.observed
        return self.works


async def outcomes(rows: Sequence[Row], scene: Scene) -> list[Outcome]:
    """Of all rows, in their order."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> Outcome:
        async with free:
            began = time.monotonic()
            try:
                works, observed = True, await row.check(scene)
            except (AssertionError, TimeoutError, RtmpSyncError) as error:
                works, observed = False, str(error) or "nothing happened in time"
            return Outcome(row, works, observed, time.monotonic() - began)

    return list(await asyncio.gather(*(one(row) for row in rows)))
