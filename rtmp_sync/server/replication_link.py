"""One TCP connection of the replication link: sockets and timers around `cluster.exchange`.

The transport, TLS if the pair has certificates, carries an RTMP connection
(`protocol.Connection`) to the application `_origin`; in it, messages of type REPLICATION carry
the link. What may be written when, says `server.replication_queue`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from typing import Final, cast

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.link import Link
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import (
    Acknowledged,
    ConnectAnswered,
    ConnectRequested,
    Event,
    HandshakeCompleted,
    MessageReceived,
    PeerBandwidthSet,
    PingAnswered,
    StreamSignalled,
)
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.server.clock import now
from rtmp_sync.server.replication_queue import ACKNOWLEDGE_BYTES, CHUNK_BYTES, LinkQueue
from rtmp_sync.server.replication_tls import BOTH_OR_NEITHER
from rtmp_sync.state.journal import Batch
from rtmp_sync.wire.constants import CSID_CONTROL, REPLICATION, WINDOW_ACKNOWLEDGEMENT_SIZE
from rtmp_sync.wire.messages import encode_u32
from rtmp_sync.wire.records import MAX_MESSAGE_BYTES, Bye, Media
from rtmp_sync.wire.refusals import LinkLost, LinkRefused, Reason

__all__ = ["APPLICATION", "USER_TYPE", "ReplicationLink"]

APPLICATION: Final = "_origin"
USER_TYPE: Final = "Origin"

SOFT_QUEUE_BYTES: Final = 8 * 1024 * 1024  # for longer than SOFT_QUEUE_SECONDS: drop the link
SOFT_QUEUE_SECONDS: Final = 10.0
HARD_QUEUE_BYTES: Final = 32 * 1024 * 1024  # at once
_BULK_BYTES: Final = 64 * 1024  # of bulk per turn of the loop
_COPY_LATE_SECONDS: Final = 0.02
_TLS_HELLO: Final = 0x16  # the first byte of a TLS record that begins a handshake
_TLS_ALERT: Final = 0x15
_TICK_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 0.5  # for last words to leave; then the connection is cut

# What RTMP itself says beside the link's messages; anything else closes the link.
_PROTOCOL_TALK: Final = (PingAnswered, StreamSignalled)

_LIMITS: Final = ConnectionLimits(
    max_message_bytes=MAX_MESSAGE_BYTES,
    max_partial_bytes=4 * MAX_MESSAGE_BYTES,
    ping_interval=0,  # the link has heartbeats of its own
)


class ReplicationLink(asyncio.Protocol):
    """opened(link): there is a connection. begin(link): sets the exchange of an established
    link, False: not wanted. lost(link, error): it ended, whatever the cause.

    deadline: seconds until it must be established, however busily the peer talks until then.
    snapshot_rate: bytes a second.
    """

    def __init__(
        self,
        link: Link,
        *,
        deadline: float,
        snapshot_rate: float,
        opened: Callable[[ReplicationLink], None],
        begin: Callable[[ReplicationLink], bool],
        lost: Callable[[ReplicationLink, Exception | None], None],
    ) -> None:
        self.dials = link.dials
        self.link = link
        self.exchange: Exchange | None = None
        self.opened_at = 0.0
        self.address = ""  # of the peer, without its port
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._begin = begin
        self._lost = lost
        self._deadline = deadline
        self._error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._connection = Connection(
            Role.CLIENT if self.dials else Role.SERVER,
            now=now(),
            random_bytes=secrets.token_bytes,
            limits=_LIMITS,
            chunk_size=CHUNK_BYTES,
            window=ACKNOWLEDGE_BYTES,
        )
        self._queue = LinkQueue()
        self._speaks = False  # RTMP's connect was accepted
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._snapshot_rate = snapshot_rate
        self._copy_on_at = 0.0  # when the next piece of a snapshot may leave
        self._crowded_since: float | None = None

    @property
    def open(self) -> bool:
        """Whether there is a connection that has not ended yet."""
        return self._transport is not None and not self.ended.done()

    @property
    def heard(self) -> int:
        """How far an unproven peer has come: 0 silent, 1 speaks, 2 speaks of a known secret."""
        return 2 if self.link.peer is not None else int(self._connection.bytes_in > 0)

    @property
    def queued_bytes(self) -> int:
        """What waits in this process for the peer to take it."""
        transport = self._transport
        written = transport.get_write_buffer_size() if transport is not None else 0
        return self._queue.waiting_bytes + written

    @property
    def in_flight_bytes(self) -> int:
        """What an urgent message would stand behind, from here to the peer's own code."""
        return self._queue.in_flight_bytes

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one too
        self.opened_at = now()
        name = transport.get_extra_info("peername")
        self.address = str(name[0]) if name else ""
        endpoint = transport.get_extra_info("socket")
        if endpoint is not None:
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._opened(self)
        self._replace_timer(self._deadline, self._too_late)
        self._write(b"")

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            if not self._connection.bytes_in:
                self._check_first(data[0])
            self._connection.receive_data(data, now())
            for event in self._connection.events_received():
                self._take(event)
            if self._connection.dropped_messages:
                raise LinkRefused(
                    Reason.OTHER_MESSAGE, "an RTMP message that is none of the link's"
                )
        except RemoteProtocolError as error:
            self.end(error)
        self._end_turn()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.exchange is not None:
            self.exchange.close()
        if self.dials and not self._connection.bytes_in:
            error = LinkLost("closed without a word: does the other side want TLS?")
        if not self.ended.done():
            self.ended.set_result(None)
        self._lost(self, self._error or error)

    # What the node says

    def send_batch(self, batch: Batch) -> None:
        if self.exchange is not None and self._error is None:
            self.exchange.send_batch(batch, now())
            self.flush()

    def send_media(self, record: Media) -> bool:
        """False: not now; there is no room, or the peer does not know it."""
        exchange = self.exchange
        if exchange is None or self._error is not None or not self.link.knows(Media):
            return False
        if not self._queue.takes_media:
            return False
        exchange.send_media(record)
        self._write_messages()
        return True

    def flush(self) -> None:
        """Write what the exchange has to say; begin or go on with bulk."""
        self._write_messages()
        if self.exchange is not None and self._error is None:
            self._check_queue()
            self._schedule_bulk()

    def end(self, error: Exception) -> None:
        """Say what is left to say, then cut the connection."""
        if self._error is not None or self._transport is None:
            return
        self._error = error
        self._write_messages()
        self._transport.close()
        self._replace_timer(_CLOSE_SECONDS, self._abort)  # a peer may read nothing

    def cut(self, error: Exception) -> None:
        """End without a word: the peer is not listening."""
        if self._error is None:
            self._error = error
        self._abort()

    def goodbye(self, code: str, text: str) -> None:
        """End a working link politely."""
        if self.exchange is not None and self._error is None:
            self.exchange.say(Bye(code, text))
        self.end(LinkLost(text))

    # Inside

    def _check_first(self, first: int) -> None:
        if first in (_TLS_HELLO, _TLS_ALERT):
            raise LinkRefused(Reason.BAD_TLS, "the other side speaks TLS: " + BOTH_OR_NEITHER)

    def _take(self, event: Event) -> None:
        if isinstance(event, MessageReceived) and self._speaks:
            self._take_message(event.message.csid, event.message.payload)
        elif isinstance(event, Acknowledged):
            self._queue.acknowledged(event.bytes_received)
        elif isinstance(event, PeerBandwidthSet):
            # RTMP lets the peer choose how often it acknowledges; the queue's window does not.
            window = encode_u32(ACKNOWLEDGE_BYTES)
            message = self._connection.message
            self._write(message(WINDOW_ACKNOWLEDGEMENT_SIZE, window, csid=CSID_CONTROL))
        elif isinstance(event, HandshakeCompleted):
            if self.dials:
                params: dict[str, object] = {"app": APPLICATION, "flashVer": "rtmp_sync"}
                self._write(self._connection.connect(params, self.link.me.node_id, USER_TYPE))
        elif isinstance(event, ConnectRequested):
            self._take_connect(event)
        elif isinstance(event, ConnectAnswered):
            if not event.ok:
                text = f"connect was refused: {event.info.get('description')}"
                raise LinkRefused(Reason.OTHER_MESSAGE, text)
            self._speaks = True
        elif self.dials and self.exchange is None:
            pass  # the greeting that RTMP servers give behind their answer
        elif not isinstance(event, _PROTOCOL_TALK):
            text = f"{type(event).__name__} on the replication link"
            raise LinkRefused(Reason.OTHER_MESSAGE, text)

    def _take_connect(self, request: ConnectRequested) -> None:
        if request.app != APPLICATION or request.arguments[1:2] != [USER_TYPE]:
            refusal = replies.connect_rejected("This port is for the other origin of the pair.")
            self._write(self._connection.reject_connect(request, refusal))
            text = f"connect to {request.app!r} on the replication port"
            raise LinkRefused(Reason.OTHER_MESSAGE, text)
        self._write(self._connection.accept_connect(request))
        self._speaks = True

    def _take_message(self, lane: int, payload: bytes) -> None:
        if self.exchange is not None:
            self.exchange.receive(lane, payload, now())
            return
        self.link.receive_message(lane, payload)
        if self.link.established:
            self._write_messages()
            if not self._begin(self):
                self.link.send(Bye(Reason.NOT_WANTED.value, "it is the other node that dials"))
                raise LinkRefused(Reason.NOT_WANTED, "it is this node that dials")
            self._replace_timer(_TICK_SECONDS, self._tick)

    def _end_turn(self) -> None:
        if self.exchange is not None:
            self.exchange.acknowledge()
            self._write_messages()
            self.exchange.end_turn()
        if self._error is None:
            self.flush()

    def _tick(self) -> None:
        assert self.exchange is not None
        self._replace_timer(_TICK_SECONDS, self._tick)
        try:
            self.exchange.tick(now())
        except RemoteProtocolError as error:  # silence, most often
            self.cut(error)
            return
        self.flush()

    def _replace_timer(self, seconds: float, act: Callable[[], None]) -> None:
        """A link waits for one thing at a time: to be established, to tick, to be gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, act)

    def _too_late(self) -> None:
        text = f"not established within {self._deadline:g} s"
        self.cut(LinkRefused(Reason.NOT_PROVEN, text))

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        """Host's bytes, behind what the protocol itself has to say."""
        assert self._transport is not None
        data = self._connection.data_to_send() + data
        self._queue.wrote(len(data))
        self._transport.write(data)

    def _write_messages(self) -> int:
        """Write of the link's messages what may leave now; the bytes."""
        if self._transport is None or self._transport.is_closing():
            return 0
        if self._speaks:
            message = self._connection.message
            for lane, payload in self.link.messages_to_send():
                self._queue.put(lane, message(REPLICATION, payload, csid=lane))
        first = self._connection.data_to_send()
        self._queue.wrote(len(first))
        data = b"".join([first, *self._queue.take()])
        if data:
            self._transport.write(data)
        return len(data)

    def _schedule_bulk(self) -> None:
        exchange = self.exchange
        if exchange is None or self._pumping or not (exchange.has_bulk and self._queue.has_room):
            return
        self._pumping = True
        wait = self._copy_on_at - now() if exchange.source.copying else 0.0
        if wait > 0:
            self._loop.call_later(wait, self._pump)
        else:
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Some bulk a turn, as long as the peer takes it; a snapshot not above its rate."""
        self._pumping = False
        exchange = self.exchange
        if exchange is None or self._error is not None:
            return
        written = 0
        copying = exchange.source.copying
        while exchange.has_bulk and self._queue.has_room and written < _BULK_BYTES:
            exchange.send_bulk()
            written += self._write_messages()
            if copying:  # a short piece has many small entries: as much work as a long one
                break
        if copying:
            cost = max(written, _BULK_BYTES)
            earliest = now() - _COPY_LATE_SECONDS  # what a busy loop missed is made up for
            self._copy_on_at = max(earliest, self._copy_on_at) + cost / self._snapshot_rate
        self._schedule_bulk()

    def _check_queue(self) -> None:
        """Drop a link that does not take what it is given; it resyncs later."""
        assert self.exchange is not None
        queued = self.queued_bytes
        if queued <= SOFT_QUEUE_BYTES:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now()
        crowded = self._crowded_since is not None and (
            now() - self._crowded_since > SOFT_QUEUE_SECONDS
        )
        if crowded or queued > HARD_QUEUE_BYTES or self.exchange.source.overloaded:
            text = f"the peer is too slow: {queued} bytes wait"
            self.cut(LinkRefused(Reason.TOO_SLOW, text))
