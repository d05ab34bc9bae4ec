"""What waits to be written to one client.

    put(barrier, …) ──┬─► waiting  (barrier, msid, bytes): in order, until barrier <= level
                      │      │ release(): in one transport.write as soon as the level rises
                      └─► ready    in one transport.write at the end of the turn
    put_media(…) ─────────►

Always holds:
- messages of one message stream leave in the order in which they were put;
- media passes what waits on *other* message streams, never what waits on its own;
- a client that does not read first loses pictures until the next key frame, then sound (never
  sequence headers, metadata, commands, or what is not known to be either); when even so its
  outbox is full and something comes, it is stuck, and its connection ends;
- a client with a limit of its own (`pace.py`) gets no more than that: what has to stay is ready
  like that of a client that does not read, and of it live media may be a few seconds' worth;
- what waits for its barrier is not the client's fault: it has a bound of its own, above what
  the commit point lets writers pile up (`commit.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from rtmp_sync.server.commit import MAX_WAITING_BYTES, CommitPoint
from rtmp_sync.server.pace import Pace
from rtmp_sync.wire import media

__all__ = ["Gathering", "Outbox", "Outlets", "Transport"]

# The transport's own buffer: enough for one large write to drain while we make the next.
TRANSPORT_HIGH_WATER = 256 * 1024
# Beside the limit of what a client may leave unread: all Changes that may wait, and as much
# again for what many writers have written before they are held back.
_HELD_BYTES = 2 * MAX_WAITING_BYTES
# Of what a client with a limit gets, so much stands for all that it may leave unread: pictures wait
# for a second at most, sound for two.
_ROOM_SECONDS = 4


class Transport(Protocol):
    """The part of asyncio's transport that an outbox uses."""

    def write(self, data: bytes) -> None: ...


class Gathering(Protocol):
    """Media that is gathered for many outboxes, to be written with `Outlets.write_media`."""

    def write(self) -> None: ...


class Outlets:
    """The outboxes that have something to do: at the end of this turn, or when the level rises."""

    __slots__ = ("commit", "dirty", "gathered", "stuck", "waiting")

    def __init__(self, commit: CommitPoint) -> None:
        self.commit = commit
        self.dirty: list[Outbox] = []
        self.gathered: list[Gathering] = []
        self.waiting: list[Outbox] = []
        self.stuck: list[Outbox] = []

    def put_all(self, outboxes: Iterable[Outbox], barrier: int, data: bytes) -> None:
        """Put the same message, of stream 0, into many outboxes."""
        if barrier <= self.commit.level:
            for outbox in outboxes:
                outbox.put(barrier, 0, data)
            return
        entry = (barrier, 0, data)
        size = len(data)
        for outbox in outboxes:  # the same as `put`, without its call: this is the hot loop
            if outbox._transport is None:
                continue
            if not outbox._waiting:
                self.waiting.append(outbox)
            outbox._waiting.append(entry)
            outbox._held += size
            if outbox._held - size > outbox._held_limit:
                outbox._overflow()

    def release(self) -> None:
        """The level has risen: write what waited for it."""
        level = self.commit.level
        self.waiting = [outbox for outbox in self.waiting if outbox.release(level)]
        self._end_stuck()

    def flush(self, *, media: bool = True) -> None:
        """Write everything that is ready, one write per client, and what was gathered if `media`
        may leave; end the stuck ones."""
        self._flush_dirty()
        if media and self.gathered:
            gathered, self.gathered = self.gathered, []
            for one in gathered:
                one.write()
            self._flush_dirty()  # those that could not take it like the others
        self._end_stuck()

    def write_media(
        self, outboxes: Iterable[Outbox], msid: int, messages: list[tuple[bytes, int]]
    ) -> None:
        """`put_media` and `flush` of the same (bytes, flags) for many: joined once, and without
        a call for each."""
        data = b"".join([one for one, _ in messages]) if len(messages) > 1 else messages[0][0]
        size, count = len(data), len(messages)
        for outbox in outboxes:
            if outbox._ready or outbox._slowed or outbox._dropping or outbox._waiting_streams:
                for one, flags in messages:
                    outbox.put_media(msid, one, flags)
            elif (transport := outbox._transport) is not None:
                outbox.bytes_out += size
                outbox.messages_out += count
                transport.write(data)

    def _flush_dirty(self) -> None:
        dirty = self.dirty
        self.dirty = []
        for outbox in dirty:
            outbox.flush()

    def _end_stuck(self) -> None:
        while self.stuck:
            self.stuck.pop().on_stuck()


