"""A TCP relay between a client and a node that remembers what the node said, and when.

It judges the server's bytes after a mark: everything but protocol control (acknowledgements,
window sizes, pings) is something shown to a client.
"""

from __future__ import annotations

import asyncio
import contextlib

from rtmp_sync.wire.chunk import ChunkReader

HANDSHAKE_BYTES = 1 + 2 * 1536  # S0, S1 and S2
CONTROL_TYPES = frozenset(range(1, 7))


class Tap:
    """`address` is where the client connects; one client only."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._said = bytearray()
        self._marked_at: int | None = None
        self._ended = False
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Tap:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node_reader, node_writer = await asyncio.open_connection(self._host, self._port)
        self._tasks = [
            asyncio.create_task(self._relay(reader, node_writer, remember=False)),
            asyncio.create_task(self._relay(node_reader, writer, remember=True)),
        ]

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, remember: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if remember:
                    self._said += data
                writer.write(data)
        if remember:
            self._ended = True
        with contextlib.suppress(ConnectionError):
            writer.close()

    def mark(self) -> None:
        """From here on the node should say nothing more."""
        self._marked_at = len(self._said)

    async def ended(self) -> bool:
        """Whether the node has closed the connection."""
        return self._ended

    def shown_after_mark(self) -> list[str]:
        """Every message that ended after the mark and is not protocol control."""
        assert self._marked_at is not None
        chunks = ChunkReader()
        chunks.feed(bytes(self._said[HANDSHAKE_BYTES : self._marked_at]))
        return [
            f"type {message.type}: {message.payload[:80]!r}"
            for message in chunks.feed(bytes(self._said[self._marked_at :]))
            if message.type not in CONTROL_TYPES
        ]
