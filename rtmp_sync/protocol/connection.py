"""One RTMP peer as a machine without I/O, for both roles.

    receive_data(bytes, now)  -> events_received()  what the peer did
                              -> data_to_send()     what the protocol itself answers
    handle_timeout(now) at next_deadline()          pings, and refusals of silence
    command(…), message(…), call(…)                 bytes of ours, to be sent in any queue

Bytes from `data_to_send` go out at once, between messages. All other bytes depend on nothing
sent before but the chunk size, which changes once: at the end of the client's handshake, and
on the server when connect arrives, before the host can have made anything for this peer.

Every refusal is a RemoteProtocolError whose text is for the log; after one the connection is
dead. Nothing is decided here that an application could decide otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.protocol import replies, stream_commands
from rtmp_sync.protocol.composer import Composer
from rtmp_sync.protocol.events import (
    Acknowledged,
    BufferLengthSet,
    CallAnswered,
    CommandReceived,
    ConnectAnswered,
    ConnectRequested,
    Event,
    HandshakeCompleted,
    MediaReceived,
    MessageReceived,
    PeerBandwidthSet,
    PingAnswered,
    SharedObjectReceived,
    StatusReceived,
    StreamSignalled,
)
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.protocol.netstream import PUBLISHING, StreamTable
from rtmp_sync.protocol.opening import connect_accepted, control_message, sizes
from rtmp_sync.protocol.timers import Timers
from rtmp_sync.protocol.transactions import Transactions
from rtmp_sync.wire import amf0, messages, shared_object
from rtmp_sync.wire.chunk import ChunkReader, Message
from rtmp_sync.wire.constants import (
    ACKNOWLEDGEMENT,
    AGGREGATE,
    AUDIO,
    COMMAND,
    COMMAND_AMF3,
    DATA,
    DATA_AMF3,
    LIMIT_HARD,
    PING_REQUEST,
    PING_RESPONSE,
    REPLICATION,
    SET_BUFFER_LENGTH,
    SET_PEER_BANDWIDTH,
    SHARED_OBJECT,
    SHARED_OBJECT_AMF3,
    USER_CONTROL,
    VIDEO,
    WINDOW_ACKNOWLEDGEMENT_SIZE,
)
from rtmp_sync.wire.handshake import ClientHandshake, ServerHandshake
from rtmp_sync.wire.messages import CommandHeader

__all__ = ["Connection", "Role"]


class Role(enum.Enum):
    """Which end of the connection we are."""

    CLIENT = "client"
    SERVER = "server"


class Connection(Composer):
    """See the module. `random_bytes(n)` gives n unpredictable bytes, for the handshake.

    chunk_size: of what we send. window: bytes after which we want an acknowledgement.
    digest_scheme: [client] 0 or 1 for a handshake with digest, -1 for a simple one.
    """

    def __init__(
        self,
        role: Role,
        *,
        now: float,
        random_bytes: Callable[[int], bytes],
        limits: ConnectionLimits | None = None,
        chunk_size: int = 4096,
        window: int = 2_500_000,
        digest_scheme: int = -1,
    ) -> None:
        super().__init__()
        self.role = role
        self.limits = limits or ConnectionLimits()
        self.bytes_in = 0
        self.bytes_out = 0  # of data_to_send; the host adds the rest
        self.messages_in = 0
        self.dropped_messages = 0  # media for streams that do not publish, unknown types
        self.acknowledged_bytes = 0  # of ours, by the peer's last word
        self.streams = StreamTable(self.limits.max_streams)
        self._chunk_size_wanted = chunk_size
        self._window = window
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._events: list[Event] = []
        self._timers = Timers(now, self.limits)
        self._transactions = Transactions()
        self._reader = ChunkReader(
            max_message_bytes=self.limits.max_message_bytes,
            max_partial_bytes=self.limits.max_partial_bytes,
            max_partial_streams=self.limits.max_chunk_streams,
            fmt3_repeats_timestamp=self.limits.fmt3_repeats_timestamp,
        )
        self._connected = False
        self._dead = False
        self._ping_ms = -1  # what the unanswered ping said
        self._peer_window = 0
        self._acknowledge_from = 0
        self._acknowledged_at = 0
        self._handshake: ServerHandshake | ClientHandshake | None
        time_ms = _milliseconds(now)
        if role is Role.SERVER:
            self._handshake = ServerHandshake(random_bytes, time_ms)
        else:
            self._handshake = ClientHandshake(random_bytes, time_ms, digest_scheme)
            self._send(self._handshake.hello)

    # --- in

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the peer; then ask for events and data_to_send.

        RemoteProtocolError when they are wrong: send what data_to_send has, then close.
        """
        if self._dead:
            raise LocalProtocolError("the connection is dead")
        self.bytes_in += len(data)
        self._timers.received(now)
        try:
            if self._handshake is not None:
                data = self._shake_hands(self._handshake, data, now)
            received = self._reader.feed(data)
            self.messages_in += len(received)
            for message in received:
                self._receive_message(message, now)
        except RemoteProtocolError:
            self._dead = True
            raise
        # at half the window, as SRS does: a peer that stalls at the full one never has to
        window = self._peer_window
        if window and self.bytes_in - self._acknowledged_at >= (window + 1) // 2:
            self.acknowledge()

    def events_received(self) -> list[Event]:
        """What happened since the last call, in order."""
        events = self._events
        self._events = []
        return events

    # --- out

    def data_to_send(self) -> bytes:
        """What the protocol itself has to say since the last call; send it first, at once."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        self.bytes_out += len(data)
        return data

    def call(
        self, name: str, *arguments: object, command_object: object = None
    ) -> tuple[int, bytes]:
        """A command that wants an answer: (transaction id, bytes). CallAnswered follows."""
        transaction = self._transactions.begin()
        try:
            return transaction, self.command(name, transaction, command_object, *arguments)
        except LocalProtocolError:  # an argument has no AMF form: nothing was asked
            self._transactions.forget(transaction)
            raise

    def forget_call(self, transaction: int) -> None:
        """Nobody waits for this answer any more."""
        self._transactions.forget(transaction)

    @property
    def open_calls(self) -> int:
        """Calls of ours without an answer."""
        return len(self._transactions)

    def limit_peer(self, window: int) -> None:
        """[server] Ask the peer to have no more than `window` bytes of its own on their way without
        our acknowledgement; then ask for data_to_send. Only some peers keep to it."""
        # Who keeps to it stands still unless we acknowledge as often, whatever it has said of that.
        self._peer_window = min(window, self._peer_window or window)
        payload = messages.encode_peer_bandwidth(window, LIMIT_HARD)
        self._control(SET_PEER_BANDWIDTH, payload)

    # --- connect

    def accept_connect(self, request: ConnectRequested) -> bytes:
        """[server] StreamBegin 0, success and onBWDone."""
        self.object_encoding = request.object_encoding
        return connect_accepted(
            request.transaction,
            replies.ENHANCED_KEYS.intersection(request.params),
            self.object_encoding,
            self.chunk_size,
        )

    def reject_connect(self, request: ConnectRequested, values: replies.Values) -> bytes:
        """[server] The refusal; values from protocol.replies. Send it, then close."""
        return self.plain_command("_error", request.transaction, values)

    def connect(self, params: dict[str, object], *arguments: object) -> bytes:
        """[client] The connect command; after HandshakeCompleted. ConnectAnswered follows."""
        self._connected = True
        self._timers.connected()
        transaction = self._transactions.begin_connect()
        return self.plain_command("connect", transaction, (params, *arguments))

    # --- time

    def next_deadline(self) -> float | None:
        """When to call handle_timeout; changes with all that is received."""
        return None if self._dead else self._timers.next_deadline(self._reader.partial)

    def handle_timeout(self, now: float) -> None:
        """Then ask for data_to_send. RemoteProtocolError when the peer was silent too long."""
        try:
            if self._timers.ping_due(now, self._reader.partial):
                self.ping(now)
        except RemoteProtocolError:
            self._dead = True
            raise

    def ping(self, now: float) -> None:
        """Ask for a PingAnswered; then ask for data_to_send. One at a time: a later ping, also of
        the connection's own, takes the place of one that was not answered."""
        self._ping_ms = _milliseconds(now)
        self._control(USER_CONTROL, messages.encode_user_control(PING_REQUEST, self._ping_ms))

    def acknowledge(self) -> None:
        """Tell the peer how much has come; then ask for data_to_send."""
        self._acknowledged_at = self.bytes_in
        total = self.bytes_in - self._acknowledge_from
        self._control(ACKNOWLEDGEMENT, messages.encode_u32(total))

    def resumed(self, now: float) -> None:
        """The host reads again: until now it was its own doing that nothing came."""
        self._timers.received(now)

    # --- the protocol's own talk

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > self.limits.max_protocol_bytes:
            raise RemoteProtocolError("too many control messages to answer")

    def _control(self, type: int, payload: bytes) -> None:
        self._send(control_message(type, payload))

    def _shake_hands(
        self, handshake: ServerHandshake | ClientHandshake, data: bytes, now: float
    ) -> bytes:
        """Feed the handshake; the chunk bytes behind it."""
        self._send(handshake.receive(data))
        if not handshake.done:
            return b""
        self._handshake = None
        self._timers.handshake_completed(now)
        self._acknowledge_from = self.bytes_in - len(handshake.rest)
        self._acknowledged_at = self._acknowledge_from
        self._events.append(HandshakeCompleted(handshake.scheme))
        if self.role is Role.CLIENT:
            self._announce_sizes()
        return handshake.rest

    def _announce_sizes(self) -> None:
        of_server = self.role is Role.SERVER
        self._send(sizes(self._window, self._chunk_size_wanted, of_server=of_server))
        self.chunk_size = self._chunk_size_wanted

    # --- messages

    def _receive_message(self, message: Message, now: float) -> None:
        type = message.type
        if type < AUDIO:
            self._receive_control(message, now)
            return
        if not self._connected and type != COMMAND and type != COMMAND_AMF3:
            raise RemoteProtocolError(f"a message of type {type} before connect")
        if type in (AUDIO, VIDEO, DATA):
            self._receive_media(type, message.msid, message.timestamp, message.payload)
        elif type in (COMMAND, COMMAND_AMF3):
            self._receive_command(message)
        elif type in (SHARED_OBJECT, SHARED_OBJECT_AMF3):
            amf3 = type == SHARED_OBJECT_AMF3
            decoded = shared_object.decode(message.payload, amf3, self.limits.values)
            self._events.append(SharedObjectReceived(decoded, amf3))
        elif type == DATA_AMF3:
            payload = message.payload[messages.values_offset(type, message.payload) :]
            self._receive_media(DATA, message.msid, message.timestamp, payload)
        elif type == AGGREGATE:
            for part in messages.split_aggregate(message.payload, message.timestamp):
                if part[0] in (AUDIO, VIDEO, DATA):
                    self._receive_media(part[0], message.msid, part[1], part[2])
        elif type == REPLICATION:
            self._events.append(MessageReceived(message))
        else:
            self.dropped_messages += 1

    def _receive_media(self, type: int, msid: int, timestamp: int, payload: bytes) -> None:
        if self.role is Role.SERVER and self.streams.doing(msid) != PUBLISHING:
            self.dropped_messages += 1
            return
        self._events.append(MediaReceived(type, msid, timestamp, payload))

    def _receive_control(self, message: Message, now: float) -> None:
        type, payload = message.type, message.payload
        if type == ACKNOWLEDGEMENT:
            self.acknowledged_bytes = messages.decode_u32(payload, "Acknowledgement")
            self._events.append(Acknowledged(self.acknowledged_bytes))
        elif type == USER_CONTROL:
            self._receive_user_control(payload, now)
        elif type == WINDOW_ACKNOWLEDGEMENT_SIZE:
            self._peer_window = messages.decode_u32(payload, "Window Acknowledgement Size")
        elif type == SET_PEER_BANDWIDTH:
            window, limit_type = messages.decode_peer_bandwidth(payload)
            self._events.append(PeerBandwidthSet(window, limit_type))
            if window != self._window and window > 0:
                self._window = window
                self._control(WINDOW_ACKNOWLEDGEMENT_SIZE, messages.encode_u32(window))

    def _receive_user_control(self, payload: bytes, now: float) -> None:
        control = messages.decode_user_control(payload)
        if control.event == PING_REQUEST:
            self._control(USER_CONTROL, messages.encode_user_control(PING_RESPONSE, control.value))
        elif control.event == PING_RESPONSE:
            if control.value == self._ping_ms:  # an answer to nothing tells nothing
                elapsed_ms = (_milliseconds(now) - control.value) & 0xFFFFFFFF
                self._events.append(PingAnswered(elapsed_ms / 1000))
                self._ping_ms = -1
        elif control.event == SET_BUFFER_LENGTH:
            self._events.append(BufferLengthSet(control.value, control.extra))
        elif self.role is Role.CLIENT:
            self._events.append(StreamSignalled(control.value, control.event))

    # --- commands

    def _receive_command(self, message: Message) -> None:
        header = messages.split_command(message.type, message.payload, self.limits.values)
        name = header.name
        if name == "_result" or name == "_error":
            self._receive_answer(message, header)
        elif self.role is Role.CLIENT:
            if name == "onStatus":
                values = self._values(message, header)
                info = values[1] if len(values) > 1 else None
                self._events.append(StatusReceived(message.msid, _as_dict(info)))
            else:
                self._events.append(_command_received(message, header))
        elif name == "connect":
            self._receive_connect(message, header)
        elif not self._connected:
            raise RemoteProtocolError(f"command {name!r} before connect")
        elif not self._receive_stream_command(message, header):
            self._events.append(_command_received(message, header))

    def _values(self, message: Message, header: CommandHeader) -> list[object]:
        """All values of a command behind its transaction id."""
        if header.offset >= len(message.payload):
            return []
        return amf0.decode_at(message.payload, header.offset, -1, self.limits.values)[0]

    def _receive_answer(self, message: Message, header: CommandHeader) -> None:
        transaction = self._transactions.answer(header.transaction)
        if transaction is None:
            return
        ok = header.name == "_result"
        values = self._values(message, header)
        if transaction != 1:
            self._events.append(CallAnswered(transaction, ok, values))
            return
        info = _as_dict(values[1] if len(values) > 1 else None)
        if ok and info.get("objectEncoding") == 3:
            self.object_encoding = 3
        self._events.append(ConnectAnswered(ok, _as_dict(values[0] if values else None), info))

    def _receive_connect(self, message: Message, header: CommandHeader) -> None:
        if self._connected:
            raise RemoteProtocolError("a second connect")
        values = self._values(message, header)
        if not values or not isinstance(values[0], dict):
            raise RemoteProtocolError("connect without a command object")
        params: dict[str, object] = values[0]
        app = params.get("app")
        if not isinstance(app, str):
            raise RemoteProtocolError("connect without the name of an application")
        self._connected = True
        self._timers.connected()
        self._announce_sizes()
        encoding = 3 if params.get("objectEncoding") == 3 else 0
        self._events.append(ConnectRequested(header.transaction, app, params, values[1:], encoding))

    def _receive_stream_command(self, message: Message, header: CommandHeader) -> bool:
        """Whether it was one; a command on a stream that does not exist is none."""
        parse = stream_commands.PARSERS.get(header.name)
        on_connection = header.name in stream_commands.ON_CONNECTION
        if parse is None or not (on_connection or message.msid in self.streams):
            return False
        arguments = self._values(message, header)[1:]
        self._events.extend(parse(self.streams, message.msid, header.transaction, arguments))
        return True


def _command_received(message: Message, header: CommandHeader) -> CommandReceived:
    return CommandReceived(
        header.name, header.transaction, message.msid, message.payload, header.offset
    )


def _as_dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _milliseconds(now: float) -> int:
    return int(now * 1000) & 0xFFFFFFFF
