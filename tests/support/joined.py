"""Clients of an origin that publish or play one stream, and what they got."""

from __future__ import annotations

from rtmp_sync import NetConnection, Origin
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from tests.support.origins import url
from tests.support.publisher import AAC_HEADER, AVC_HEADER, METADATA, key

__all__ = ["SET_METADATA", "Joined", "begin", "instance", "join", "play", "publish"]

SET_METADATA = amf0.encode("@setDataFrame") + METADATA


class Joined:
    """A client with one message stream, and what it got there."""

    def __init__(self, connection: NetConnection, stream: RemoteStream) -> None:
        self.connection = connection
        self.stream = stream
        self.heard: list[tuple[int, int, bytes]] = []
        self.told: list[object] = []
        stream.on_media = self._hear
        stream.on_status = lambda info: self.told.append(info.get("code"))

    def _hear(self, message: MediaReceived) -> None:
        self.heard.append((message.type, message.timestamp, message.payload))

    @property
    def frames(self) -> list[tuple[int, int, bytes]]:
        return [one for one in self.heard if one[0] != DATA]


async def join(origin: Origin, app: str = "probe", **params: object) -> Joined:
    connection = NetConnection(reconnect=False)
    await connection.connect(url(origin, app), **params)  # type: ignore[arg-type]  # no encoding
    return Joined(connection, await connection.create_stream())


async def publish(origin: Origin, name: str = "s", app: str = "probe") -> Joined:
    joined = await join(origin, app)
    await joined.stream.publish(name)
    return joined


async def play(origin: Origin, name: str = "s", app: str = "probe") -> Joined:
    joined = await join(origin, app)
    await joined.stream.play(name)
    return joined


def instance(origin: Origin) -> Instance:
    """The first one."""
    return next(iter(origin.instances))


def begin(publisher: Joined) -> None:
    """Metadata, the configuration of both decoders, a key frame."""
    publisher.stream.send(DATA, 0, SET_METADATA)
    publisher.stream.send(VIDEO, 0, AVC_HEADER)
    publisher.stream.send(AUDIO, 0, AAC_HEADER)
    publisher.stream.send(VIDEO, 0, key(b"1"))
