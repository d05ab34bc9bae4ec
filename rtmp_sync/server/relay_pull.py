"""Pull: a stream of another server is published here, whenever it is published there.

    dial, play ─► the first message: published here ─► what comes ─► unpublished there, or lost
      ▲               │ the name is taken                                   │
      └── wait ◄──────┴───────────────────── the server is away ◄───────────┘

A stream that was lost with its connection goes on where it was: timestamps of who plays it here
do not go back.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from rtmp_sync.errors import ConnectionLost
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.feed import Feed
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.relay import FAILURES, SETUP_SECONDS, Backoff, Remote, dialled
from rtmp_sync.server.relay_push import Status
from rtmp_sync.wire.constants import (
    DATA,
    LEVEL_ERROR,
    LEVEL_STATUS,
    PLAY_FAILED,
    PLAY_PUBLISH_NOTIFY,
    PLAY_START,
    PLAY_STOP,
    PLAY_UNPUBLISH_NOTIFY,
    STREAM_EOF,
)
from rtmp_sync.wire.messages import data_name

__all__ = ["RelayPull"]

_LIVE_ONLY: Final = -1
_OWN_DATA: Final = frozenset({"|RtmpSampleAccess", "onStatus", "onPlayStatus"})  # the server's own
_ENDS: Final = frozenset({PLAY_UNPUBLISH_NOTIFY, PLAY_STOP})


class RelayPull:
    """Of the stream `name`, until `close`. path: see `relay.path_of`."""

    def __init__(
        self, live: LiveStreams, name: str, remote: Remote, path: str, on_status: Status
    ) -> None:
        self.id = f"pull {remote}"
        self._live = live
        self._name = name
        self._remote = remote
        self._path = path
        self._on_status = on_status
        self._feed: Feed | None = None
        self._trouble = ""  # why nothing more is taken on this connection
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._log = structlog.get_logger("rtmp_sync.relay").bind(stream=name, pulled=str(remote))
        self._task = asyncio.ensure_future(self._run())

    @property
    def publishes(self) -> bool:
        """Whether the stream is published here, by this one."""
        return self._feed is not None

    def close(self) -> None:
        """Pull no longer; the stream ends here."""
        self._task.cancel()
        self._unpublish()

    def taken_over(self, reason: str) -> None:
        """The streams of this instance end."""
        self._feed = None
        self._task.cancel()

    async def _run(self) -> None:
        told = ""
        while True:
            try:
                await self._pull()
                reason = "the other server ended it"
            except FAILURES as error:
                reason = str(error) or "no answer in time"
            finally:
                feed, self._feed = self._feed, None
                if feed is not None:
                    feed.close(lost=True)
                    told = ""
            if reason != told:  # once, not at each attempt
                told = reason
                self._log.warning("relay_failed", reason=reason)
                self._on_status(PLAY_FAILED, f"{self._remote}: {reason}", LEVEL_ERROR)
            await asyncio.sleep(self._backoff.failed())

    async def _pull(self) -> None:
        """Play it there until something ends that. Raises FAILURES."""
        self._trouble = ""
        async with (
            asyncio.timeout(SETUP_SECONDS) as setup,
            dialled(self._remote, self._path) as there,
        ):
            there.on_closed = lambda _reason: self._wake.set()
            stream = await there.create_stream()
            stream.on_media = self._hear
            stream.on_status = lambda info: self._told(info.get("code"))
            stream.on_signal = lambda event: self._told(PLAY_STOP) if event == STREAM_EOF else None
            await stream.play(self._remote.name, _LIVE_ONLY)
            setup.reschedule(None)
            self._log.info("relay_started")
            self._on_status(PLAY_START, f"{self._remote} is pulled.", LEVEL_STATUS)
            while not stream.ended and not self._trouble:
                await self._wake.wait()
                self._wake.clear()
        if self._trouble:
            raise ConnectionLost(self._trouble)

    def _hear(self, message: MediaReceived) -> None:
        if message.type == DATA and data_name(message.payload) in _OWN_DATA:
            return
        feed = self._feed or self._publish()
        if feed is not None:
            feed.put(message.type, message.timestamp, message.payload)

    def _publish(self) -> Feed | None:
        if self._trouble:
            return None
        try:
            self._feed = self._live.feed(self._name, self)
        except Deposed as deposed:
            self._fail(str(deposed))
            return None
        if self._feed is None:
            self._fail(f"{self._name} is already published.")
            return None
        self._backoff.went_well()
        self._on_status(PLAY_PUBLISH_NOTIFY, f"{self._remote} is published.", LEVEL_STATUS)
        return self._feed

    def _told(self, code: object) -> None:
        if code in _ENDS and self._feed is not None:
            self._unpublish()
            self._on_status(PLAY_UNPUBLISH_NOTIFY, f"{self._remote} has ended.", LEVEL_STATUS)

    def _unpublish(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _fail(self, reason: str) -> None:
        self._trouble = reason
        self._wake.set()
