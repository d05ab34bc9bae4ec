"""What a server-side stream plays: live and recorded streams, one after the other, as one.

    live       what a late joiner gets, then what comes, until it is unpublished or its time is
               over; at a switch only the headers, and pictures from the next key frame on
    recorded   metadata, headers, then from the key frame at or before the place, in time

Timestamps follow the clock and never go back, whatever those of the sources do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import pyamf
import structlog

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.channel import Status
from rtmp_sync.server.feed import Feed
from rtmp_sync.server.hearing import Hearing
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.timeline import Timeline
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.storage.recording import Recording
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import (
    DATA,
    LEVEL_ERROR,
    LEVEL_STATUS,
    PLAY_COMPLETE,
    PLAY_FAILED,
    PLAY_START,
    PLAY_STREAM_NOT_FOUND,
    PLAY_SWITCH,
    PUBLISH_BAD_NAME,
)

__all__ = ["LIVE", "Find", "Item", "Playlist", "Plays"]

LIVE: Final = -1.0  # the start of an item that is live
_ITEMS: Final = 100  # more is no playlist
_READ_BYTES: Final = 64 * 1024
_READ_SECONDS: Final = 10.0  # a NAS that takes longer has failed this item
_FIRST_PAUSE: Final = 0.05  # seconds, after an item that cannot be played; doubled with each one
_LAST_PAUSE: Final = 5.0

Find = Callable[[str], Awaitable[Recording | None]]
"""The recording of a name. Raises OSError and RemoteProtocolError."""
Plays = Callable[[str], str | None]
"""What the server-side stream of a name plays now."""


class Item(NamedTuple):
    """start, length in seconds. start: -2 what is live or else recorded, -1 what is live, from 0 on
    a place in a recording. length: -1 all of it, 0 one picture."""

    source: str
    start: float = -2
    length: float = -1


class Playlist:
    """Publishes as `name` what is played, as long as there is something. A `Source`."""

    def __init__(
        self, live: LiveStreams, find: Find, plays: Plays, name: str, on_status: Status
    ) -> None:
        self.id = "server"
        self.source: str | None = None  # that is played now
        self._live = live
        self._find = find
        self._plays = plays
        self._name = name
        self._on_status = on_status
        self._items: deque[Item] = deque()
        self._timeline = Timeline()
        self._feed: Feed | None = None
        self._played = 0  # items so far
        self._pause = _FIRST_PAUSE
        self._task: asyncio.Task[None] | None = None
        self._recording: Recording | None = None  # that is played now
        self._log = structlog.get_logger("rtmp_sync.server_stream").bind(stream=name)

    @property
    def current_ms(self) -> int:
        """Of the last message."""
        return self._timeline.last

    @property
    def at_work(self) -> bool:
        """Whether there is anything left to play."""
        return self._task is not None

    def play(self, item: Item, *, reset: bool) -> None:
        """Play it now, or after what plays already."""
        if reset:
            self._items.clear()
            self._cancel()
        if len(self._items) >= _ITEMS:
            self._fail(PLAY_FAILED, f"the playlist of {self._name} is full.")
            return
        self._items.append(item)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Play nothing more; the stream ends."""
        self._items.clear()
        self._cancel()
        self._end()

    def taken_over(self, reason: str) -> None:
        """The streams of this instance end."""
        self._feed = None
        self._items.clear()
        self._cancel()

    # The task

    async def _run(self) -> None:
        if self._feed is None:
            try:
                self._feed = self._live.feed(self._name, self)
            except Deposed:  # the next origin's application begins again
                return
        if self._feed is None:
            self._items.clear()
            self._fail(PUBLISH_BAD_NAME, f"{self._name} is already published.")
        own = self._task
        while self._items and self._task is own:
            if await self._try(self._items.popleft()):
                self._pause = _FIRST_PAUSE
            else:  # an application that begins again when all has failed does not spin
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, _LAST_PAUSE)
            if not self._items:
                self._status(PLAY_COMPLETE, f"{self._name} has played all.")
        if self._task is own:  # else who was told has something else played
            self._task = None
            self._end()

    async def _try(self, item: Item) -> bool:
        try:
            return await self._play(item)
        except (OSError, RemoteProtocolError) as error:
            reason = str(error) or "the disk does not answer"
            self._fail(PLAY_FAILED, f"{item.source} cannot be read: {reason}.")
            return False
        except Exception as error:  # a mistake of ours: it costs this item, not the stream
            self._log.error("source_failed", source=item.source, exc_info=error)
            self._fail(PLAY_FAILED, f"{item.source} cannot be played.")
            return False

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._recording is not None:
            self._abandon(self._recording)  # now: the origin may end before the task hears of it

    def _abandon(self, recording: Recording) -> None:
        if self._recording is recording:
            self._recording = None
            recording.abandon()

    def _end(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()
        self._timeline = Timeline()
        self._played = 0
        self.source = None

    async def _play(self, item: Item) -> bool:
        """Whether anything was played. Raises OSError and RemoteProtocolError."""
        source, start, length = item
        if self._is_circle(source):
            self._fail(PLAY_FAILED, f"{self._name} would play itself.")
            return False
        self.source = source
        recording = None
        if start != LIVE and not (start < 0 and self._live.is_published(source)):
            recording = await self._find(source)
            if recording is None and start >= 0:
                self._fail(PLAY_STREAM_NOT_FOUND, f"{source} is not recorded.")
                return False
        if recording is None:
            await self._play_live(source, length)
            return True
        self._recording = recording
        try:
            await self._play_recording(source, recording, max(0.0, start), length)
        finally:
            self._abandon(recording)
        return recording.duration_ms > 0

    def _is_circle(self, source: str | None) -> bool:
        while source is not None and source != self._name:
            source = self._plays(source)
        return source is not None

    async def _play_live(self, source: str, length: float) -> None:
        hearing = Hearing(self._pass_on, one_picture=length == 0)
        hearing.skips = self._played > 0
        self._timeline.switch()
        self._live.tap(source, hearing)
        hearing.skips = False
        try:
            if not hearing.begun.is_set():
                await hearing.begun.wait()
                self._timeline.switch()
            self._begun(source)
            async with asyncio.timeout(length if length > 0 else None) as time:
                await hearing.over.wait()
        except TimeoutError:
            if not time.expired():
                raise
        finally:
            self._live.untap(source, hearing)

    async def _play_recording(
        self, source: str, recording: Recording, start: float, length: float
    ) -> None:
        loop = asyncio.get_running_loop()
        start_ms = round(start * 1000)
        ends_ms = start_ms + length * 1000 if length > 0 else None
        at = recording.seek(start_ms)
        async with asyncio.timeout(_READ_SECONDS):
            headers = await recording.headers(at)
        self._timeline.switch()
        self._begun(source)
        told = {key: value for key, value in recording.metadata.items() if key != "duration"}
        metadata = amf0.encode("onMetaData", pyamf.MixedArray(told))
        self._pass_on(LiveMessage(DATA, 0, 0, metadata))
        for header in headers:
            self._pass_on(LiveMessage(*header))
        began, first_ms = loop.time(), None
        following: object = at
        while following is not None:
            async with asyncio.timeout(_READ_SECONDS):
                tags, following = await recording.read(at, _READ_BYTES)
            at = following or at
            for tag in tags:
                if ends_ms is not None and tag.ms >= ends_ms:
                    return
                first_ms = tag.ms if first_ms is None else first_ms
                early = (tag.ms - first_ms) / 1000 - (loop.time() - began)
                if early > 0:
                    await asyncio.sleep(early)
                self._pass_on(LiveMessage(*tag))
                if length == 0 and tag.flags & media.KEY_FRAME:
                    return

    def _begun(self, source: str) -> None:
        code = PLAY_SWITCH if self._played else PLAY_START
        self._played += 1
        self._status(code, f"{self._name} plays {source}.")

    def _pass_on(self, message: LiveMessage) -> None:
        if self._feed is not None:
            timestamp = self._timeline.place(message)
            self._feed.put(message.type, timestamp & 0xFFFFFFFF, message.payload)

    # What is told

    def _status(self, code: str, description: str) -> None:
        self._log.info("server_stream", code=code, description=description)
        self._on_status(code, description, LEVEL_STATUS)

    def _fail(self, code: str, description: str) -> None:
        self._log.warning("server_stream", code=code, description=description)
        self._on_status(code, description, LEVEL_ERROR)
