"""A proxy that understands RTMP: it breaks the link between two origins message by message.

Handshakes pass as they are; behind them each message is read, shown to the fault of its
direction, and what that returns is written on. Directions are named by who hears it. Only
whole messages go on: one above the window of the link (`replication_queue`) never would.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from rtmp_sync.wire.chunk import ChunkReader, Message, encode_message
from rtmp_sync.wire.constants import DEFAULT_CHUNK_SIZE, REPLICATION, SET_CHUNK_SIZE

_HANDSHAKE_BYTES: Final = 1 + 1536 + 1536
ACCEPTOR, DIALER = "acceptor", "dialer"

Fault = Callable[[Message], list[Message]]


def as_it_is(message: Message) -> list[Message]:
    return [message]


class EnvelopeProxy:
    """`fault[hearer]` sees every message of the link and says what passes instead."""

    def __init__(self) -> None:
        self.fault: dict[str, Fault] = {ACCEPTOR: as_it_is, DIALER: as_it_is}
        self.passed: dict[str, list[Message]] = {ACCEPTOR: [], DIALER: []}  # on this connection
        self._running = {ACCEPTOR: asyncio.Event(), DIALER: asyncio.Event()}
        self.resume()
        self._target = ("127.0.0.1", 1)
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._chunk_size = {ACCEPTOR: DEFAULT_CHUNK_SIZE, DIALER: DEFAULT_CHUNK_SIZE}

    async def start(self, target: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        self.aim(target)
        self._server = await asyncio.start_server(self._called, host, 0)

    def aim(self, target: tuple[str, int]) -> None:
        self._target = target

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return host, port

    def send(self, hearer: str, message: Message) -> None:
        """Say something that nobody said."""
        data = _encoded(message, self._chunk_size[hearer])
        self._writers[hearer].write(data)

    def send_raw(self, hearer: str, data: bytes) -> None:
        self._writers[hearer].write(data)

    def pause(self, *hearers: str) -> None:
        """Carry nothing to them (all: none named); what is said piles up at its sender."""
        for hearer in hearers or self._running:
            self._running[hearer].clear()

    def resume(self) -> None:
        for running in self._running.values():
            running.set()

    def cut(self) -> None:
        """End every connection."""
        for writer in self._writers.values():
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.create_task(self._serve(reader, writer))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers = {ACCEPTOR: onward, DIALER: writer}
        self.passed = {ACCEPTOR: [], DIALER: []}
        try:
            await asyncio.gather(
                self._carry(reader, onward, ACCEPTOR), self._carry(there, writer, DIALER)
            )
        finally:
            onward.close()
            writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hearer: str
    ) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(await reader.readexactly(1537))
            writer.write(await reader.readexactly(_HANDSHAKE_BYTES - 1537))
            chunks = ChunkReader()
            self._chunk_size[hearer] = DEFAULT_CHUNK_SIZE
            while data := await reader.read(65536):
                for message in chunks.feed(data):
                    self._pass(message, writer, hearer)
                await writer.drain()
                await self._running[hearer].wait()
        writer.close()

    def _pass(self, message: Message, writer: asyncio.StreamWriter, hearer: str) -> None:
        messages = [message]
        if message.type == REPLICATION:
            messages = self.fault[hearer](message)
            self.passed[hearer].append(message)
        for one in messages:
            writer.write(_encoded(one, self._chunk_size[hearer]))
        if message.type == SET_CHUNK_SIZE:
            self._chunk_size[hearer] = int.from_bytes(message.payload)


def _encoded(message: Message, chunk_size: int) -> bytes:
    return encode_message(
        message.type, message.msid, message.timestamp, message.payload, message.csid, chunk_size
    )


def once(lane: int, change: Fault) -> Fault:
    """A fault that the next message of `lane` suffers, and no other."""
    left = [change]

    def fault(message: Message) -> list[Message]:
        return left.pop()(message) if left and message.csid == lane else [message]

    return fault


def flipped(message: Message) -> list[Message]:
    """A bit in the middle of its payload."""
    payload = bytearray(message.payload)
    payload[len(payload) // 2] ^= 1
    return [_with(message, bytes(payload))]


def missing(_: Message) -> list[Message]:
    return []


def twice(message: Message) -> list[Message]:
    return [message, message]


def _with(message: Message, payload: bytes) -> Message:
    return Message(message.type, message.msid, message.timestamp, payload, message.csid)
