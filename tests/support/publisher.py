"""A client that publishes over RTMP, message by message."""

from __future__ import annotations

from types import TracebackType

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from tests.support.peer import Peer

__all__ = ["AAC_HEADER", "AVC_HEADER", "METADATA", "Publisher", "inter", "key", "sound"]

AVC_HEADER = b"\x17\0\0\0\0config"
AAC_HEADER = b"\xaf\0\x12\x10"
METADATA = amf0.encode("onMetaData", {"width": 320.0})


def key(text: bytes = b"") -> bytes:
    return b"\x17\1\0\0\0" + text


def inter(text: bytes = b"") -> bytes:
    return b"\x27\1\0\0\0" + text


def sound(text: bytes = b"") -> bytes:
    return b"\xaf\1" + text


class Publisher:
    """`async with Publisher(origin, "s") as publisher:` publishes until the end.

    at: an origin, or the port of whatever leads to one.
    """

    def __init__(
        self, at: Origin | int, stream: str, kind: str = "live", app: str = "probe/live"
    ) -> None:
        self.peer = Peer()
        self._port = at if isinstance(at, int) else at.rtmp_port
        self._app = app
        self._stream, self._kind = stream, kind

    async def __aenter__(self) -> Publisher:
        peer = self.peer
        await peer.connect(self._port, self._app)
        peer.send(peer.rtmp.call("createStream")[1])
        await peer.event(CallAnswered)
        peer.send(peer.rtmp.command("publish", 0, None, self._stream, self._kind, msid=1))
        await peer.until(lambda: "NetStream.Publish.Start" in peer.statuses())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.peer.close()

    def push(self, type: int, timestamp: int, payload: bytes) -> None:
        self.peer.send(self.peer.rtmp.message(type, payload, msid=1, timestamp=timestamp))

    def begin(self) -> None:
        """Metadata and the configuration of both decoders."""
        self.push(DATA, 0, amf0.encode("@setDataFrame") + METADATA)
        self.push(VIDEO, 0, AVC_HEADER)
        self.push(AUDIO, 0, AAC_HEADER)

    async def unpublish(self) -> None:
        peer = self.peer
        peer.send(peer.rtmp.command("closeStream", 0, None, msid=1))
        await peer.until(lambda: "NetStream.Unpublish.Success" in peer.statuses())
