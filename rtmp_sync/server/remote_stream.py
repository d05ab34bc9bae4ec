"""A message stream of a client: publish or play.

It belongs to one link. When that ends the stream ends; what to do then (publish again, play
again) is the application's choice, for which `NetConnection.on_reconnect` is the place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from rtmp_sync.errors import ConnectionLost
from rtmp_sync.protocol.events import MediaReceived, StatusReceived, StreamSignalled
from rtmp_sync.server.client_link import ClientLink
from rtmp_sync.server.remote_calls import call_error
from rtmp_sync.wire.constants import (
    LEVEL_ERROR,
    PLAY_START,
    PLAY_TRANSITION,
    PUBLISH_START,
    SEEK_NOTIFY,
    SET_BUFFER_LENGTH,
    UNPUBLISH_SUCCESS,
)

__all__ = ["RemoteStream"]


class RemoteStream:
    """Made by `NetConnection.create_stream`.

    Iterating gives the media of a stream that plays. At most `max_messages` and `max_bytes`
    wait for the iteration; beyond that the oldest are dropped and counted, so that a slow
    reader delays nothing else on the connection. With `on_media` set nothing waits.
    on_status: called with each information object. on_signal: with the numbers of user control
    events. msid: the number of its message stream. dropped_messages: how many were dropped.

    Everything but `close` raises ConnectionLost once it has ended.

    Source: ActionScript's class NetStream; what is sent is in RTMP 1.0, 7.2.2.
    """

    def __init__(
        self,
        link: ClientLink,
        msid: int,
        *,
        max_messages: int = 4096,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.msid = msid
        self.on_status: Callable[[dict[str, object]], object] | None = None
        self.on_signal: Callable[[int], object] | None = None
        self.on_media: Callable[[MediaReceived], object] | None = None
        self.dropped_messages = 0
        self._link = link
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._received: deque[MediaReceived] = deque()
        self._received_bytes = 0
        self._arrived = asyncio.Event()
        self._ended = ""
        self._awaited: tuple[str, asyncio.Future[None]] | None = None

    @property
    def ended(self) -> bool:
        """Whether its link is gone or it was deleted."""
        return bool(self._ended)

    # --- publishing

    async def publish(self, name: str, kind: str = "live") -> None:
        """Publish; returns when the server said so. CallError if it refused. kind: "live", "record"
        or "append"."""
        await self._ask(PUBLISH_START, "publish", name, kind)

    def send(self, type: int, timestamp: int, payload: bytes) -> None:
        """Send audio (8), video (9) or data (18), a payload as in FLV. timestamp: milliseconds.
        Call `drain` now and then."""
        self._check()
        self._link.write(
            self._link.connection.message(type, payload, msid=self.msid, timestamp=timestamp)
        )

    async def drain(self) -> None:
        """Wait while more is sent than the server takes."""
        self._check()
        await self._link.drain()
        self._check()

    async def unpublish(self) -> None:
        """Stop publishing; returns when the server said so."""
        await self._ask(UNPUBLISH_SUCCESS, "closeStream")

    # --- playing

    async def play(
        self, name: str, start: float = -2, duration: float = -1, reset: bool = True
    ) -> None:
        """Play; returns when it started. CallError if there is no such stream. start: -2 what is
        live or else recorded, -1 what is live, from 0 on the recording from there; start and
        duration in milliseconds."""
        await self._ask(PLAY_START, "play", name, start, duration, reset)

    async def switch(self, name: str) -> None:
        """Go over to the same in another form, at its next key frame; returns when the server has
        agreed. CallError if there is nothing to go over to: what plays goes on."""
        await self._ask(PLAY_TRANSITION, "play2", {"streamName": name, "transition": "switch"})

    async def seek(self, position_ms: float) -> None:
        """Go on from there, in milliseconds; returns when the server has agreed. CallError if there
        is no such place."""
        await self._ask(SEEK_NOTIFY, "seek", position_ms)

    def set_buffer(self, ms: int) -> None:
        """How far ahead of time a recording may be sent, in milliseconds."""
        self._check()
        self._link.write(self._link.connection.user_control(SET_BUFFER_LENGTH, self.msid, ms))

    def pause(self, paused: bool, position_ms: float = 0) -> None:
        """Pause or go on, at this place of a recording, in milliseconds."""
        self._command("pause", paused, position_ms)

    def receive_video(self, flag: bool) -> None:
        """Whether video is wanted."""
        self._command("receiveVideo", flag)

    def receive_audio(self, flag: bool) -> None:
        """Whether audio is wanted."""
        self._command("receiveAudio", flag)

    def __aiter__(self) -> AsyncIterator[MediaReceived]:
        return self

    async def __anext__(self) -> MediaReceived:
        """The next message; the iteration ends when the stream does."""
        while not self._received:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        message = self._received.popleft()
        self._received_bytes -= len(message.payload)
        return message

    # --- both

    def close(self) -> None:
        """Delete the stream at the server."""
        if not self._ended:
            connection = self._link.connection
            self._link.write(connection.command("deleteStream", 0, None, float(self.msid)))
            self.end("the stream was closed")

    def _check(self) -> None:
        if self._ended:
            raise ConnectionLost(self._ended)

    def _command(self, name: str, *arguments: object) -> None:
        self._check()
        self._link.write(self._link.connection.command(name, 0, None, *arguments, msid=self.msid))

    async def _ask(self, code: str, name: str, *arguments: object) -> None:
        """Send a command and wait for the status `code`, or for one of level error."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._command(name, *arguments)
        self._awaited = (code, answer)
        try:
            await answer
        finally:
            self._awaited = None

    # --- what comes in

    def receive_media(self, message: MediaReceived) -> None:
        """Keep it for the iteration, or hand it on."""
        if self.on_media is not None:
            self.on_media(message)
            return
        self._received.append(message)
        self._received_bytes += len(message.payload)
        while len(self._received) > self._max_messages or self._received_bytes > self._max_bytes:
            self._received_bytes -= len(self._received.popleft().payload)
            self.dropped_messages += 1
        self._arrived.set()

    def receive_status(self, event: StatusReceived) -> None:
        """Answer whoever waits for it, and tell the application."""
        if self._awaited is not None:
            code, answer = self._awaited
            if not answer.done():
                if event.info.get("code") == code:
                    answer.set_result(None)
                elif event.info.get("level") == LEVEL_ERROR:
                    answer.set_exception(call_error(event.info))
        if self.on_status is not None:
            self.on_status(event.info)

    def receive_signal(self, event: StreamSignalled) -> None:
        """StreamBegin, StreamEOF and such."""
        if self.on_signal is not None:
            self.on_signal(event.event)

    def end(self, reason: str) -> None:
        """Nothing more comes or goes."""
        if self._ended:
            return
        self._ended = reason
        self._arrived.set()
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(ConnectionLost(reason))
