"""A browser as the origin sees it: FLV over HTTP or a WebSocket, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

import aiohttp

from rtmp_sync.wire.flv import FlvReader, FlvTag

SECONDS = 10.0


class HttpPlayer:
    """`async with HttpPlayer(url) as player`: what came is in `tags`.

    A `ws:` address is played over a WebSocket. `status` and `headers` are those of the response.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.tags: list[FlvTag] = []
        self.reader = FlvReader()
        self.status = 0
        self.headers: Any = {}
        self.text = ""
        self.ended = False  # the body came to its end
        self.lost = False  # the connection did
        self._options = options
        self._news = asyncio.Event()

    async def __aenter__(self) -> HttpPlayer:
        self._session = aiohttp.ClientSession()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._session.close()

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for news until something holds."""
        async with asyncio.timeout(SECONDS):
            while not true():
                if self._reading.done():
                    self._reading.result()  # a failure of the reading is the test's
                self._news.clear()
                if true():
                    return
                await self._news.wait()

    async def over(self) -> None:
        await self.until(lambda: self.ended or self.lost)

    def media(self) -> list[tuple[int, int, bytes]]:
        """Audio and video that came."""
        return [(one.type, one.timestamp, one.payload) for one in self.tags if one.type != 18]

    def data(self) -> list[bytes]:
        return [one.payload for one in self.tags if one.type == 18]

    async def _read(self) -> None:
        try:
            if self.url.startswith("ws"):
                await self._read_websocket()
            else:
                await self._read_body()
            self.ended = not self.lost
        except aiohttp.ClientConnectionError:
            self.lost = True
        except aiohttp.ClientPayloadError:
            self.lost = True
        except aiohttp.WSServerHandshakeError as error:
            self.status, self.ended = error.status, True
        finally:
            self._news.set()

    async def _read_body(self) -> None:
        async with self._session.get(self.url, **self._options) as response:
            self.status, self.headers = response.status, response.headers
            self._news.set()
            if response.status != 200:
                self.text = await response.text()
                return
            async for data in response.content.iter_any():
                self._take(data)

    async def _read_websocket(self) -> None:
        async with self._session.ws_connect(self.url, **self._options) as socket:
            self.status = 101
            self._news.set()
            async for message in socket:
                assert message.type is aiohttp.WSMsgType.BINARY
                self._take(message.data)
            self.lost = socket.close_code == 1006  # nobody said that this is the end

    def _take(self, data: bytes) -> None:
        self.tags += self.reader.feed(data)
        self._news.set()
