"""One message stream of a session, as those who publish and play on it are written to."""

from __future__ import annotations

from typing import Final, Protocol

from rtmp_sync.app import Client
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.shared_objects import may_access
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import DATA, DATA_START, LEVEL_STATUS

__all__ = ["DATA_START_MESSAGE", "PeerStream", "StreamPeer", "sample_access_message"]

DATA_START_MESSAGE: Final = amf0.encode("onStatus", {"code": DATA_START})


def sample_access_message(client: Client, name: str) -> bytes:
    """What the player may look into: the stream's raw sound, and its raw pictures."""
    paths = (client.audio_sample_access, client.video_sample_access)
    return amf0.encode("|RtmpSampleAccess", *(may_access(path, name) for path in paths))


class StreamPeer(Protocol):
    """The part of a session that streams use."""

    client: Client
    connection: Connection
    outbox: Outbox

    @property
    def closing(self) -> bool: ...


class PeerStream:
    """What is sent leaves at the end of the turn, in the order in which it was sent."""

    __slots__ = ("_turn", "msid", "peer")

    def __init__(self, turn: Turn, peer: StreamPeer, msid: int) -> None:
        self._turn = turn
        self.peer = peer
        self.msid = msid

    def status(
        self, code: str, description: str, level: str = LEVEL_STATUS, **more: object
    ) -> None:
        """onStatus; more: of its information object."""
        self._send(self.peer.connection.status(self.msid, level, code, description, **more))

    def signal(self, event: int) -> None:
        """A user control event: StreamBegin and such."""
        self._send(self.peer.connection.user_control(event, self.msid))

    def data(self, payload: bytes) -> None:
        """A data message beside the stream's own, at time 0."""
        self._send(self.peer.connection.message(DATA, payload, msid=self.msid))

    def _send(self, data: bytes) -> None:
        self._turn.send(self.peer.outbox, self.msid, data)
