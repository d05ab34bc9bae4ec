"""A stream that the application records, whoever publishes it, whenever it is published."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtmp_sync.server.channel import Status
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.storage.media_folders import NameRefused
from rtmp_sync.storage.recorder import Take
from rtmp_sync.wire.constants import LEVEL_ERROR, RECORD_FAILED, RECORD_NO_ACCESS

__all__ = ["Prepare", "ServerRecording"]

Prepare = Callable[[str, str], Awaitable[Take]]
"""A place for a recording, of (name, "record" or "append"). Raises NameRefused."""


class ServerRecording:
    """Of the stream `name`, until `close`. kind: "record" writes over what was recorded, once;
    "append" goes on behind it. A `Tap`."""

    def __init__(
        self, live: LiveStreams, prepare: Prepare, name: str, kind: str, on_status: Status
    ) -> None:
        self._live = live
        self._prepare = prepare
        self._name = name
        self._kind = kind
        self._on_status = on_status
        self._take: Take | None = None
        self._beginning: asyncio.Task[None] | None = None
        live.tap(name, self)

    def close(self) -> None:
        """Record no longer."""
        self._live.untap(self._name, self)
        self._cancel()
        if self._take is not None:
            self._live.end_recording(self._name, self._take)

    def begin(self) -> None:
        self._cancel()
        self._beginning = asyncio.ensure_future(self._begin())

    def hear(self, message: LiveMessage) -> None:
        """The recorder gets it from the stream itself."""

    def end(self) -> None:
        self._cancel()
        self._take = None  # the stream has ended it

    async def _begin(self) -> None:
        if self._live.is_recorded(self._name):
            text = f"{self._name} is recorded already."
            self._on_status(RECORD_FAILED, text, LEVEL_ERROR)
            return
        try:
            take = await self._prepare(self._name, self._kind)
        except NameRefused as refusal:
            text = f"{self._name} cannot be recorded: {refusal}."
            self._on_status(RECORD_NO_ACCESS, text, LEVEL_ERROR)
            return
        if self._live.record(self._name, take, self._on_status):
            self._take, self._kind = take, "append"

    def _cancel(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None
