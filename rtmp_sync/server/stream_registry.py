"""Which streams are published, in the replicated state: so that the next origin knows them too.

    published ─► listed    unpublished by its publisher ─► gone
                           its publisher, or its origin, was lost ─► stays `reconnect_grace`

Who publishes a listed name again within that time continues the stream: its timestamps go on, and
what was being recorded goes on in the next segment instead of being written over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.server.fanout import Fanout
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire import amf0

__all__ = ["ListedStream", "StreamRegistry"]

_OBJECT: Final = "streams"  # variables object; its slots are named as the streams are


class ListedStream(NamedTuple):
    """kind: "live", "record", … as it was published first. begun: wall time, in seconds, at which
    the recording would have been at its start."""

    kind: str
    begun: float


class StreamRegistry:
    """Of one instance. fanout: makes its shared objects. wall: the time of day, in seconds."""

    def __init__(
        self,
        turn: Turn,
        scope: str,
        fanout: Callable[[str, str], Fanout],
        *,
        grace_seconds: float,
        wall: Callable[[], float],
    ) -> None:
        self._turn = turn
        self._scope = scope
        self._fanout = fanout
        self._grace_seconds = grace_seconds
        self._wall = wall
        self._lost: dict[str, float] = {}  # name -> until when it may be continued
        self._sweeping: asyncio.TimerHandle | None = None

    def begin(self, name: str, stream: ListedStream) -> None:
        """A stream is published. Raises Deposed."""
        self._lost.pop(name, None)
        listed = self._fanout(_OBJECT, "V")
        try:
            listed.set(None, name, amf0.encode(*stream), 0, listed.next_version())
        except LocalProtocolError:  # a name that is too long for the link: nobody continues it
            return

    def end(self, name: str) -> None:
        """Its publisher has ended it. Raises Deposed."""
        self._lost.pop(name, None)
        listed = self._fanout(_OBJECT, "V")
        listed.delete(None, name, listed.next_version())

    def lose(self, name: str) -> None:
        """Its publisher is gone, and may come back."""
        self._lost[name] = asyncio.get_running_loop().time() + self._grace_seconds
        self._arm()

    def inherit(self) -> None:
        """This origin has taken over: all publishers are gone."""
        listed = self._turn.state.find(self._scope, _OBJECT, "V")
        for name in listed.slots if listed is not None else ():
            self.lose(name)

    def continues(self, name: str) -> ListedStream | None:
        """What somebody who publishes this name now goes on with."""
        until = self._lost.get(name)
        if until is None or asyncio.get_running_loop().time() >= until:
            return None
        listed = self._turn.state.find(self._scope, _OBJECT, "V")
        raw = listed.slots.get(name) if listed is not None else None
        return _read(raw) if raw is not None else None

    def elapsed_ms(self, stream: ListedStream) -> int:
        """How long ago it began; never less than nothing, whatever the clocks of two hosts say."""
        return max(0, round((self._wall() - stream.begun) * 1000))

    def new(self, kind: str, start_ms: int = 0) -> ListedStream:
        """One that begins now, at `start_ms` of its recording."""
        return ListedStream(kind, self._wall() - start_ms / 1000)

    def let_go(self) -> None:
        """This origin serves the instance no longer."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _arm(self) -> None:
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_at(min(self._lost.values()), self._sweep)

    def _sweep(self) -> None:
        """Nobody came back to these."""
        self._sweeping = None
        if not self._turn.authorised:
            return
        now = asyncio.get_running_loop().time()
        for name in [name for name, until in self._lost.items() if until <= now]:
            self.end(name)
        if self._lost:
            self._arm()


def _read(raw: bytes) -> ListedStream | None:
    """None for what another version of this program listed."""
    try:
        kind, begun = amf0.decode(raw)
    except (RemoteProtocolError, ValueError):
        return None
    return ListedStream(kind, begun) if isinstance(kind, str) and isinstance(begun, float) else None
