"""A camera and a viewer that come back by themselves after a takeover, and note when.

Like an encoder, the camera begins at 0 with the headers and a key frame each time that it comes
back; it films a file in a circle, at the speed of life.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from rtmp_sync import NetConnection
from rtmp_sync.errors import CallError, ConnectionLost
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag
from tests.support.pair import now


class Camera:
    """accepted: when each of its publishes was accepted; sent: messages so far."""

    def __init__(self, url: str, name: str, film: Path, kind: str) -> None:
        self.accepted: list[float] = []
        self.sent = 0
        self._url, self._name, self._kind = url, name, kind
        self._tags: list[FlvTag] = FlvReader().feed(film.read_bytes())
        self._connection = NetConnection()
        self._connection.on_reconnect = self._publish
        self._filming: asyncio.Task[None] | None = None
        self._stream: RemoteStream | None = None

    async def __aenter__(self) -> Camera:
        await self._connection.connect(self._url)
        await self._publish()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._filming is not None:
            self._filming.cancel()
        if self._stream is not None and not self._stream.ended:
            with contextlib.suppress(ConnectionLost):
                await self._stream.unpublish()
        await self._connection.close()

    def stay_away(self) -> None:
        """Do not come back when the connection is lost."""
        self._connection.reconnect = False

    async def _publish(self) -> None:
        if self._filming is not None:
            self._filming.cancel()
        stream = self._stream = await self._connection.create_stream()
        await stream.publish(self._name, self._kind)
        self.accepted.append(now())
        self._filming = asyncio.create_task(self._film(stream))

    async def _film(self, stream: RemoteStream) -> None:
        begun, base = now(), 0
        with contextlib.suppress(ConnectionLost):  # `_publish` is called again
            while True:
                for tag in self._tags:
                    ms = base + tag.timestamp
                    await asyncio.sleep(max(0.0, begun + ms / 1000 - now()))
                    stream.send(tag.type, ms, tag.payload)
                    self.sent += 1
                base += self._tags[-1].timestamp + 40


class Viewer:
    """frames: (moment, timestamp in ms, whether it is a key frame) of each picture."""

    def __init__(self, url: str, name: str) -> None:
        self.frames: list[tuple[float, int, bool]] = []
        self._url, self._name = url, name
        self._connection = NetConnection()
        self._connection.on_reconnect = self._play

    async def __aenter__(self) -> Viewer:
        await self._connection.connect(self._url)
        await self._play()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def _play(self) -> None:
        with contextlib.suppress(ConnectionLost, CallError):
            stream = await self._connection.create_stream()
            stream.on_media = self._see
            await stream.play(self._name, -1)

    def _see(self, message: MediaReceived) -> None:
        if message.type == VIDEO:
            flags = media.classify(VIDEO, message.payload)
            if not flags & media.SEQUENCE_HEADER:
                self.frames.append((now(), message.timestamp, bool(flags & media.KEY_FRAME)))

    def first_after(self, moment: float) -> tuple[float, int, bool] | None:
        """The first picture that came later than that."""
        return next((frame for frame in self.frames if frame[0] > moment), None)
