"""A live stream as FLV for browsers: each message a tag once, for all of them.

    a player comes   FLV header, metadata, sequence headers, the frames since the last key frame
    a message comes  its tag is kept until the end of the turn, then written to all at once
    the end          of who publishes is the end of the body

The FLV header says which tracks there are, and a player that was promised one waits for it without
showing anything. So who comes before both were seen waits, for half a second of the stream at most.
Timestamps are the publisher's own: players start their clock at the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rtmp_sync.server.http_body import Frame
from rtmp_sync.server.http_player import HttpPlayer, Tag
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveMessage, LiveStream, step_ms
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from rtmp_sync.wire.messages import data_name

__all__ = ["HttpStream", "HttpStreams"]

_LOOK_MS: Final = 500  # of the stream, for its second track to appear
_BOTH: Final = frozenset({AUDIO, VIDEO})


class HttpStream:
    """A `Tap` of one stream, for as long as somebody is at it."""

    def __init__(self, turn: Turn, name: str, gop_cache_bytes: int) -> None:
        self.users = 0  # requests that are at it
        self._turn = turn
        self._stream = LiveStream(name, gop_cache_bytes=gop_cache_bytes)
        self._players: set[HttpPlayer] = set()
        self._published = asyncio.Event()
        self._batch: list[Tag] = []  # of this turn
        self._tracks: set[int] = set()
        self._first_ms: int | None = None
        self._header = b""  # once the tracks are known

    async def published(self, wait_seconds: float, ended: asyncio.Future[None]) -> bool:
        """Whether somebody publishes it, now or soon. ended: of the player, which then waits no
        longer."""
        if not self._published.is_set():
            waiting = asyncio.ensure_future(self._published.wait())
            try:
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait((waiting, ended), timeout=wait_seconds, return_when=first)
            finally:
                waiting.cancel()
        return self._published.is_set()

    def add(self, player: HttpPlayer) -> None:
        """From now on this player gets it."""
        if not self._published.is_set():
            player.end()
            return
        self.finish_turn()  # what has come is in `join`
        self._players.add(player)
        if self._header:
            self._begin(player)

    def remove(self, player: HttpPlayer) -> None:
        self._players.discard(player)

    # server.live.Tap

    def begin(self) -> None:
        self._stream.start("")
        self._tracks.clear()
        self._first_ms = None
        self._header = b""
        self._published.set()

    def hear(self, message: LiveMessage) -> None:
        type, flags, timestamp, payload = message
        if type == DATA and data_name(payload) == "onMetaData":
            self._stream.set_metadata(timestamp, payload)
        else:
            self._stream.publish(type, flags, timestamp, payload)
        if not self._header:
            self._look(message)
        if not self._batch:
            self._turn.join(self)
        self._batch.append(_tag(message))

    def end(self) -> None:
        self.finish_turn()
        self._published.clear()
        self._stream.stop()
        players, self._players = self._players, set()
        for player in players:
            player.end()

    # server.turn.Pending

    def finish_turn(self) -> None:
        """Write what this turn has brought."""
        tags, self._batch = self._batch, []
        if not tags or not self._turn.authorised:
            return
        framed: dict[Frame, bytes] = {}
        for player in self._players:
            if not player.begun:
                if self._header:
                    self._begin(player)
                continue
            if not player.keeps_up:
                player.write_some(tags)
                continue
            data = framed.get(player.frame)
            if data is None:
                data = framed[player.frame] = player.frame(b"".join(tag.data for tag in tags))
            player.write(data)

    def _look(self, message: LiveMessage) -> None:
        """Which tracks there are."""
        type, flags, timestamp, _ = message
        if type == DATA:
            return
        self._tracks.add(type)
        if not flags & (media.SEQUENCE_HEADER | media.METADATA) and self._first_ms is None:
            self._first_ms = timestamp
        first_ms = self._first_ms  # a clock that is set back is waited for no longer either
        waited = first_ms is not None and abs(step_ms(first_ms, timestamp)) >= _LOOK_MS
        if waited or self._tracks == _BOTH:
            self._header = encode_file_header(
                audio=AUDIO in self._tracks, video=VIDEO in self._tracks
            )

    def _begin(self, player: HttpPlayer) -> None:
        tags = [_tag(message) for message in self._stream.join()]
        player.begin(self._header, tags, has_video=VIDEO in self._tracks)


class HttpStreams:
    """The streams that browsers are at, of all instances."""

    def __init__(self, turn: Turn, gop_cache_bytes: int) -> None:
        self._turn = turn
        self._gop_cache_bytes = gop_cache_bytes
        self._streams: dict[tuple[LiveStreams, str], HttpStream] = {}

    @contextmanager
    def at(self, live: LiveStreams, name: str) -> Iterator[HttpStream]:
        """The stream of that name, published or not."""
        key = (live, name)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = HttpStream(self._turn, name, self._gop_cache_bytes)
            live.tap(name, stream)
        stream.users += 1
        try:
            yield stream
        finally:
            stream.users -= 1
            if not stream.users:
                del self._streams[key]
                live.untap(name, stream)


def _tag(message: LiveMessage) -> Tag:
    return Tag(message.flags, encode_tag(message.type, message.timestamp, message.payload))
