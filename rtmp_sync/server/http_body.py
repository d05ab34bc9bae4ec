"""How FLV reaches a browser: as the body of an HTTP response, or in WebSocket messages.

    chunked     size in hex, CR LF, data, CR LF      HTTP/1.1
    plain       data                                 HTTP/1.0, ended by the connection's end
    websocket   0x82, length, data                   one binary message, not masked

The frames of what many players get are made once and written to their transports directly; the
response's own head and end are aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Final, Protocol

from aiohttp import HttpVersion11, web

from rtmp_sync.app_client import Transport

__all__ = ["Body", "FlvBody", "Frame", "WebSocketBody", "body_for"]

Frame = Callable[[bytes], bytes]
"""Data as it goes over the wire."""

CONTENT_TYPE: Final = "video/x-flv"
_MAX_SPOKEN_BYTES: Final = 4096  # a player has nothing to tell
_CLOSE_SECONDS: Final = 5.0  # for a browser to answer that the stream has ended

_BINARY: Final = 0x82  # the last fragment of a binary message
_SHORT: Final = Struct(">BB")
_MEDIUM: Final = Struct(">BBH")
_LONG: Final = Struct(">BBQ")


def plain(data: bytes) -> bytes:
    return data


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def websocket(data: bytes) -> bytes:
    size = len(data)
    if size < 126:
        return _SHORT.pack(_BINARY, size) + data
    if size < 0x10000:
        return _MEDIUM.pack(_BINARY, 126, size) + data
    return _LONG.pack(_BINARY, 127, size) + data


class Body(Protocol):
    """frame: for what is written past it, between `open` and `finish`."""

    frame: Frame
    transport: Transport

    @property
    def response(self) -> web.StreamResponse:
        """For aiohttp."""

    async def open(self) -> None:
        """Send the response's head."""

    async def send(self, data: bytes) -> None:
        """Send data and wait while the client takes nothing. Raises ConnectionError."""

    async def until(self, ended: asyncio.Future[None]) -> None:
        """Return when the stream has ended or the client wants no more of it."""

    async def finish(self) -> None:
        """Tell the client that this is the end."""


class FlvBody:
    """The body of the response to a GET."""

    transport: Transport = "http"

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str]) -> None:
        self._request = request
        self.response = web.StreamResponse(headers=headers)
        self.response.content_type = CONTENT_TYPE
        self.frame: Frame = plain
        if request.version >= HttpVersion11:
            self.response.enable_chunked_encoding()
            self.frame = chunked

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        await self.response.write(data)

    async def until(self, ended: asyncio.Future[None]) -> None:
        await ended

    async def finish(self) -> None:
        await self.response.write_eof()


class WebSocketBody:
    """A WebSocket on the request's connection."""

    transport: Transport = "websocket"

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str]) -> None:
        self._request = request
        self.response = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS, max_msg_size=_MAX_SPOKEN_BYTES, compress=False
        )
        self.response.headers.update(headers)
        self.frame: Frame = websocket

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        await self.response.send_bytes(data)

    async def until(self, ended: asyncio.Future[None]) -> None:
        """Reads meanwhile: pings are answered, and a close is noticed."""
        closing: list[asyncio.Task[bool]] = []

        def close(_: object) -> None:
            closing.append(asyncio.ensure_future(self.response.close()))

        ended.add_done_callback(close)
        try:
            async for _ in self.response:
                pass
        finally:
            ended.remove_done_callback(close)
            for task in closing:
                await task

    async def finish(self) -> None:
        await self.response.close()


def body_for(request: web.BaseRequest, headers: Mapping[str, str]) -> Body:
    """What the request asks for."""
    if web.WebSocketResponse().can_prepare(request):
        return WebSocketBody(request, headers)
    return FlvBody(request, headers)
