"""A gate of two leaves: the public port that listens or does not, and a filter before it.

The listener is authoritative: it needs nobody's help, and a filter that fails never keeps it
open. Both must be read back as closed for "closed", and as open for "open"; whatever else is
"unknown". The filter is made what is wanted, not told once: each reading that differs is
reported as `gate_mismatch` and repaired, whoever changed it (failover.md, fault 35).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import structlog

from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.restraint import Restraint
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.server.clock import now

__all__ = ["READINGS", "FilterGate", "PacketFilter"]

# The first time that a gate opens, nobody has said yet for how long.
OPEN_SECONDS = 1.0

READINGS = 4  # in the time for which one counts

# `close` waits so long for the filter, which is told at once; what it did is seen later.
PATIENCE_SECONDS = 0.25

# `verify` waits so long for a reading that is late: an open gate that is not known to be open is
# closed, and a machine may just be busy.
READING_SECONDS = 1.0

RETRY_SECONDS = 0.5  # the watchdog closes what is not proven closed at every turn

REPORT_SECONDS = 5.0  # of what is found at every reading; the history hears of it less and less


class PacketFilter(Protocol):
    """What a driver does to the system. All raise OSError when they cannot, each within a
    deadline of its own, and may be cancelled."""

    fresh_seconds: float
    """How old a reading may be. It is read again READINGS times meanwhile."""

    lapses: bool
    """Whether it closes by itself when nobody holds it. One that does not stays as it was opened
    while it cannot be read: a cloud whose API is away ends no service."""

    async def open(self, epoch: int, until: float) -> None: ...

    async def close(self) -> None: ...

    async def verify(self) -> GateState:
        """As read back; "unknown": neither of the two that were installed here."""

    async def remove(self) -> None:
        """Leave nothing behind."""

    def hold(self, until: float) -> None:
        """See Gate.hold."""


class FilterGate:
    """A Gate (base.py) of `listener` and `packet_filter`."""

    def __init__(self, listener: ListenerGate, packet_filter: PacketFilter, report: Report) -> None:
        self._listener = listener
        self._filter = packet_filter
        self._report = report
        self._wanted: Literal["open", "closed"] = "closed"
        self._epoch = 0
        self._until = 0.0
        self._seen: GateState = "unknown"
        self._seen_at = 0.0
        self._looked_at = 0.0
        self._reported_at = 0.0
        self._restraint = Restraint()
        self._settling: asyncio.Task[str] | None = None
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger("rtmp_sync.gate")

    async def start(self) -> None:
        """Does not fail: a gate that cannot be set up reads "unknown", and is tried on."""
        self._begin(self._set)
        await self._be_patient()

    async def stop(self) -> None:
        await self._listener.close()
        await self._outcome(self._begin(self._remove))

    async def open(self, epoch: int) -> None:
        self._wanted, self._epoch = "open", epoch
        if now() >= self._until:
            self._until = now() + OPEN_SECONDS
        await self._listener.open(epoch)
        if error := await self._outcome(self._begin(self._set)):
            raise OSError(error)
        if self._seen != "open":
            raise OSError("closed meanwhile")

    async def close(self) -> None:
        """Called again, it waits for what is under way: a slow filter must come to its end."""
        again = self._wanted == "closed"
        self._wanted, self._until = "closed", 0.0
        await self._listener.close()
        at_work = self._settling is not None or now() - self._looked_at < RETRY_SECONDS
        if not again or not at_work:
            self._begin(self._set)
        await self._be_patient()

    async def verify(self) -> GateState:
        fresh = self._filter.fresh_seconds
        if self._settling is None and now() - self._looked_at > fresh / READINGS:
            self._begin(self._look)
        if now() - self._seen_at > fresh:  # this process slept, or the filter is slow
            await self._be_patient(READING_SECONDS)
        counts = now() - self._seen_at <= fresh or self._stays_open
        seen = self._seen if counts else "unknown"
        return seen if seen == await self._listener.verify() else "unknown"

    @property
    def _stays_open(self) -> bool:
        return self._seen == self._wanted == "open" and not self._filter.lapses

    def hold(self, until: float) -> None:
        self._until = until
        if self._wanted == "open":
            self._filter.hold(until)

    async def _outcome(self, task: asyncio.Task[str]) -> str:
        await asyncio.wait([task])
        return "closed meanwhile" if task.cancelled() else task.result()

    async def _be_patient(self, seconds: float = PATIENCE_SECONDS) -> None:
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=seconds)

    def _begin(self, work: Callable[[], Awaitable[str]]) -> asyncio.Task[str]:
        """Instead of what is under way: it was for something else, or only looked."""
        if self._settling is not None:
            self._settling.cancel()
        self._settling = task = asyncio.ensure_future(self._in_turn(work))
        task.add_done_callback(self._settled)
        return task

    async def _in_turn(self, work: Callable[[], Awaitable[str]]) -> str:
        async with self._turn:  # what the former one had started has ended
            return await work()

    def _settled(self, task: asyncio.Task[str]) -> None:
        if self._settling is task:
            self._settling = None

    async def _look(self) -> str:
        """Read the filter back, and repair it. Returns what is wrong with it.

        What cannot be read is what it was, for as long as that counts.
        """
        wanted, started_at = self._wanted, now()
        self._looked_at = started_at
        try:
            seen = await self._filter.verify()
        except OSError as error:
            self._mismatch(_text(error))
            return _text(error)
        if seen == wanted:
            return self._saw(seen, started_at, "")
        self._mismatch(f"wanted {wanted}, found {_FOUND[seen]}")
        return await self._set()

    async def _set(self) -> str:
        """Make the filter what is wanted, and read it back. Returns what is wrong with it."""
        self._seen, self._seen_at = "unknown", 0.0
        wanted = self._wanted
        self._looked_at = started_at = now()
        try:
            if wanted == "open":
                await self._filter.open(self._epoch, self._until)
            else:
                await self._filter.close()
            started_at = now()
            seen = await self._filter.verify()
        except OSError as error:
            return self._saw("unknown", started_at, _text(error))
        wrong = "" if seen == wanted else f"set to {wanted}, reads {_FOUND[seen]}"
        return self._saw(seen, started_at, wrong)

    def _saw(self, state: GateState, at: float, wrong: str) -> str:
        self._seen, self._seen_at = state, at
        if wrong:
            self._mismatch(wrong)
        return wrong

    async def _remove(self) -> str:
        try:
            await self._filter.remove()
        except OSError as error:
            self._log.warning("gate_not_removed", error=str(error))
        return ""

    def _mismatch(self, error: str) -> None:
        if now() - self._reported_at > REPORT_SECONDS:
            self._reported_at = now()
            self._log.error("gate_mismatch", error=error)
            fields: dict[str, object] = {"epoch": self._epoch, "error": error}
            told = self._restraint.admit(Happened("gate_mismatch", fields), now())
            if told is not None:
                self._report(told.event, **told.fields)


def _text(error: OSError) -> str:
    return str(error) or "no answer"  # a time-out has no words


_FOUND = {"open": "open", "closed": "closed", "unknown": "altered by others"}
