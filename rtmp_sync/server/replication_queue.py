"""What waits to be written to one link: urgent messages leave first, then the rest in order,
then media.

Bulk and Changes are written only while less than WINDOW_BYTES are on their way, from here to
the peer's own code: RTMP's acknowledgements say how far that has read. So an urgent message
stands behind at most WINDOW_BYTES + CHUNK_BYTES, however slow the network and however large
the snapshot. It may go between two chunks of another message: that is what chunks are for.

Media goes only where nothing else waits, and only while less than MEDIA_WINDOW_BYTES are on their
way: a Change stands behind no more than that of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from rtmp_sync.wire.records import LANE_MEDIA, LANE_URGENT

__all__ = ["ACKNOWLEDGE_BYTES", "CHUNK_BYTES", "MEDIA_WINDOW_BYTES", "WINDOW_BYTES", "LinkQueue"]

CHUNK_BYTES: Final = 64 * 1024  # of a message in one RTMP chunk
# 25 MB/s over a path of 20 ms. The peer acknowledges eight times in it.
WINDOW_BYTES: Final = 512 * 1024
ACKNOWLEDGE_BYTES: Final = WINDOW_BYTES // 4  # announced; the peer does so at half of it
MEDIA_WINDOW_BYTES: Final = WINDOW_BYTES // 2
_MEDIA_BYTES: Final = 2 * 1024 * 1024  # that may wait: a key frame or two
_HANDSHAKE_BYTES: Final = 1 + 1536 + 1536  # are not counted by the peer's acknowledgements
_FIRST_HEADER_BYTES: Final = 12
_NEXT_HEADER_BYTES: Final = 1
_COUNTER_MASK: Final = 0xFFFFFFFF


class LinkQueue:
    """Messages of the link as RTMP bytes, made with CHUNK_BYTES."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self._urgent: list[bytes] = []
        self._waiting: deque[bytes] = deque()  # chunks
        self._media: deque[bytes] = deque()  # the same
        self._media_bytes = 0
        self._written = -_HANDSHAKE_BYTES
        self._acknowledged = 0

    @property
    def in_flight_bytes(self) -> int:
        """Written, and not known to have been read by the peer's code."""
        return max(0, self._written - self._acknowledged)

    @property
    def has_room(self) -> bool:
        """Whether `take` would give what waits."""
        return self.in_flight_bytes < WINDOW_BYTES

    @property
    def takes_media(self) -> bool:
        """Whether there is room for more of it; what there is none for is left out."""
        return self._media_bytes < _MEDIA_BYTES

    def put(self, lane: int, message: bytes) -> None:
        """lane: of `wire.records`."""
        if lane == LANE_URGENT:
            self._urgent.append(message)
            return
        if lane == LANE_MEDIA:
            self._media.extend(_chunks(message))
            self._media_bytes += len(message)
            return
        self.waiting_bytes += len(message)
        self._waiting.extend(_chunks(message))

    def take(self) -> list[bytes]:
        """What may be written now."""
        taken, self._urgent = self._urgent, []
        self._written += sum(map(len, taken))
        while self._waiting and self.has_room:
            chunk = self._waiting.popleft()
            self.waiting_bytes -= len(chunk)
            self._written += len(chunk)
            taken.append(chunk)
        while self._media and self.in_flight_bytes < MEDIA_WINDOW_BYTES:
            chunk = self._media.popleft()
            self._media_bytes -= len(chunk)
            self._written += len(chunk)
            taken.append(chunk)
        return taken

    def wrote(self, count: int) -> None:
        """Bytes of RTMP's own that went past this queue."""
        self._written += count

    def acknowledged(self, total: int) -> None:
        """The peer has read `total` bytes, modulo 2**32.

        RTMP's own messages have no mac: a word that cannot be true, which a flipped bit says,
        is corrected by the next one.
        """
        step = (total - self._acknowledged) & _COUNTER_MASK
        if step <= _COUNTER_MASK // 2:
            self._acknowledged = min(self._acknowledged + step, self._written)


def _chunks(message: bytes) -> Iterator[bytes]:
    start, end = 0, _FIRST_HEADER_BYTES + CHUNK_BYTES
    while start < len(message):
        yield message[start:end]
        start, end = end, end + _NEXT_HEADER_BYTES + CHUNK_BYTES
