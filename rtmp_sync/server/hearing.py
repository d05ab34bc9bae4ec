"""A live stream as a part of a server-side one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtmp_sync.server.timeline import is_header
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import media

__all__ = ["Hearing"]


class Hearing:
    """A `Tap`. skips: what is of before now, but for the headers; pictures then follow from the
    next key frame on. one_picture: with the first one it is over."""

    def __init__(self, put: Callable[[LiveMessage], None], *, one_picture: bool) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.skips = False
        self._put = put
        self._one_picture = one_picture
        self._waits_for_key = False

    def begin(self) -> None:
        self.begun.set()

    def hear(self, message: LiveMessage) -> None:
        if self.over.is_set():
            return
        if not is_header(message):
            if self.skips:
                self._waits_for_key = True
                return
            if self._waits_for_key and message.flags & media.DROPPABLE:
                return
        self._put(message)
        if message.flags & media.KEY_FRAME:
            self._waits_for_key = False
            if self._one_picture:
                self.over.set()

    def end(self) -> None:
        self.over.set()
