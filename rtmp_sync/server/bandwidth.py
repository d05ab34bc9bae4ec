"""How much a client can take: what FMS calls native bandwidth detection.

    checkBandwidth ─► onBWCheck(data) …, onBWDone(kbit/s, kbit, seconds, latency in ms)
    _checkbw       ─► _onbwcheck(data, number) …, _onbwdone(latency in ms, kbit/s)

The first round carries nothing and tells the latency; in the others the data doubles until it
took long enough. A client that answers a round, with an error too, has received it; one that
answers none gets no data and is told 0 kbit/s. `_checkbw` must never be answered with onBWDone:
librtmp and FFmpeg send it in answer to that.

Source: Adobe's "Detecting bandwidth" and its main.asc of FMS 2; librtmp for the second form.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from rtmp_sync.errors import CallError
from rtmp_sync.server.clock import now

__all__ = ["FMS", "OLD", "Bandwidth", "BandwidthCheck", "Words"]

_FIRST_BYTES: Final = 16 * 1024  # FMS's DataSize
_MOST_BYTES: Final = 256 * 1024  # of all rounds: half a second of a line of 4 Mbit/s
_LITTLE_BYTES: Final = 64 * 1024  # librtmp asks unbidden: its first picture waits
_LONG_ENOUGH_SECONDS: Final = 1.0  # what took so long is measured well
_ROUND_SECONDS: Final = 10.0  # for an answer: a line of 13 kbit/s
_KEPT_SECONDS: Final = 30.0  # a client that asks again gets the same figures for so long

Call = Callable[[str, tuple[object, ...]], Awaitable[object]]


class Bandwidth(NamedTuple):
    """Of the way to one client. kbit: sent while it was measured, in `seconds` without latency."""

    kbit: float = 0.0
    seconds: float = 0.0
    latency_ms: float = 0.0

    @property
    def kbit_per_second(self) -> float:
        return float(round(self.kbit / self.seconds)) if self.seconds else 0.0


class Words(NamedTuple):
    """The names of one form of the check, and what is said with them."""

    check: str
    done: str
    most_bytes: int
    round: Callable[[str, int], tuple[object, ...]]
    told: Callable[[Bandwidth], tuple[object, ...]]


FMS: Final = Words(
    "onBWCheck",
    "onBWDone",
    _MOST_BYTES,
    lambda data, number: (data,),
    lambda found: (found.kbit_per_second, found.kbit, found.seconds, found.latency_ms),
)
OLD: Final = Words(
    "_onbwcheck",
    "_onbwdone",
    _LITTLE_BYTES,
    lambda data, number: (data, float(number)),
    lambda found: (found.latency_ms, found.kbit_per_second),
)


class BandwidthCheck:
    """Of one client: one at a time. call: a method of the client. most_bytes: of all rounds."""

    def __init__(self, call: Call, most_bytes: int) -> None:
        self._call = call
        self._most_bytes = most_bytes
        self._found: Bandwidth | None = None
        self._found_at = 0.0
        self._measuring = False

    async def measure(self, words: Words) -> Bandwidth | None:
        """None: it is being measured already, and whoever asked for that is told.
        ConnectionLost when the client has gone."""
        if self._measuring:
            return None
        if self._found is not None and now() < self._found_at + _KEPT_SECONDS:
            return self._found
        self._measuring = True
        try:
            self._found = await self._rounds(words)
            self._found_at = now()
        finally:
            self._measuring = False
        return self._found

    async def _rounds(self, words: Words) -> Bandwidth:
        latency = await self._round(words, 0, "")
        if latency is None:
            return Bandwidth()
        found = Bandwidth(latency_ms=round(latency * 1000, 3))
        size, sent, number, taken = _FIRST_BYTES, 0, 0, 0.0
        most_bytes = min(words.most_bytes, self._most_bytes)
        while sent + size <= most_bytes and taken < _LONG_ENOUGH_SECONDS:
            number += 1
            seconds = await self._round(words, number, secrets.token_hex(size // 2))
            if seconds is None:
                break
            sent += size
            taken += seconds
            without = taken - latency * number
            # over a short way the time varies by more than the data took
            found = found._replace(
                kbit=sent * 8 / 1000, seconds=round(without if without > 0 else taken, 6)
            )
            size *= 2
        return found

    async def _round(self, words: Words, number: int, data: str) -> float | None:
        """How long the client took to answer; None: too long."""
        begun = now()
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                await self._call(words.check, words.round(data, number))
        except TimeoutError:
            return None
        except CallError:  # it has no such method, and has received this all the same
            pass
        return now() - begun
