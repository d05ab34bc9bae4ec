"""One TCP connection of the replication link: sockets and timers around `cluster.exchange`.

The transport carries an RTMP connection (`protocol.Connection`) to the application `_origin`;
in it, messages of type REPLICATION carry the link. Bulk is paced by the transport's write
buffer: a heartbeat or a turn's Changes never stand behind more than a fraction of a second
of snapshot.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.link import Link, LinkIdentity, LinkLost, Protocols
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
from rtmp_sync.state.journal import Batch
from rtmp_sync.wire.constants import REPLICATION
from rtmp_sync.wire.records import MAX_MESSAGE_BYTES, NONCE_BYTES, Bye
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["APPLICATION", "USER_TYPE", "ReplicationLink"]

APPLICATION: Final = "_origin"
USER_TYPE: Final = "Origin"

SOFT_QUEUE_BYTES: Final = 8 * 1024 * 1024  # for longer than SOFT_QUEUE_SECONDS: drop the link
SOFT_QUEUE_SECONDS: Final = 10.0
HARD_QUEUE_BYTES: Final = 32 * 1024 * 1024  # at once
_CHUNK_BYTES: Final = 128 * 1024  # a snapshot's chunk in its envelope is one RTMP chunk
_BULK_BYTES: Final = 64 * 1024  # of bulk per turn of the loop
_BUFFER_HIGH: Final = 256 * 1024  # bulk waits while more than this is queued in the process
_UNSENT_LOW: Final = 128 * 1024  # and in the kernel
_TICK_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 0.5  # for last words to leave; then the connection is cut

# What RTMP itself says beside the link's messages; anything else closes the link.
_PROTOCOL_TALK: Final = (Acknowledged, PeerBandwidthSet, PingAnswered, StreamSignalled)

_LIMITS: Final = ConnectionLimits(
    max_message_bytes=MAX_MESSAGE_BYTES,
    max_partial_bytes=4 * MAX_MESSAGE_BYTES,
    ping_interval=0,  # the link has heartbeats of its own
)


class ReplicationLink(asyncio.Protocol):
    """begin(link): sets the exchange of an established link, False: not wanted.
    lost(link, error): it ended, whatever the cause.

    deadline: seconds until it must be established.
    """

    def __init__(
        self,
        me: LinkIdentity,
        secrets_: Sequence[bytes],
        *,
        protocols: Protocols,
        dials: bool,
        deadline: float,
        begin: Callable[[ReplicationLink], bool],
        lost: Callable[[ReplicationLink, Exception | None], None],
    ) -> None:
        self.dials = dials
        nonce = secrets.token_bytes(NONCE_BYTES)
        self.link = Link(me, secrets_, dials=dials, nonce=nonce, protocols=protocols)
        self.exchange: Exchange | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._begin = begin
        self._lost = lost
        self._deadline = deadline
        self._error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._connection = Connection(
            Role.CLIENT if dials else Role.SERVER,
            now=now(),
            random_bytes=secrets.token_bytes,
            limits=_LIMITS,
            chunk_size=_CHUNK_BYTES,
        )
        self._speaks = False  # RTMP's connect was accepted
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._pumping = False
        self._crowded_since: float | None = None
        self._log = structlog.get_logger("rtmp_sync.replication").bind(
            link="out" if dials else "in"
        )

    @property
    def open(self) -> bool:
        """Whether there is a connection that has not ended yet."""
        return self._transport is not None and not self.ended.done()

    @property
    def queued_bytes(self) -> int:
        """What waits in this process for the peer to take it."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._transport = transport
        transport.set_write_buffer_limits(high=_BUFFER_HIGH)
        endpoint = transport.get_extra_info("socket")
        if endpoint is not None:
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_LOW)
        self._log = self._log.bind(peer=transport.get_extra_info("peername"))
        self._replace_timer(self._deadline, self._too_late)
        transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            self._connection.receive_data(data, now())
            for event in self._connection.events_received():
                self._take(event)
        except RemoteProtocolError as error:
            self.end(error)
        self._end_turn()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._schedule_bulk()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.exchange is not None:
            self.exchange.close()
        if not self.ended.done():
            self.ended.set_result(None)
        self._lost(self, self._error or error)

    # What the node says

    def send_batch(self, batch: Batch) -> None:
        if self.exchange is not None and self._error is None:
            self.exchange.send_batch(batch, now())
            self.flush()

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
        self._replace_timer(_CLOSE_SECONDS, self._transport.abort)  # a peer may read nothing

    def goodbye(self, code: str, text: str) -> None:
        """End a working link politely."""
        if self.exchange is not None and self._error is None:
            self.exchange.say(Bye(code, text))
        self.end(LinkLost(text))

    # Inside

    def _take(self, event: Event) -> None:
        if isinstance(event, MessageReceived) and self._speaks:
            self._take_message(event.message.csid, event.message.payload)
        elif isinstance(event, HandshakeCompleted):
            if self.dials:
                params: dict[str, object] = {"app": APPLICATION, "flashVer": "rtmp_sync"}
                self._write(self._connection.connect(params, self.link.me.node_id, USER_TYPE))
        elif isinstance(event, ConnectRequested):
            self._take_connect(event)
        elif isinstance(event, ConnectAnswered):
            if not event.ok:
                raise RemoteProtocolError(f"connect was refused: {event.info.get('description')}")
            self._speaks = True
        elif self.exchange is not None and not isinstance(event, _PROTOCOL_TALK):
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
            self.exchange.end_turn()
        if self._error is None:
            self.flush()

    def _tick(self) -> None:
        assert self.exchange is not None
        self._replace_timer(_TICK_SECONDS, self._tick)
        try:
            self.exchange.tick(now())
        except LinkRefused as error:  # silence
            self._cut(error)
            return
        self.flush()

    def _replace_timer(self, seconds: float, act: Callable[[], None]) -> None:
        """A link waits for one thing at a time: to be established, to tick, to be gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, act)

    def _too_late(self) -> None:
        text = f"not established within {self._deadline:g} s"
        self._cut(LinkRefused(Reason.NOT_PROVEN, text))

    def _cut(self, error: Exception) -> None:
        """End without a word: the peer is not listening."""
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        """Host's bytes, behind what the protocol itself has to say."""
        assert self._transport is not None
        first = self._connection.data_to_send()
        self._transport.write(first + data)

    def _write_messages(self) -> int:
        """Write the link's messages; their bytes."""
        if self._transport is None or self._transport.is_closing():
            return 0
        data = self._connection.data_to_send()
        if self._speaks:
            message = self._connection.message
            data += b"".join(
                message(REPLICATION, payload, csid=lane)
                for lane, payload in self.link.messages_to_send()
            )
        if data:
            self._transport.write(data)
        return len(data)

    def _schedule_bulk(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.has_bulk and not (self._pumping or self._paused):
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Some bulk a turn, as long as the peer takes it."""
        self._pumping = False
        exchange = self.exchange
        if exchange is None or self._error is not None or self._paused:
            return
        written = 0
        more = True
        while more and written < _BULK_BYTES:
            more = exchange.send_bulk()
            written += self._write_messages()
        if more:
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
            self._cut(LinkRefused(Reason.TOO_SLOW, text))
