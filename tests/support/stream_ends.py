"""Our own ends of a stream: a publisher of a file's tags, and a witness of what is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from rtmp_sync import NetConnection
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.wire.constants import DATA, PLAY_STOP, PLAY_UNPUBLISH_NOTIFY
from rtmp_sync.wire.flv import FlvTag
from rtmp_sync.wire.messages import SET_DATA_FRAME, data_name
from tests.support.flv_tags import Tag, media_tags
from tests.support.pair import within

END_SECONDS = 30.0


class Witness:
    """Everything that a stream plays, in its order. `forget` what came so far."""

    def __init__(self, stream: RemoteStream) -> None:
        self.stream = stream
        self.messages: list[MediaReceived] = []
        self._over = asyncio.Event()

    @property
    def tags(self) -> list[Tag]:
        """Audio and video."""
        return media_tags(self.messages)

    async def end(self) -> list[Tag]:
        """Wait until it is not published any more, or played to its end."""
        async with asyncio.timeout(END_SECONDS):
            await self._over.wait()
        return self.tags

    async def at_least(self, count: int) -> list[Tag]:
        """Wait until so many messages of audio and video have come."""

        async def came() -> bool:
            return len(self.tags) >= count

        await within(END_SECONDS, f"{count} messages", came)
        return self.tags

    def forget(self) -> None:
        self.messages.clear()
        self._over.clear()

    def receive_status(self, info: dict[str, object]) -> None:
        if info.get("code") in (PLAY_UNPUBLISH_NOTIFY, PLAY_STOP):
            self._over.set()


@asynccontextmanager
async def watching(address: str, name: str, *, start: float = -2) -> AsyncIterator[Witness]:
    """Play `name` of an application at rtmp://host:port/app."""
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(address)
        stream = await connection.create_stream()
        witness = Witness(stream)
        stream.on_media = witness.messages.append
        stream.on_status = witness.receive_status
        await stream.play(name, start)
        yield witness


@asynccontextmanager
async def publishing(address: str, name: str, kind: str = "live") -> AsyncIterator[RemoteStream]:
    """Publish as encoders do; unpublishes at the end."""
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(address)
        stream = await connection.create_stream()
        await stream.publish(name, kind)
        yield stream
        await stream.unpublish()


async def send_tags(stream: RemoteStream, tags: Iterable[FlvTag], *, shift_ms: int = 0) -> None:
    """Everything at once, as fast as it is taken. shift_ms: added to timestamps, modulo 2^32."""
    for tag in tags:
        named = tag.type == DATA and data_name(tag.payload) == "onMetaData"
        payload = SET_DATA_FRAME + tag.payload if named else tag.payload
        stream.send(tag.type, tag.timestamp + shift_ms & 0xFFFFFFFF, payload)
        await stream.drain()
