"""LiveStream: what a server keeps of one live stream so that a late joiner starts at once.

The last metadata, the last sequence header of each track, and every message since the last
key frame (the group of pictures), bounded. A stream without video has no group: a joiner
starts with the next message. Pure: who plays it and how bytes leave is the server's.

Always holds: the cache is empty or begins with a key frame and has no gap after it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rtmp_sync.wire.constants import DATA, VIDEO
from rtmp_sync.wire.media import (
    EMPTY,
    END_OF_SEQUENCE,
    KEY_FRAME,
    METADATA,
    SEQUENCE_HEADER,
    track_of,
)

__all__ = ["LiveMessage", "LiveStream", "step_ms"]

GOP_CACHE_BYTES: Final = 16 * 1024 * 1024  # ten seconds at 12 Mbit/s
_MAX_HEADERS: Final = 64  # tracks times kinds; more is not a stream of this field


class LiveMessage(NamedTuple):
    """timestamp in ms; `flags` are those of `wire.media.classify`."""

    type: int
    flags: int
    timestamp: int
    payload: bytes


def step_ms(before: int, after: int) -> int:
    """From one timestamp to another: they are u32 and wrap, and may go back."""
    step = after - before & 0xFFFFFFFF
    return step - (1 << 32) if step & 0x80000000 else step


class LiveStream:
    __slots__ = (
        "_cache",
        "_cache_bytes",
        "_headers",
        "_max_cache_bytes",
        "metadata",
        "name",
        "publisher",
        "timestamp",
    )

    def __init__(self, name: str, *, gop_cache_bytes: int = GOP_CACHE_BYTES) -> None:
        self.name = name
        self.publisher: str | None = None  # client id; None while nobody publishes
        self.metadata: LiveMessage | None = None
        self.timestamp = 0  # of the last audio or video message
        self._headers: dict[tuple[int, int], LiveMessage] = {}
        self._cache: list[LiveMessage] = []
        self._cache_bytes = 0
        self._max_cache_bytes = gop_cache_bytes

    def start(self, publisher: str) -> None:
        """A publisher begins; nothing of an earlier one is shown to joiners any more."""
        self.stop()
        self.publisher = publisher

    def stop(self) -> None:
        self.publisher = None
        self.metadata = None
        self.timestamp = 0
        self._headers.clear()
        self._drop_cache()

    def set_metadata(self, timestamp: int, payload: bytes) -> None:
        """payload: the data message that players get, without `@setDataFrame`."""
        self.metadata = LiveMessage(DATA, 0, timestamp, payload)

    def clear_metadata(self) -> None:
        self.metadata = None

    def publish(self, type: int, flags: int, timestamp: int, payload: bytes) -> None:
        """Take one audio, video or data message of the publisher."""
        message = LiveMessage(type, flags, timestamp, payload)
        if flags & (SEQUENCE_HEADER | METADATA):
            self._keep_header(message)
            return
        if type != DATA:
            self.timestamp = timestamp
        if flags & KEY_FRAME:
            self._drop_cache()
            self._keep(message)
            return
        if self._cache and not flags & EMPTY:
            self._keep(message)
        if flags & END_OF_SEQUENCE:
            self._headers.pop((type, flags & ~END_OF_SEQUENCE | SEQUENCE_HEADER), None)
            if type == VIDEO and not track_of(flags):  # who comes now could not decode the group
                self._drop_cache()

    def headers(self) -> list[LiveMessage]:
        """What a player must have before any frame: metadata, then sequence headers."""
        first = [self.metadata] if self.metadata is not None else []
        return [*first, *self._headers.values()]

    def join(self) -> list[LiveMessage]:
        """What a late joiner gets: the headers, stamped as its first frame, and the cache."""
        start = self._cache[0].timestamp if self._cache else self.timestamp
        return [*(header._replace(timestamp=start) for header in self.headers()), *self._cache]

    def _keep_header(self, message: LiveMessage) -> None:
        """The last one of each track; a new configuration makes the cached frames useless."""
        slot = (message.type, message.flags)
        known = self._headers.get(slot)
        if known is not None and known.payload == message.payload:
            return
        if known is None and len(self._headers) >= _MAX_HEADERS:
            return
        self._headers[slot] = message
        if known is not None and message.flags & SEQUENCE_HEADER:
            self._drop_cache()

    def _keep(self, message: LiveMessage) -> None:
        self._cache.append(message)
        self._cache_bytes += len(message.payload)
        if self._cache_bytes > self._max_cache_bytes:
            self._drop_cache()

    def _drop_cache(self) -> None:
        self._cache = []
        self._cache_bytes = 0
