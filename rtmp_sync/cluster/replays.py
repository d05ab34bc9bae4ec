"""Calls that the standby is to run too, held until the Changes that they made were sent.

They share the lane of the deltas, so what is sent here arrives after those Changes. What
cannot be sent (an older peer, nobody to feed, too much waits, above a message) is left out and
counted: a replay is for an application's memory outside the replicated state.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rtmp_sync.cluster.link import Link
from rtmp_sync.cluster.source import Feeding, Source
from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire.records import Replay

__all__ = ["Replays"]

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024  # while the standby copies or catches up


class Replays:
    """left_out: how many were not sent."""

    def __init__(self, link: Link, source: Source) -> None:
        self.left_out = 0
        self._link = link
        self._source = source
        self._waiting: deque[Replay] = deque()
        self._waiting_bytes = 0

    def add(self, record: Replay) -> None:
        """Send `record` as soon as its Changes were."""
        fits = self._waiting_bytes + _size(record) <= MAX_WAITING_BYTES
        if not self._link.knows(Replay) or self._source.feeding is Feeding.IDLE or not fits:
            self.left_out += 1
            return
        self._waiting.append(record)
        self._waiting_bytes += _size(record)
        self.send_due()

    def send_due(self) -> None:
        """Send those whose Changes were sent."""
        source, waiting = self._source, self._waiting
        while waiting and source.feeding is Feeding.LIVE and waiting[0].seq <= source.sent:
            record = waiting.popleft()
            self._waiting_bytes -= _size(record)
            try:
                self._link.send(record)
            except LocalProtocolError:  # above the longest message
                self.left_out += 1

    def stop(self) -> None:
        """Nobody is fed any more."""
        self.left_out += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0


def _size(record: Replay) -> int:
    return len(record.client) + len(record.arguments)
