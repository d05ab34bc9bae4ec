"""One client's connection: bytes in, events out, bytes out, one timer.

    data_received ─► connection.receive_data ─► events ─► dispatch
                  └► connection.data_to_send ─► transport   (the protocol's own talk)
    turn          ─► outbox ─► transport                    (everything else)

While the application decides about connect nothing else of this client is looked at. A peer
whose bytes are wrong is told nothing; its connection ends with the reason in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, cast

from structlog.stdlib import BoundLogger

from rtmp_sync.app import Client
from rtmp_sync.errors import ProtocolError, Reject, RemoteProtocolError
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.protocol.events import (
    Acknowledged,
    CommandReceived,
    Event,
    PingAnswered,
    SharedObjectReceived,
)
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.bandwidth import BandwidthCheck
from rtmp_sync.server.behind import BehindNotice
from rtmp_sync.server.client_calls import ClientCalls
from rtmp_sync.server.clock import now
from rtmp_sync.server.deadline_timer import DeadlineTimer
from rtmp_sync.server.dispatch import dispatch
from rtmp_sync.server.fanout import Subscriber
from rtmp_sync.server.inflow import Inflow
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.leaving import leave
from rtmp_sync.server.networks import endpoint
from rtmp_sync.server.outbox import TRANSPORT_HIGH_WATER, Outbox
from rtmp_sync.server.rtmp_link import RtmpLink
from rtmp_sync.server.stall import StallWatch
from rtmp_sync.server.stream_admission import StreamRefused
from rtmp_sync.server.tasks import Done
from rtmp_sync.server.traffic import Traffic
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire.constants import LEVEL_ERROR
from rtmp_sync.wire.proxy_protocol import ProxyHeaderReader

if TYPE_CHECKING:
    from rtmp_sync.server.sessions import Sessions

__all__ = ["Session"]

_ASKING = (CommandReceived, SharedObjectReceived)  # events whose answers wait like Changes
_SIGNS_OF_LIFE = (PingAnswered, Acknowledged)  # events that any client's machinery makes


class Session(asyncio.Protocol):
    """The asyncio side of one client. `sessions` is what all of them share."""

    __slots__ = (  # there are thousands
        "_asked",
        "_deadlines",
        "_deciding",
        "_entered",
        "_events",
        "_header",
        "_host",
        "_is_probe",
        "_reading",
        "_stall",
        "_transport",
        "_turn",
        "address",
        "bandwidth",
        "calls",
        "client",
        "connection",
        "ended",
        "inflow",
        "instance",
        "joined",
        "link",
        "log",
        "outbox",
        "session_key",
        "sessions",
        "subscriber",
    )

    instance: Instance
    client: Client
    subscriber: Subscriber

    def __init__(self, sessions: Sessions, connection: Connection, log: BoundLogger) -> None:
        self.sessions = sessions
        self.connection = connection
        self.log = log
        self.outbox = Outbox(sessions.turn.outlets, sessions.outbox_bytes, self._stuck)
        self.outbox.on_behind = BehindNotice(self)
        self.calls = ClientCalls(connection)
        self.link = RtmpLink(self)
        self.bandwidth: BandwidthCheck | None = None  # once the client has asked for it
        self.session_key: bytes | None = None
        self.address = ""  # of the client: behind a load balancer, what that tells of it
        self.joined = False
        self.ended = ""  # the reason, once the connection is ending
        self._turn = sessions.turn
        self._transport: asyncio.Transport | None = None
        self._host = ""  # of the other end of the connection
        self._header: ProxyHeaderReader | None = None  # of a load balancer, while it is read
        self._is_probe = False  # this origin looks whether it answers: no client
        self._events: list[Event] = []  # those that wait until this client is read again
        self._deciding = False  # the application has something of the client's before it
        self._reading = True
        self._deadlines = DeadlineTimer(sessions.loop, connection, self._ring)
        self._stall = StallWatch(sessions.send_timeout, self.end)
        self.inflow = Inflow(sessions.loop, sessions.inflow_rates, self)
        self._entered = ""  # the address that it counts for
        self._asked = 0  # events of it that were dispatched

    @property
    def turn(self) -> Turn:
        """What it sends leaves at the end of the turn."""
        return self._turn

    @property
    def client_id(self) -> str:
        return self.client.id

    @property
    def app(self) -> str:
        """The `app` of its connect, with its query."""
        app = self.client.params.get("app")
        return app if isinstance(app, str) else ""

    @property
    def protocol(self) -> Literal["rtmp", "rtmps"]:
        """Over what: "rtmp" or "rtmps"."""
        transport = self._transport
        tls = transport is not None and transport.get_extra_info("sslcontext") is not None
        return "rtmps" if tls else "rtmp"

    @property
    def traffic(self) -> Traffic:
        """What this connection has moved so far."""
        connection, outbox = self.connection, self.outbox
        return Traffic(
            connection.bytes_in,
            connection.bytes_out + outbox.bytes_out,
            connection.messages_in,
            outbox.messages_out,
            outbox.dropped_frames,
        )

    @property
    def moved(self) -> int:
        """Messages in both directions that are more than signs of life."""
        return self._asked + self.outbox.messages_out

    @property
    def closing(self) -> bool:
        """Nothing of this client counts any more."""
        return bool(self.ended) or self._transport is None or self._transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come; the handshake has its time from now on."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        transport.set_write_buffer_limits(high=TRANSPORT_HIGH_WATER)
        self._transport = transport
        address = transport.get_extra_info("peername")
        self._host = str(address[0]) if address else ""
        self.address = endpoint(*address[:2]) if address else "unknown"
        self.log = self.log.bind(peer=self.address)
        if self._host in self.sessions.proxies and self.protocol == "rtmp":
            self._header = ProxyHeaderReader()
        self.outbox.open(transport)
        self.log.debug("connection_made")
        self._is_probe = address in self.sessions.own_probes
        if not self._turn.authorised:  # accepted just before the gate was closed
            self.end("not the active origin")
            return
        if not self._is_probe:
            if not self.sessions.add(self):
                self.end("too many connections")
                return
            if self._header is None and not self._enter(self._host):
                return
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Feed, handle what happened, send what the protocol says, re-arm the timer."""
        if self.ended:
            return
        if not self._turn.authorised:
            self.end("not the active origin")
            return
        try:
            if self._header is not None:
                data = self._read_header(self._header, data)
                if not data:
                    return  # the handshake's time goes on
            self.connection.receive_data(data, now())
            self._events += self.connection.events_received()
            self._handle()
        except (ProtocolError, Deposed) as error:
            self.transmit()
            self.end(str(error))
            return
        self.transmit()
        if self.joined and self.inflow.take(self.connection.bytes_in, self.connection.messages_in):
            self._pause()
        self._arm()

    def connection_lost(self, error: Exception | None) -> None:
        """The end: tell the instance, and whoever waits for an answer of the client."""
        only_looked = not self.ended and not self.connection.bytes_in
        self.ended = self.ended or (f"lost: {error}" if error else "closed by the peer")
        self._deadlines.cancel()
        self._stall.end()
        self.inflow.end()
        if self._entered:
            self.sessions.addresses.leave(self._entered)
        self._transport = None
        self.outbox.close()
        self.sessions.remove(self)
        self.calls.lose(self.ended)
        if self.joined:
            leave(self)
        if self._is_probe:
            self.log.debug("probe_ended", reason=self.ended)
        elif only_looked:  # a TCP monitor does so all day
            self.sessions.load_balancer.seen(self._host, now())
            self.log.debug("connection_ended", reason=self.ended)
        else:
            self.log.info("connection_ended", reason=self.ended)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.outbox.pause()
        if self._transport is not None:
            self._stall.begin(self._transport)
            self._count_silence_anew()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stall.end()
        self.outbox.resume()
        self._turn.schedule()

    # What dispatch does here

    def ask(self, question: Coroutine[None, None, Any], decided: Done) -> None:
        """Have the application decide; nothing else of this client is looked at meanwhile.
        `decided` gets the outcome, now or later, also when the client has gone."""
        self._deciding = True
        self._pause()

        def answered(result: Any, error: BaseException | None) -> None:
            self._deciding = False
            try:
                decided(result, error)
            except (ProtocolError, Deposed) as refusal:
                self.end(str(refusal))
                return
            except Exception:  # a mistake of ours: a client that is read no more would hang
                self.end("the origin failed")
                raise
            self.go_on()

        self.sessions.tasks.start(question, answered)

    def begin(self, work: Coroutine[None, None, Any], done: Done) -> None:
        """Have something done for this client, which goes on asking meanwhile."""
        self.sessions.tasks.start(work, done)

    def answer(self, transaction: float, values: replies.Values) -> None:
        """`_result` of a command that wants an answer."""
        if transaction:
            data = self.connection.command("_result", transaction, *values)
            self._turn.send(self.outbox, 0, data)

    def tell(self, command: str, values: replies.Values) -> None:
        """A command that wants no answer."""
        self._turn.send(self.outbox, 0, self.connection.command(command, 0, *values))

    def status(self, msid: int, level: str, code: str, description: str) -> None:
        """onStatus of a message stream."""
        data = self.connection.status(msid, level, code, description)
        self._turn.send(self.outbox, msid, data)

    def refuse_stream(self, msid: int, code: str, error: BaseException) -> None:
        """Tell why a stream is not published or played."""
        if isinstance(error, StreamRefused):
            code = error.code
        text = str(error) if isinstance(error, Reject) else "The origin failed."
        self.status(msid, LEVEL_ERROR, code, text)

    # Ends

    def end(self, reason: str, *, clean: bool = False) -> None:
        """Close the connection now. clean: what was written is still delivered."""
        if self._transport is None:
            return
        if self._transport.is_closing():
            if not clean:
                self._transport.abort()  # it did not read what a clean end had left to say
            return
        self.ended = self.ended or reason
        if clean:
            self.outbox.flush_all()
            self._transport.close()
        else:
            self.outbox.close()  # a promotion of this very process may come before connection_lost
            self._transport.abort()

    def close_when_sent(self, reason: str) -> None:
        """Close once what it was told has left."""
        self.ended = self.ended or reason
        self._turn.finish(self.outbox, lambda: self.end(reason, clean=True))

    def transmit(self) -> None:
        """Send what the protocol itself has to say."""
        data = self.connection.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def hold(self) -> None:
        """Read nothing more for the time being."""
        self._pause()

    def show_life(self) -> None:
        """Tell a client that is not read for long that it is not forgotten."""
        self.connection.acknowledge()
        self.transmit()

    def go_on(self) -> None:
        """Read again, if nothing stands against it."""
        if (
            self._reading
            or self._deciding
            or self.inflow.held
            or self.sessions.holds(self)
            or self.closing
        ):
            return
        assert self._transport is not None  # it is not closing
        self._reading = True
        self._transport.resume_reading()
        self.connection.resumed(now())
        self._arm()
        if self._events:
            self.sessions.loop.call_soon(self.data_received, b"")

    def _stuck(self) -> None:
        self.end("does not read what it is sent: its outbox is full")

    # Inside

    def _enter(self, host: str) -> bool:
        """The client comes from there: whether it may."""
        if reason := self.sessions.enter(host):
            self.end(f"refused: {reason}")
            return False
        self._entered = host
        return True

    def _read_header(self, reader: ProxyHeaderReader, data: bytes) -> bytes:
        """What the client itself says, as far as it has come behind the load balancer's header."""
        try:
            rest = reader.receive_data(data)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{error}; rtmp.proxy_protocol_from asks for it") from None
        if rest is None or reader.header is None:
            return b""
        self._header = None
        if reader.header.source is not None:
            host, port = reader.header.source
            told = endpoint(host, port)
            self.log = self.log.bind(peer=told, proxy=self.address)
            self.address = told
            if not self._enter(host):
                return b""
        return rest

    def _handle(self) -> None:
        """What has happened, in order; what comes after this client was paused waits."""
        handled = 0
        for event in self._events:
            if not self._reading or self.ended:
                break
            handled += 1
            self._asked += not isinstance(event, _SIGNS_OF_LIFE)
            dispatch(self, event)
            if isinstance(event, _ASKING) and self._turn.congested:
                self.sessions.hold_back(self)
        del self._events[:handled]

    def _pause(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _count_silence_anew(self) -> None:
        """Who has so much to read may be long in coming to a ping: `StallWatch` sees to it."""
        self.connection.resumed(now())

    def _arm(self) -> None:
        """Have the timer ring no later than the protocol's next deadline. While nothing is read
        of a client there is none: its silence is ours."""
        if self._reading and self._transport is not None:
            self._deadlines.arm()

    def _ring(self) -> None:
        if not self._reading:
            return
        if self._stall.watching:
            self._count_silence_anew()
        try:
            self.connection.handle_timeout(now())
        except RemoteProtocolError as error:
            self.end(str(error))
            return
        self.transmit()
        self._arm()
