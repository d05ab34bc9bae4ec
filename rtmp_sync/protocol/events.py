"""What a peer did: the values that `Connection.events_received` returns.

A request is an event that carries what an answer needs; the host answers or refuses it.
Values are frozen, but for the three of which thousands come in a second: making a frozen
one costs three times as much. They are not to be changed either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtmp_sync.protocol.play_range import PlayRange
from rtmp_sync.wire import amf0
from rtmp_sync.wire.chunk import Message
from rtmp_sync.wire.limits import Limits
from rtmp_sync.wire.shared_object import SharedObjectMessage


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Chunks may flow. scheme: of the peer's digest, -1: simple."""

    scheme: int


# --- NetConnection


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """[server] params: the command object. arguments: what follows it, for the application."""

    transaction: float
    app: str
    params: dict[str, object]
    arguments: list[object]
    object_encoding: int


@dataclass(frozen=True, slots=True)
class ConnectAnswered:
    """[client] properties: the first object of the answer. info: its information object."""

    ok: bool
    properties: dict[str, object]
    info: dict[str, object]


@dataclass(slots=True)
class CommandReceived:
    """A command that the protocol itself has no use for: a remote call, FCPublish and such.

    transaction 0: no answer is wanted. The arguments are bytes from `offset` of payload on
    (command object first), so those of a refused call are never decoded.
    """

    name: str
    transaction: float
    msid: int
    payload: bytes
    offset: int

    def command_object_and_arguments(self, limits: Limits) -> tuple[object, list[object]]:
        """Decode them. RemoteProtocolError if they are no AMF or over the limits."""
        if self.offset >= len(self.payload):
            return None, []
        values, _ = amf0.decode_at(self.payload, self.offset, -1, limits)
        return values[0], values[1:]


@dataclass(slots=True)
class CallAnswered:
    """The peer answered the command that `Connection.call` made; values: all but the ids.

    `result` is the value callers want: the one behind the command object.
    """

    transaction: int
    ok: bool
    values: list[object] = field(default_factory=list)

    @property
    def result(self) -> object:
        return self.values[1] if len(self.values) > 1 else None


@dataclass(frozen=True, slots=True)
class StatusReceived:
    """[client] onStatus on a message stream, or on the connection (msid 0)."""

    msid: int
    info: dict[str, object]


# --- NetStream


@dataclass(frozen=True, slots=True)
class StreamCreateRequested:
    """[server] createStream; the stream `msid` exists already, refuse it by deleting it."""

    transaction: float
    msid: int


@dataclass(frozen=True, slots=True)
class StreamDeleted:
    """[server] The stream id is free again. doing: what the stream did until now."""

    msid: int
    doing: str


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """[server] The stream stopped publishing or playing and may do something else."""

    msid: int
    doing: str


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """[server] kind: "live", "record", "append" or "appendWithGap"."""

    msid: int
    transaction: float
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """[server] reset: 0 append to the playlist, 1 replace it, 2 and 3 FMS's variants without
    notice. waits: what is appended begins with something that does not wait. resumes: it goes on
    with the time of a connection before this one."""

    msid: int
    transaction: float
    name: str
    range: PlayRange
    reset: int
    waits: bool = False
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class TransitionRequested:
    """[server] play2: go over to another stream while one plays. swap: to other content, at its
    own beginning; else to the same in another form, at the same time. old_name: what it
    replaces, "" for what plays now. offset_ms: of the stream, at which to go over; None: soon."""

    msid: int
    transaction: float
    name: str
    old_name: str
    range: PlayRange
    swap: bool
    offset_ms: int | None


@dataclass(frozen=True, slots=True)
class ReceiveAudio:
    """[server] The player wants audio, or wants it no longer."""

    msid: int
    flag: bool


@dataclass(frozen=True, slots=True)
class ReceiveVideo:
    """[server] The player wants video, or wants it no longer."""

    msid: int
    flag: bool


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """[server] paused False: go on. position in milliseconds."""

    msid: int
    paused: bool
    position: float


@dataclass(frozen=True, slots=True)
class SeekRequested:
    """[server] position in milliseconds."""

    msid: int
    position: float


@dataclass(slots=True)
class MediaReceived:
    """Audio (8), video (9) or data (18). timestamp in milliseconds, u32.

    Data of type 15 comes as 18 without its format byte; aggregates come as their parts.
    """

    type: int
    msid: int
    timestamp: int
    payload: bytes


# --- the rest


@dataclass(frozen=True, slots=True)
class SharedObjectReceived:
    """amf3: it came as type 16, so the answer may too."""

    message: SharedObjectMessage
    amf3: bool


@dataclass(frozen=True, slots=True)
class StreamSignalled:
    """[client] User control about a stream: wire.constants.STREAM_BEGIN, STREAM_EOF, …"""

    msid: int
    event: int


@dataclass(frozen=True, slots=True)
class BufferLengthSet:
    """[server] The player's buffer."""

    msid: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """round_trip in seconds."""

    round_trip: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has received this many of our bytes, modulo 2^32. Never a reason to close."""

    bytes_received: int


@dataclass(frozen=True, slots=True)
class PeerBandwidthSet:
    """The peer wants no more than `window` bytes unacknowledged; not enforced, as anywhere."""

    window: int
    limit_type: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of type REPLICATION, which RTMP knows nothing of."""

    message: Message


Event = (
    HandshakeCompleted
    | ConnectRequested
    | ConnectAnswered
    | CommandReceived
    | CallAnswered
    | StatusReceived
    | StreamCreateRequested
    | StreamDeleted
    | StreamClosed
    | PublishRequested
    | PlayRequested
    | TransitionRequested
    | ReceiveAudio
    | ReceiveVideo
    | PauseRequested
    | SeekRequested
    | MediaReceived
    | SharedObjectReceived
    | StreamSignalled
    | BufferLengthSet
    | PingAnswered
    | Acknowledged
    | PeerBandwidthSet
    | MessageReceived
)
