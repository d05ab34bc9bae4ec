"""Where the messages of several sources are in the one stream that they become."""

from __future__ import annotations

import asyncio
from typing import Final

from rtmp_sync.state.live_stream import LiveMessage, step_ms
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA
from rtmp_sync.wire.messages import data_name

__all__ = ["Timeline", "is_header"]

_HEADER: Final = media.SEQUENCE_HEADER | media.METADATA


def is_header(message: LiveMessage) -> bool:
    """Whether it says how to decode what follows, rather than being a part of it."""
    if message.type == DATA:
        return data_name(message.payload) == "onMetaData"
    return bool(message.flags & _HEADER)


class Timeline:
    """In ms; time follows the clock at each `switch`, and never goes back. last: of the last
    message."""

    def __init__(self) -> None:
        self.last = 0
        self._origin: float | None = None  # loop time at 0 ms
        self._base = 0
        self._ms = 0  # of the last message that was no header
        self._source: int | None = None  # the source's own timestamp of it

    def switch(self) -> None:
        """Another source: it begins now."""
        time = asyncio.get_running_loop().time()
        if self._origin is None:
            self._origin = time
        else:
            self._base = max(self.last + 1, round((time - self._origin) * 1000))
        self._ms = self._base
        self._source = None

    def place(self, message: LiveMessage) -> int:
        """A header does not say where its source begins: it may be older than what follows."""
        if not is_header(message):
            if self._source is not None:
                self._ms += step_ms(self._source, message.timestamp)
            self._source = message.timestamp
        ms = max(self._base, self._ms)
        self.last = max(self.last, ms)
        return ms
