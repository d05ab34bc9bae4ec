"""A client that speaks through `protocol.Connection` and shows every byte and event it got."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import (
    CallAnswered,
    CommandReceived,
    ConnectAnswered,
    HandshakeCompleted,
    MediaReceived,
    SharedObjectReceived,
    StatusReceived,
)
from rtmp_sync.wire import amf0, shared_object
from rtmp_sync.wire.chunk import ChunkReader, Message
from rtmp_sync.wire.constants import SHARED_OBJECT, SHARED_OBJECT_AMF3
from rtmp_sync.wire.shared_object import Event, SharedObjectMessage

SECONDS = 10.0
T = TypeVar("T")


class Peer:
    """Connect with `open`; what came is in `events`, `messages` (undecoded) and `data`."""

    def __init__(self) -> None:
        self.rtmp = Connection(Role.CLIENT, now=time.monotonic(), random_bytes=secrets.token_bytes)
        self.events: list[object] = []
        self.messages: list[Message] = []  # since connect was answered
        self.closed = False
        self.writer: asyncio.StreamWriter
        self._reader: asyncio.StreamReader
        self._chunks: ChunkReader | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def open(self, port: int) -> Peer:
        """Do the handshake."""
        return await self.begin(*await asyncio.open_connection("127.0.0.1", port))

    async def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer:
        """Do it on a connection that is there."""
        self._reader, self.writer = reader, writer
        self._reading = asyncio.create_task(self._read())
        self.flush()
        await self.event(HandshakeCompleted)
        return self

    async def connect(
        self, port: int, app: str, *arguments: object, **params: object
    ) -> ConnectAnswered:
        """Handshake and connect; the answer."""
        await self.open(port)
        command = self.rtmp.connect({"app": app, **params}, *arguments)
        self.send(command)
        answer = await self.event(ConnectAnswered)
        self.events.clear()
        return answer

    async def join(
        self, port: int, app: str = "probe/live", name: str = "", **params: object
    ) -> Peer:
        """Connect, and create message stream 1; what came until then is forgotten."""
        await self.connect(port, app, name, **params)
        self.send(self.rtmp.call("createStream")[1])
        assert (await self.event(CallAnswered)).result == 1.0
        self.events.clear()
        return self

    def tell(self, command: str, *arguments: object) -> None:
        """A command on message stream 1 that wants no answer."""
        self.send(self.rtmp.command(command, 0, None, *arguments, msid=1))

    def push(self, type: int, timestamp: int, payload: bytes) -> None:
        """Media on message stream 1."""
        self.send(self.rtmp.message(type, payload, msid=1, timestamp=timestamp))

    def flush(self) -> None:
        self.writer.write(self.rtmp.data_to_send())

    def send(self, data: bytes) -> None:
        self.writer.write(self.rtmp.data_to_send() + data)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self.writer.close()

    async def ended(self) -> None:
        """Return when the server has closed the connection."""
        await self.until(lambda: self.closed)

    async def until(self, true: Callable[[], T]) -> T:
        """Wait for news until something holds; what it said."""
        async with asyncio.timeout(SECONDS):
            while not (value := true()):
                self._news.clear()
                await self._news.wait()
            return value

    async def event(self, kind: type[T], number: int = 1) -> T:
        """The number-th event of a kind."""
        found: list[T] = []

        def there() -> bool:
            found[:] = [one for one in self.events if isinstance(one, kind)]
            return len(found) >= number

        await self.until(there)
        return found[number - 1]

    # Commands

    async def command(self, name: str, number: int = 1) -> list[object]:
        """The arguments of the number-th command of that name."""

        def there() -> list[CommandReceived]:
            found = [
                one for one in self.events if isinstance(one, CommandReceived) and one.name == name
            ]
            return found if len(found) >= number else []

        found = await self.until(there)
        return found[number - 1].command_object_and_arguments(self.rtmp.limits.values)[1]

    def statuses(self) -> list[str]:
        """The codes of all onStatus so far."""
        return [str(one.info.get("code")) for one in self.events if isinstance(one, StatusReceived)]

    async def status(self, code: str) -> StatusReceived:
        """The first onStatus with this code."""

        def there() -> list[StatusReceived]:
            known = [one for one in self.events if isinstance(one, StatusReceived)]
            return [one for one in known if one.info.get("code") == code]

        return (await self.until(there))[0]

    def media(self) -> list[MediaReceived]:
        return [one for one in self.events if isinstance(one, MediaReceived)]

    # Shared objects

    def so(self, name: str, *events: bytes, version: int = 0, persistent: bool = False) -> None:
        """Send a shared-object message."""
        payload = shared_object.header(name, version, persistent) + b"".join(events)
        if self.rtmp.object_encoding == 3:
            self.send(self.rtmp.message(SHARED_OBJECT_AMF3, b"\0" + payload))
        else:
            self.send(self.rtmp.message(SHARED_OBJECT, payload))

    def so_messages(self) -> list[SharedObjectMessage]:
        return [one.message for one in self.events if isinstance(one, SharedObjectReceived)]

    def so_events(self) -> list[tuple[int, str, object]]:
        """(type, key, decoded value) of all shared-object events so far."""
        return [_shown(event) for message in self.so_messages() for event in message.events]

    async def so_until(self, count: int) -> list[tuple[int, str, object]]:
        """Wait for so many shared-object events, then take them."""
        await self.until(lambda: len(self.so_events()) >= count)
        found = self.so_events()
        self.events.clear()
        return found

    # Inside

    async def _read(self) -> None:
        try:
            while data := await self._some():
                if self._chunks is not None:
                    self.messages += self._chunks.feed(data)
                self.rtmp.receive_data(data, time.monotonic())
                self.events += self.rtmp.events_received()
                self.flush()
                self._news.set()
        except ConnectionError:
            pass
        finally:
            self.closed = True
            self.writer.close()
            self._news.set()

    async def _some(self) -> bytes:
        return await self._reader.read(65536)

    def watch_messages(self, chunk_size: int = 4096) -> None:
        """Keep the undecoded messages from now on; nothing must be under way."""
        self._chunks = ChunkReader(
            max_message_bytes=4 << 20,
            max_partial_bytes=8 << 20,
            max_partial_streams=64,
            fmt3_repeats_timestamp=True,
        )
        self._chunks.feed(b"\x02\0\0\0\0\0\4\1\0\0\0\0" + chunk_size.to_bytes(4, "big"))


def _shown(event: Event) -> tuple[int, str, object]:
    if not event.value:
        return event.type, event.key, None
    values = amf0.decode(event.value)
    return event.type, event.key, values[0] if len(values) == 1 else values
