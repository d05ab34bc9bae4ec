"""A TCP load balancer in front of a pair: clients reach the one origin that is open.

Stands in for HAProxy in `rtmp-sync pair` and behaves like our sample configuration of it
(docs/samples/haproxy.cfg): new connections go to a server that is up (`timeout connect 300ms`,
`retries 3`, `option redispatch 1`); when none is up they are closed at once; the sessions of a
server that is marked down are cut (`on-marked-down shutdown-sessions`). Like HAProxy with
`send-proxy` it can tell the servers who its clients are.

Two `asyncio.Protocol`s make a session. What one side reads is written to the other as it is;
a side whose peer cannot take more is not read until it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import cast

import structlog

from rtmp_sync.config_values import Address
from rtmp_sync.server.server_check import CheckedServer, CheckTimes
from rtmp_sync.wire import proxy_protocol

__all__ = ["FrontDoor"]

CONNECT_TIMEOUT_SECONDS = 0.3
RETRIES = 3
SAMPLE_TIMES = CheckTimes()
LINGER_SECONDS = 5.0  # time to deliver the last bytes to a side that reads slowly

_log = structlog.get_logger("rtmp_sync.front_door")


class FrontDoor:
    """Listens on `listen` and passes connections on to `servers` (name, RTMP, health address).

    source: an address of this machine. Connections to the servers come from there, and begin with
    a PROXY header that tells the client's address.
    """

    def __init__(
        self,
        listen: Address,
        servers: Iterable[tuple[str, Address, Address]],
        *,
        times: CheckTimes = SAMPLE_TIMES,
        source: str | None = None,
    ) -> None:
        self._listen = listen
        self.source = source
        self.servers = [
            CheckedServer(name, rtmp, health, times=times, on_marked_down=self._cut_sessions)
            for name, rtmp, health in servers
        ]
        self.sessions: set[_ClientSide] = set()
        self._checks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen and begin to check; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _ClientSide(self), self._listen.host, self._listen.port, backlog=1024
        )
        self._checks = [asyncio.create_task(server.run()) for server in self.servers]

    async def stop(self) -> None:
        """Stop listening, cut every session."""
        for check in self._checks:
            check.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for session in list(self.sessions):
            session.abort()
        await asyncio.sleep(0)  # aborted transports report their end in the loop's next turn

    @property
    def address(self) -> Address:
        """Where it listens; tells the port that the system chose for port 0."""
        if self._server is None:
            return self._listen
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    def up(self) -> list[CheckedServer]:
        """The servers that new connections may go to."""
        return [server for server in self.servers if server.up]

    def _cut_sessions(self, server: CheckedServer) -> None:
        cut = [session for session in self.sessions if session.server is server]
        if cut:
            _log.info("sessions_cut", id=server.name, sessions=len(cut))
        for session in cut:
            session.abort()


class _Side(asyncio.Protocol):
    """One of the two connections of a session."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None
        self.ended = False  # it sends no more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.set_reading(False)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.set_reading(True)

    def set_reading(self, reading: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Pass the end on; the other direction stays open until it ends, too."""
        self.ended = True
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing() or peer.ended:
            return False  # closes this side, and by connection_lost the other
        peer.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.peer is not None:
            self.peer.close()

    def close(self) -> None:
        """Deliver what is waiting, then close."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.close()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close now; what is waiting is lost."""
        if self.transport is not None:
            self.transport.abort()


class _ClientSide(_Side):
    """A client's connection; chooses the server and dials it."""

    def __init__(self, door: FrontDoor) -> None:
        super().__init__()
        self._door = door
        self._dialling: asyncio.Task[None] | None = None
        self._header = b""  # tells the server who this is
        self._early = b""  # what came before the server's side was there
        self.server: CheckedServer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._door.sessions.add(self)
        if not self._door.up():
            self.abort()
            return
        if self._door.source is not None:
            ends = (transport.get_extra_info(name) for name in ("peername", "sockname"))
            client, front = (end[:2] if end else None for end in ends)
            if client is None or front is None:  # it was reset before it was accepted
                self.abort()
                return
            self._header = proxy_protocol.encode(client, front)
        self.set_reading(False)
        self._dialling = asyncio.create_task(self._dial())

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            super().data_received(data)
            return
        # uvloop, and asyncio of some Python versions, begin to read after connection_made, whatever
        # was paused in it.
        self._early += data
        self.set_reading(False)

    def eof_received(self) -> bool:
        if self.peer is None and self.server is None:  # told to the server once it is there
            self.ended = True
            return True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._door.sessions.discard(self)
        if self._dialling is not None:
            self._dialling.cancel()

    def abort(self) -> None:
        super().abort()
        if self.peer is not None:
            self.peer.abort()

    async def _dial(self) -> None:
        """Connect to a server that is up; each further try goes to another one if there is."""
        loop = asyncio.get_running_loop()
        tried: list[CheckedServer] = []
        for _ in range(1 + RETRIES):
            up = self._door.up()
            if not up:
                break
            server = next((server for server in up if server not in tried), up[0])
            tried.append(server)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                    _, peer = await loop.create_connection(
                        partial(_ServerSide, self),
                        *server.address,
                        local_addr=(self._door.source, 0) if self._door.source else None,
                    )
            except (OSError, TimeoutError):
                server.connection_failed()
                continue
            self._join(server, peer)
            return
        self.abort()

    def _join(self, server: CheckedServer, peer: _ServerSide) -> None:
        if self.transport is None or not server.up:  # left, or the server was marked down
            peer.abort()
            self.abort()
            return
        self.server = server
        self.peer = peer
        if first := self._header + self._early:
            super().data_received(first)
            self._early = b""
        if self.ended and peer.transport is not None:
            peer.transport.write_eof()
        self.set_reading(True)


class _ServerSide(_Side):
    """The connection to an origin, made for one client."""

    def __init__(self, client: _ClientSide) -> None:
        super().__init__()
        self.peer = client
