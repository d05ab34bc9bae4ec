"""Push: a stream of ours is published at another server too, whenever it is published here.

    begin ─► dial, publish ─► from the headers and the last key frame on, what comes ─► end
      ▲                                     │ the server is away, refuses, or takes nothing
      └────────── wait, longer each time ◄──┘

What waits for a server that is too slow is bounded, and never waited for by anybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from rtmp_sync.errors import ConnectionLost
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.relay import (
    FAILURES,
    SETUP_SECONDS,
    Backoff,
    Remote,
    dialled,
    path_of,
)
from rtmp_sync.server.relay_queue import RelayQueue
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire.constants import (
    DATA,
    LEVEL_ERROR,
    LEVEL_STATUS,
    PUBLISH_BAD_NAME,
    PUBLISH_START,
    UNPUBLISH_SUCCESS,
)
from rtmp_sync.wire.messages import SET_DATA_FRAME, data_name

__all__ = ["RelayPush", "Status"]

_QUEUE_BYTES: Final = 16 * 1024 * 1024  # twice what is kept since a key frame
_STALLED_SECONDS: Final = 10.0  # a server that takes nothing for so long is away
_END_SECONDS: Final = 2.0  # for the answer to unpublish

Status = Callable[[str, str, str], None]
"""Told (code, description, level) of what becomes of a stream."""


class RelayPush:
    """Of the stream `name`, until `close`."""

    def __init__(self, live: LiveStreams, name: str, remote: Remote, on_status: Status) -> None:
        self._live = live
        self._name = name
        self._remote = remote
        self._on_status = on_status
        self._session_key = live.relay_keys.take(name, remote)
        self._queue = RelayQueue(_QUEUE_BYTES)
        self._published = False
        self._listens = False  # while the other server takes what comes
        self._wake = asyncio.Event()
        self._log = structlog.get_logger("rtmp_sync.relay").bind(stream=name, to=str(remote))
        live.tap(name, self, passes_on=True)
        self._task = asyncio.ensure_future(self._run())

    @property
    def dropped(self) -> int:
        """Messages that the other server was too slow for."""
        return self._queue.dropped

    def close(self) -> None:
        """Publish there no longer."""
        self._live.untap(self._name, self)
        self._live.relay_keys.give_back(self._session_key)
        self._task.cancel()

    # Tap

    def begin(self) -> None:
        self._published = True
        self._wake.set()

    def hear(self, message: LiveMessage) -> None:
        if self._listens:
            self._queue.put(message)
            self._wake.set()

    def end(self) -> None:
        self._published = self._listens = False
        self._wake.set()

    # The task

    async def _run(self) -> None:
        backoff = Backoff()
        told = ""
        while True:
            while not self._published:
                await self._woken()
            try:
                await self._push(backoff)
                told = ""
                continue
            except FAILURES as error:
                reason = str(error) or "no answer in time"
            if reason != told:  # once, not at each attempt
                told = reason
                self._log.warning("relay_failed", reason=reason, dropped=self.dropped)
                self._on_status(PUBLISH_BAD_NAME, f"{self._remote}: {reason}", LEVEL_ERROR)
            await asyncio.sleep(backoff.failed())

    async def _push(self, backoff: Backoff) -> None:
        """Publish there until it is unpublished here. Raises FAILURES."""
        path = path_of(self._live.hop, self._name, self._live.publisher(self._name))
        try:
            async with (
                asyncio.timeout(SETUP_SECONDS) as setup,
                dialled(self._remote, path, self._session_key) as there,
            ):
                there.on_closed = lambda _reason: self._wake.set()
                stream = await there.create_stream()
                await stream.publish(self._remote.name)
                setup.reschedule(None)
                self._log.info("relay_started")
                self._on_status(PUBLISH_START, f"{self._remote} is now published.", LEVEL_STATUS)
                backoff.went_well()
                self._catch_up()
                await self._send(stream)
                async with asyncio.timeout(_END_SECONDS):
                    await stream.unpublish()
        finally:
            self._listens = False
            self._queue.clear()
        self._log.info("relay_ended", dropped=self.dropped)
        self._on_status(UNPUBLISH_SUCCESS, f"{self._remote} is now unpublished.", LEVEL_STATUS)

    def _catch_up(self) -> None:
        """Hear again from what a late joiner needs."""
        self._live.untap(self._name, self)
        self._listens = self._published
        self._live.tap(self._name, self, passes_on=True)

    async def _send(self, stream: RemoteStream) -> None:
        while self._listens:
            while self._queue:
                type, _, timestamp, payload = self._queue.take()
                if type == DATA and data_name(payload) == "onMetaData":
                    payload = SET_DATA_FRAME + payload
                stream.send(type, timestamp, payload)
                async with asyncio.timeout(_STALLED_SECONDS):
                    await stream.drain()
            if stream.ended:
                raise ConnectionLost("the other server ended it")
            await self._woken()

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()
