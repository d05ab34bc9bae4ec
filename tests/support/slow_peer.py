"""A client that reads no more than it is allowed to."""

from __future__ import annotations

import asyncio
import socket

from tests.support.peer import Peer

_RECEIVE_BYTES = 16 * 1024  # of its socket: the sender soon notices


class SlowPeer(Peer):
    """Reads as it likes until `hold`; from then on what `allow` allows, and nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_read = 0
        self._left: int | None = None
        self._allowed = asyncio.Event()

    async def open(self, port: int) -> Peer:
        with_small_window = socket.socket()
        with_small_window.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        with_small_window.setblocking(False)
        await asyncio.get_running_loop().sock_connect(with_small_window, ("127.0.0.1", port))
        return await self.begin(*await asyncio.open_connection(sock=with_small_window, limit=4096))

    def hold(self) -> None:
        """Read nothing more."""
        self._left = 0

    def allow(self, count: int) -> None:
        """Read so many bytes more."""
        self._left = (self._left or 0) + count
        self._allowed.set()

    def go_on(self) -> None:
        """Read everything again."""
        self._left = None
        self._allowed.set()

    async def _some(self) -> bytes:
        while self._left == 0:
            self._allowed.clear()
            await self._allowed.wait()
        data = await self._reader.read(self._left or 65536)
        if self._left is not None:
            self._left = max(0, self._left - len(data))
        self.bytes_read += len(data)
        return data