class Outbox:
    """Bounded output of one client. Lengths are in bytes of chunk stream. on_stuck: called when
    it has to end. on_behind: with a message stream whose pictures begin to be left out."""

    __slots__ = (
        "_dirty",
        "_dropping",
        "_held",
        "_held_limit",
        "_limit",
        "_media_limit",
        "_on_sent",
        "_outlets",
        "_pace",
        "_paused",
        "_ready",
        "_room",
        "_size",
        "_slowed",
        "_to_wake",
        "_transport",
        "_waiting",
        "_waiting_streams",
        "bytes_out",
        "dropped_frames",
        "messages_out",
        "on_behind",
        "on_stuck",
    )

    def __init__(self, outlets: Outlets, limit: int, on_stuck: Callable[[], None]) -> None:
        self._outlets = outlets
        self._limit = limit
        self._set_room(limit)
        self._held_limit = limit + _HELD_BYTES
        self._transport: Transport | None = None
        self._ready: list[bytes] = []
        self._waiting: list[tuple[int, int, bytes]] = []
        self._waiting_streams: dict[int, int] = {}  # msid -> how many of its messages wait
        self._size = 0  # of what is ready
        self._held = 0  # of what waits
        self._dirty = False
        self._paused = False  # the transport is full
        self._pace: Pace | None = None
        self._slowed = False  # either of them
        self._dropping: frozenset[int] = frozenset()  # streams that wait for a key frame
        self.dropped_frames = 0
        self.bytes_out = 0  # handed to the transport
        self.messages_out = 0
        self.on_stuck = on_stuck
        self.on_behind: Callable[[int], None] = lambda msid: None
        self._on_sent: Callable[[], None] | None = None
        self._to_wake: frozenset[Callable[[], None]] = frozenset()

    @property
    def limit(self) -> int:
        """Bytes that may wait; only one message may come on top."""
        return self._limit

    @property
    def room(self) -> int:
        """The same for media: less if the client has a limit."""
        return self._room

    @property
    def size(self) -> int:
        """Bytes that wait here (the transport has a buffer of its own)."""
        return self._size + self._held

    def open(self, transport: Transport) -> None:
        """Write to `transport` from now on."""
        self._transport = transport

    def finish(self, on_sent: Callable[[], None]) -> None:
        """Have `on_sent` called once everything put so far was handed to the transport.

        Called by the turn, at whose end everything was put (`Turn.finish`).
        """
        self._on_sent = on_sent
        self._end_pace()  # who has to go is not kept for the time that a limit makes of it
        self._touch()

    def when_less(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once when something of what is ready or waits has left."""
        self._to_wake |= {wake}

    def close(self) -> None:
        """Forget everything; later puts go nowhere."""
        self._transport = None
        self._ready.clear()
        self._waiting.clear()
        self._waiting_streams.clear()
        self._to_wake = frozenset()
        self._end_pace()
        self._size = self._held = 0

    def put(self, barrier: int, msid: int, data: bytes) -> None:
        """Send `data`, whole messages of stream `msid`, once `barrier` is committed."""
        if self._transport is None:
            return
        if barrier > self._outlets.commit.level or self._waiting:
            self._wait(barrier, msid, data)
        else:
            self.put_at_once(data)

    def put_at_once(self, data: bytes) -> None:
        """Send what says nothing about the state, past everything that waits."""
        if self._transport is None:
            return
        self._be_ready(data)
        if self._size - len(data) > self._limit:  # one message may be longer: a large object
            self._overflow()

    def withdraw(self, data: bytes) -> bool:
        """Take back a message of stream 0, this very object, that waits; False: it has left."""
        waiting = self._waiting
        for index, (barrier, _, message) in enumerate(waiting):
            if message is data:
                if len(waiting) > 1:
                    del waiting[index]
                else:  # an empty one stays: this outbox is listed as one that waits
                    waiting[index] = (barrier, 0, b"")
                self._held -= len(data)
                return True
        return False

    def takes(self, msid: int, size: int) -> bool:
        """Whether none of so many bytes of media would be left out, if all were put now."""
        waits = msid in self._waiting_streams
        behind = self._held if waits else self._size
        least = self._room // 4 if waits or self._slowed else self._media_limit
        return behind + size <= least

    def put_media(self, msid: int, data: bytes, flags: int) -> None:
        """Send one media message, unless the client is too slow for it (`wire.media` flags)."""
        if self._transport is None:
            return
        waits = msid in self._waiting_streams
        full = self._size > self._media_limit  # at once: the frames that a late joiner gets
        if (waits or full or self._slowed or self._dropping) and self._must_drop(msid, flags):
            self.dropped_frames += 1
            return
        if waits:
            self._wait(self._waiting[-1][0], msid, data)
        else:
            self._be_ready(data)
            if full and self._size - len(data) > self._limit:
                self._overflow()

    def release(self, level: int) -> bool:
        """Write what waited for `level` or less; returns whether anything still waits."""
        waiting, ready = self._waiting, self._ready
        if len(waiting) == 1 and not (ready or self._slowed or self._on_sent or self._to_wake):
            # nearly always: one message of this turn, for a client that keeps up
            barrier, msid, data = waiting[0]
            if barrier <= level and not msid and self._transport is not None:
                waiting.clear()
                self._held -= len(data)
                self.bytes_out += len(data)
                self.messages_out += 1
                self._transport.write(data)
                return False
        count = 0
        for barrier, msid, data in waiting:
            if barrier > level:
                break
            count += 1
            ready.append(data)
            self._held -= len(data)
            self._size += len(data)
            if msid:
                self._one_less(msid)
        del waiting[:count]
        if ready:
            self.flush()
        return bool(waiting)

    def flush(self) -> None:
        """Write what is ready, or as much of it as may leave now, in one go."""
        self._dirty = False
        if self._transport is None:
            return
        ready = self._ready
        if self._slowed:
            if self._paused or self._pace is None:
                return
            ready = self._pace.take(ready)
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            self.messages_out += len(ready)
            self.bytes_out += len(data)
            ready.clear()
            self._size -= len(data)
            self._transport.write(data)
            if self._to_wake:
                to_wake, self._to_wake = self._to_wake, frozenset()
                for wake in to_wake:
                    wake()
        if self._on_sent is not None and not self._waiting:
            on_sent, self._on_sent = self._on_sent, None
            on_sent()

    def flush_all(self) -> None:
        """Write what is ready, whatever the client's limit: nothing comes after it."""
        self._end_pace()
        self.flush()

    def pause(self) -> None:
        """The transport's buffer is full."""
        self._paused = self._slowed = True

    def resume(self) -> None:
        """The transport's buffer has drained: what is ready leaves at the end of this turn, like
        everything else only with authority."""
        self._paused = False
        self._slowed = self._pace is not None
        self._touch()

    def limit_rate(
        self, rate: int | None, loop: asyncio.AbstractEventLoop, schedule: Callable[[], None]
    ) -> None:
        """From now on no more bytes a second than that leave; None: as many as the client takes.
        schedule: makes sure that the turn has an end (`Turn.schedule`)."""

        def go_on() -> None:
            self._touch()
            schedule()

        if rate is None:
            self._end_pace()
        else:
            if self._pace is None:
                self._pace = Pace(loop, rate, go_on)
            else:
                self._pace.change(rate)
            self._slowed = True
            self._set_room(min(self._limit, rate * _ROOM_SECONDS))
        go_on()

    def _end_pace(self) -> None:
        if self._pace is not None:
            self._pace.end()
            self._pace = None
            self._slowed = self._paused
            self._set_room(self._limit)

    def _set_room(self, room: int) -> None:
        self._room = room  # what media goes by
        self._media_limit = room * 3 // 4  # the rest is for what is said meanwhile

    def _touch(self) -> None:
        """Have it flushed at the end of this turn."""
        if not self._dirty:
            self._dirty = True
            self._outlets.dirty.append(self)

    def _be_ready(self, data: bytes) -> None:
        self._ready.append(data)
        self._size += len(data)
        if not self._dirty:
            self._dirty = True
            self._outlets.dirty.append(self)

    def _wait(self, barrier: int, msid: int, data: bytes) -> None:
        if not self._waiting:
            self._outlets.waiting.append(self)
        self._waiting.append((barrier, msid, data))
        self._held += len(data)
        if msid:  # no media is on stream 0
            self._waiting_streams[msid] = self._waiting_streams.get(msid, 0) + 1
        if self._held - len(data) > self._held_limit:
            self._overflow()

    def _one_less(self, msid: int) -> None:
        left = self._waiting_streams[msid] - 1
        if left:
            self._waiting_streams[msid] = left
        else:
            del self._waiting_streams[msid]

    def _must_drop(self, msid: int, flags: int) -> bool:
        if media.is_needed(flags):
            return False
        behind = self._held if msid in self._waiting_streams else self._size
        if flags & media.AUDIO:
            return behind > self._room // 2  # small, and missed more than a picture
        if behind > self._room // 4:
            if msid not in self._dropping:
                self._dropping |= {msid}
                self.on_behind(msid)
            return True
        if msid in self._dropping:
            if not flags & media.KEY_FRAME:
                return True
            self._dropping -= {msid}
        return False

    def _overflow(self) -> None:
        self.close()
        self._outlets.stuck.append(self)
