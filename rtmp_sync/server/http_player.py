"""One browser that plays a live stream: what it gets, and what it is too slow for.

What waits for it is in its transport's own buffer. As of an RTMP player's outbox, a quarter of the
limit there makes it lose pictures until the next key frame, half of it sound; what later media
needs is never lost. What it got as a late joiner does not count, however much it is. Who takes
nothing at all for some time is disconnected.

A player with a limit loses pictures, too, when it got more than it may get in the next second, and
sound at two; as a late joiner it gets one picture of frames that are more than a second's worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from rtmp_sync.server.bucket import Bucket
from rtmp_sync.server.clock import now
from rtmp_sync.server.http_body import Frame
from rtmp_sync.wire import media

__all__ = ["HttpPlayer", "Tag"]

# Seconds for which a player with a limit may have been sent too much, for all that may wait.
_ROOM_SECONDS: Final = 4.0
_PIECE_BYTES: Final = 64 * 1024  # a WebSocket message of what a late joiner gets


class Tag(NamedTuple):
    """One FLV tag; flags as `media.classify` tells."""

    flags: int
    data: bytes


class HttpPlayer:
    """ended: when nothing more comes for it."""

    __slots__ = (
        "_bucket",
        "_dropping",
        "_first_bytes",
        "_limit",
        "_stuck_since",
        "_taken",
        "_transport",
        "begun",
        "bytes_out",
        "dropped_tags",
        "ended",
        "frame",
    )

    def __init__(self, transport: asyncio.Transport, frame: Frame, limit_bytes: int) -> None:
        self.frame = frame
        self.begun = False  # the FLV header was sent
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.bytes_out = 0
        self.dropped_tags = 0
        self._transport = transport
        self._limit = limit_bytes
        self._first_bytes = 0  # of `begin`
        self._dropping = False  # pictures, until the next key frame
        self._taken = -1  # of them, as far as was known at the last look
        self._stuck_since = 0.0
        self._bucket: Bucket | None = None

    @property
    def behind(self) -> int:
        """Bytes that wait for it, but for those of `begin`."""
        waiting = self._transport.get_write_buffer_size()
        return waiting - max(0, self._first_bytes - (self.bytes_out - waiting))

    @property
    def keeps_up(self) -> bool:
        """Whether it gets everything."""
        return not self._dropping and not self._has_too_much(4)

    @property
    def wait(self) -> float:
        """Seconds until it may be sent more."""
        return 0.0 if self._bucket is None else self._bucket.wait(now())

    def at_once(self, most_bytes: int) -> int:
        """So many of these bytes may be sent at once: no more than a second's worth."""
        return most_bytes if self._bucket is None else min(most_bytes, int(self._bucket.burst))

    def limit_rate(self, rate: int | None) -> None:
        """From now on no more bytes a second than that; None: as many as it takes."""
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(rate, now())
        else:
            self._bucket.change(rate, now())

    def sent(self, size: int) -> None:
        """So much has been written to it."""
        self.bytes_out += size
        if self._bucket is not None:
            self._bucket.take(size, now())

    def begin(self, header: bytes, tags: list[Tag], *, has_video: bool) -> None:
        """The file's header, and what a late joiner needs."""
        self.begun = True
        bucket = self._bucket
        size = sum(len(tag.data) for tag in tags)
        gets_all = bucket is None or size <= bucket.credit(now())
        if not gets_all:
            tags = [
                tag for tag in tags if media.is_needed(tag.flags) or tag.flags & media.KEY_FRAME
            ]
        shows = any(tag.flags & media.KEY_FRAME for tag in tags)
        self._dropping = has_video and not (gets_all and shows)
        before = self.bytes_out
        self._write_pieces([header, *(tag.data for tag in tags)])
        self._first_bytes = self.bytes_out - before

    def write(self, framed: bytes) -> None:
        """Send what was framed for all."""
        if not self._transport.is_closing() and not self.ended.done():
            self.sent(len(framed))
            self._transport.write(framed)

    def write_some(self, tags: Iterable[Tag]) -> None:
        """Send what it is not too slow for."""
        kept = [tag.data for tag in tags if not self._must_drop(tag.flags)]
        if kept:
            self.write(self.frame(b"".join(kept)))

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def cut(self) -> None:
        """Close its connection now."""
        self._transport.abort()

    def is_stuck(self, now: float, patience_seconds: float) -> bool:
        """Whether it has taken nothing of what waits for so long, or lets far too much wait."""
        waiting = self._transport.get_write_buffer_size()
        taken = self.bytes_out - waiting
        if self.behind > self._limit:
            return True
        if not waiting or taken != self._taken:
            self._taken, self._stuck_since = taken, now
            return False
        return now - self._stuck_since >= patience_seconds

    def _must_drop(self, flags: int) -> bool:
        if media.is_needed(flags):
            return False
        if flags & media.AUDIO:
            dropped = self._has_too_much(2)
        elif self._has_too_much(4):
            dropped = self._dropping = True
        else:
            self._dropping = dropped = self._dropping and not flags & media.KEY_FRAME
        self.dropped_tags += dropped
        return dropped

    def _has_too_much(self, part: int) -> bool:
        """More than that part of what may wait for it."""
        if self.behind > self._limit // part:
            return True
        return self._bucket is not None and self.wait > _ROOM_SECONDS / part

    def _write_pieces(self, parts: list[bytes]) -> None:
        piece: list[bytes] = []
        size = 0
        for part in parts:
            piece.append(part)
            size += len(part)
            if size >= _PIECE_BYTES:
                self.write(self.frame(b"".join(piece)))
                piece, size = [], 0
        if piece:
            self.write(self.frame(b"".join(piece)))
