"""What waits to be sent to another server: bounded, and dropped up to key frames."""

from __future__ import annotations

from collections import deque

from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA
from rtmp_sync.wire.messages import data_name

__all__ = ["RelayQueue"]


class RelayQueue:
    """At most max_bytes of payload, and one message. When more comes, everything goes but the
    last metadata and sequence headers, and pictures follow from the next key frame on."""

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._messages: deque[LiveMessage] = deque()
        self._bytes = 0
        self._waits_for_key = False

    def __bool__(self) -> bool:
        return bool(self._messages)

    def put(self, message: LiveMessage) -> None:
        if self._bytes and self._bytes + len(message.payload) > self._max_bytes:
            self._drop()
        if self._waits_for_key:
            if message.flags & media.DROPPABLE:
                self.dropped += 1
                return
            if message.flags & media.KEY_FRAME:
                self._waits_for_key = False
        self._append(message)

    def take(self) -> LiveMessage:
        """The next one. Raises IndexError when nothing waits."""
        message = self._messages.popleft()
        self._bytes -= len(message.payload)
        return message

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0
        self._waits_for_key = False

    def _append(self, message: LiveMessage) -> None:
        self._messages.append(message)
        self._bytes += len(message.payload)

    def _drop(self) -> None:
        kept = {
            (one.type, one.flags): one
            for one in self._messages
            if one.flags & (media.SEQUENCE_HEADER | media.METADATA)
            or (one.type == DATA and data_name(one.payload) == "onMetaData")
        }
        self.dropped += len(self._messages) - len(kept)
        self.clear()
        for message in kept.values():
            self._append(message)
        self._waits_for_key = True
