"""Which streams are published, in the replicated state: so that the next origin knows them too.

    published ─► listed    unpublished by its publisher ─► gone
                           its publisher, or its origin, was lost ─► stays `reconnect_grace`

Who publishes a listed name again within that time continues the stream: its timestamps go on, and
what was being recorded goes on in the next segment instead of being written over. With the stream
the segments of its recording are listed, so that an origin that cannot see the other's disk knows
what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import astuple, fields
from typing import Final, NamedTuple

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.server.fanout import Fanout
from rtmp_sync.server.recordings import Continued
from rtmp_sync.server.turn import Turn
from rtmp_sync.storage.manifest import SegmentInfo, segment_from
from rtmp_sync.wire import amf0

__all__ = ["ListedStream", "StreamRegistry"]

# Variables objects; their slots are named as the streams are.
_STREAMS: Final = "streams"
_SEGMENTS: Final = "segments"

_MAX_SEGMENTS: Final = 200  # of a recording, the newest; written out anew with each one
_FIELDS: Final = tuple(field.name for field in fields(SegmentInfo))
_MAX_LOST: Final = 10_000  # as many as connections; beyond, who was lost first cannot continue


class ListedStream(NamedTuple):
    """kind: "live", "record", … as it was published first. begun: wall time, in seconds, at which
    the recording would have been at its start."""

    kind: str
    begun: float

    @property
    def is_recorded(self) -> bool:
        """Whether its publisher had it recorded."""
        return self.kind != "live"


class StreamRegistry:
    """Of one instance. fanout: makes its shared objects. wall: the time of day, in seconds.
    on_given_up: told the name of a stream that was lost, and nobody goes on with."""

    def __init__(
        self,
        turn: Turn,
        scope: str,
        fanout: Callable[[str, str], Fanout],
        *,
        grace_seconds: float,
        wall: Callable[[], float],
    ) -> None:
        self.on_given_up: Callable[[str], None] = lambda _: None
        self._turn = turn
        self._scope = scope
        self._fanout = fanout
        self._grace_seconds = grace_seconds
        self._wall = wall
        self._lost: dict[str, float] = {}  # name -> until when it may be continued
        self._inherited: set[str] = set()  # were recorded elsewhere, and not here since
        self._sweeping: asyncio.TimerHandle | None = None
        self._has_let_go = False

    def begin(self, name: str, stream: ListedStream) -> None:
        """A stream is published. Raises Deposed."""
        if self._has_let_go:
            return
        self._lost.pop(name, None)
        self._put(_STREAMS, name, amf0.encode(*stream))

    def end(self, name: str) -> None:
        """Its publisher has ended it. Raises Deposed."""
        if self._has_let_go:
            return
        self._lost.pop(name, None)
        self._inherited.discard(name)
        for object_name in (_STREAMS, _SEGMENTS):
            if self._slot(object_name, name) is not None:
                listed = self._fanout(object_name, "V")
                listed.delete(None, name, listed.next_version())

    def lose(self, name: str) -> None:
        """Its publisher is gone, and may come back."""
        if self._has_let_go:
            return
        self._lost.pop(name, None)  # in the order in which they were lost
        self._lost[name] = asyncio.get_running_loop().time() + self._grace_seconds
        if len(self._lost) > _MAX_LOST:
            self._give_up(next(iter(self._lost)))
        self._arm()

    def note(self, name: str, segment: SegmentInfo) -> None:
        """A segment of its recording has begun or ended."""
        serves = self._turn.authorised and not self._has_let_go
        if not serves or self._slot(_STREAMS, name) is None:
            return  # it is another origin's by now, or needs no successor
        self._inherited.discard(name)
        known = {one.file: one for one in self._segments(name)}
        kept = [*{**known, segment.file: segment}.values()][-_MAX_SEGMENTS:]
        self._put(_SEGMENTS, name, amf0.encode(*(list(astuple(one)) for one in kept)))

    def inherit(self) -> None:
        """This origin has taken over: all publishers are gone."""
        listed = self._turn.state.find(self._scope, _STREAMS, "V")
        for name in list(listed.slots) if listed is not None else ():
            self.lose(name)
            if self._slot(_SEGMENTS, name) is not None:
                self._inherited.add(name)

    def continues(self, name: str) -> ListedStream | None:
        """What somebody who publishes this name now goes on with."""
        until = self._lost.get(name)
        if until is None or asyncio.get_running_loop().time() >= until:
            return None
        raw = self._slot(_STREAMS, name)
        return _read(raw) if raw is not None else None

    def continued(self, name: str) -> Continued | None:
        """The same, for its recording; None when its publisher had none made: who asks for one
        now begins it, and "record" writes over what there was."""
        stream = self.continues(name)
        if stream is None or not stream.is_recorded:
            return None
        # never less than nothing, whatever the clocks of two hosts say
        elapsed_ms = max(0, round((self._wall() - stream.begun) * 1000))
        return Continued(elapsed_ms, self._segments(name))

    def inherited(self, name: str) -> Continued | None:
        """What the application goes on with when it has a stream recorded again, which another
        origin has recorded. When that began is not known, so nothing of it is a gap."""
        return Continued(0, self._segments(name)) if name in self._inherited else None

    def new(self, kind: str, start_ms: int = 0) -> ListedStream:
        """One that begins now, at `start_ms` of its recording."""
        return ListedStream(kind, self._wall() - start_ms / 1000)

    def let_go(self) -> None:
        """This origin serves the instance no longer. What ends from now on is not to be listed:
        this very origin may serve it again by then, with a registry that knows better."""
        self._has_let_go = True
        self._lost.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _slot(self, object_name: str, name: str) -> bytes | None:
        found = self._turn.state.find(self._scope, object_name, "V")
        return found.slots.get(name) if found is not None else None

    def _put(self, object_name: str, name: str, raw: bytes) -> None:
        listed = self._fanout(object_name, "V")
        try:
            listed.set(None, name, raw, 0, listed.next_version())
        except LocalProtocolError:  # a name that is too long for the link: nobody continues it
            return

    def _segments(self, name: str) -> list[SegmentInfo]:
        raw = self._slot(_SEGMENTS, name)
        return _read_segments(raw) if raw is not None else []

    def _arm(self) -> None:
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_at(next(iter(self._lost.values())), self._sweep)

    def _sweep(self) -> None:
        """Nobody came back to these."""
        self._sweeping = None
        if not self._turn.authorised:
            return
        now = asyncio.get_running_loop().time()
        while self._lost:
            name, until = next(iter(self._lost.items()))
            if until > now:
                self._arm()
                return
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        self.end(name)
        self.on_given_up(name)


def _read(raw: bytes) -> ListedStream | None:
    """None for what another version of this program listed."""
    try:
        kind, begun = amf0.decode(raw)
    except (RemoteProtocolError, ValueError):
        return None
    return ListedStream(kind, begun) if isinstance(kind, str) and isinstance(begun, float) else None


def _read_segments(raw: bytes) -> list[SegmentInfo]:
    """[] for what another version of this program listed."""
    try:
        return [_segment(values) for values in amf0.decode(raw)]
    except (RemoteProtocolError, TypeError, ValueError, KeyError):
        return []


def _segment(values: object) -> SegmentInfo:
    """Raises TypeError, ValueError or KeyError for what is none."""
    if not isinstance(values, list):
        raise TypeError(values)
    whole = (int(one) if isinstance(one, float) else one for one in values)
    return segment_from(dict(zip(_FIELDS, whole, strict=True)))
