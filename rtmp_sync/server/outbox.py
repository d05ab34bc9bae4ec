"""What waits to be written to one client.

    put(barrier, …)  ─► waiting  (barrier, msid, bytes): leaves in order when barrier <= level
                          │ release()
    put_media(…)   ───────┴────► ready: leaves in one transport.write at the end of the turn

Always holds:
- messages of one message stream leave in the order in which they were put;
- media passes what waits on *other* message streams, never what waits on its own;
- a client that does not read first loses inter frames until the next key frame (never
  sequence headers, metadata or commands); when even so its outbox is full, it is stuck, and
  its connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.wire import media

__all__ = ["Outbox", "Outlets", "Transport"]

# The transport's own buffer: enough for one large write to drain while we make the next.
TRANSPORT_HIGH_WATER = 256 * 1024


class Transport(Protocol):
    """The part of asyncio's transport that an outbox uses."""

    def write(self, data: bytes) -> None: ...


class Outlets:
    """The outboxes that have something to do: at the end of this turn, or when the level rises."""

    __slots__ = ("commit", "dirty", "stuck", "waiting")

    def __init__(self, commit: CommitPoint) -> None:
        self.commit = commit
        self.dirty: list[Outbox] = []
        self.waiting: set[Outbox] = set()
        self.stuck: list[Outbox] = []

    def release(self) -> None:
        """The level has risen: make ready what waited for it."""
        for outbox in [outbox for outbox in self.waiting if outbox.release()]:
            self.waiting.discard(outbox)

    def flush(self) -> None:
        """Write everything that is ready, one write per client; end the stuck ones."""
        dirty = self.dirty
        self.dirty = []
        for outbox in dirty:
            outbox.flush()
        while self.stuck:
            self.stuck.pop().on_stuck()


class Outbox:
    """Bounded output of one client. Lengths are in bytes of chunk stream."""

    __slots__ = (
        "_dirty",
        "_dropping",
        "_limit",
        "_on_sent",
        "_outlets",
        "_paused",
        "_ready",
        "_size",
        "_transport",
        "_waiting",
        "_waiting_streams",
        "dropped_frames",
        "on_stuck",
    )

    def __init__(self, outlets: Outlets, limit: int, on_stuck: Callable[[], None]) -> None:
        self._outlets = outlets
        self._limit = limit
        self._transport: Transport | None = None
        self._ready: list[bytes] = []
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        self._waiting_streams: dict[int, int] = {}  # msid -> how many of its messages wait
        self._size = 0
        self._dirty = False
        self._paused = False
        self._dropping: set[int] = set()  # message streams that wait for a key frame
        self.dropped_frames = 0
        self.on_stuck = on_stuck
        self._on_sent: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes that wait here (the transport has a buffer of its own)."""
        return self._size

    def open(self, transport: Transport) -> None:
        """Write to `transport` from now on."""
        self._transport = transport

    def finish(self, on_sent: Callable[[], None]) -> None:
        """Have `on_sent` called once everything put so far was handed to the transport."""
        self._on_sent = on_sent
        if not self._dirty:
            self._dirty = True
            self._outlets.dirty.append(self)

    def close(self) -> None:
        """Forget everything; later puts go nowhere."""
        self._transport = None
        self._ready.clear()
        self._waiting.clear()
        self._waiting_streams.clear()
        self._size = 0
        self._outlets.waiting.discard(self)

    def put(self, barrier: int, msid: int, data: bytes) -> None:
        """Send `data`, whole messages of stream `msid`, once `barrier` is committed."""
        if self._transport is None:
            return
        if barrier > self._outlets.commit.level or self._waiting:
            self._wait(barrier, msid, data)
        else:
            self._ready.append(data)
            if not self._dirty:
                self._dirty = True
                self._outlets.dirty.append(self)
        self._size += len(data)
        if self._size > self._limit:
            self._overflow()

    def put_media(self, msid: int, data: bytes, flags: int) -> None:
        """Send one media message, unless the client is too slow for it (`wire.media` flags)."""
        if self._transport is None:
            return
        if (self._paused or self._dropping) and self._must_drop(msid, flags):
            self.dropped_frames += 1
            return
        if msid in self._waiting_streams:
            self._wait(self._waiting[-1][0], msid, data)
        else:
            self._ready.append(data)
            if not self._dirty:
                self._dirty = True
                self._outlets.dirty.append(self)
        self._size += len(data)
        if self._size > self._limit:
            self._overflow()

    def release(self) -> bool:
        """Make ready what the level has reached; returns whether nothing waits any more."""
        level = self._outlets.commit.level
        waiting = self._waiting
        while waiting and waiting[0][0] <= level:
            _, msid, data = waiting.popleft()
            self._ready.append(data)
            left = self._waiting_streams[msid] - 1
            if left:
                self._waiting_streams[msid] = left
            else:
                del self._waiting_streams[msid]
        if self._ready and not self._dirty:
            self._dirty = True
            self._outlets.dirty.append(self)
        return not waiting

    def flush(self) -> None:
        """Write what is ready in one go."""
        self._dirty = False
        if self._paused or self._transport is None:
            return
        ready = self._ready
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            ready.clear()
            self._size -= len(data)
            self._transport.write(data)
        if self._on_sent is not None and not self._waiting:
            on_sent, self._on_sent = self._on_sent, None
            on_sent()

    def pause(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """The transport's buffer has drained: what is ready leaves at the end of this turn, like
        everything else only with authority."""
        self._paused = False
        if not self._dirty:
            self._dirty = True
            self._outlets.dirty.append(self)

    def _wait(self, barrier: int, msid: int, data: bytes) -> None:
        if not self._waiting:
            self._outlets.waiting.add(self)
        self._waiting.append((barrier, msid, data))
        self._waiting_streams[msid] = self._waiting_streams.get(msid, 0) + 1

    def _must_drop(self, msid: int, flags: int) -> bool:
        if flags & media.SEQUENCE_HEADER or not flags & (media.VIDEO | media.AUDIO):
            return False
        behind = self._size
        if flags & media.AUDIO:
            return behind > self._limit // 2  # small, and missed more than a picture
        if behind > self._limit // 4:
            self._dropping.add(msid)
            return True
        if msid in self._dropping:
            if not flags & media.KEY_FRAME:
                return True
            self._dropping.discard(msid)
        return False

    def _overflow(self) -> None:
        self.close()
        self._outlets.stuck.append(self)
