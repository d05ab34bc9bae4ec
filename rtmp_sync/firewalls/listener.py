"""The default gate: the public ports listen, or they do not. Needs no rights.

A closed port refuses at once, so a load balancer's plain TCP check is right while the process
runs; a frozen process needs the HTTP check (failover.md, "Load balancer").
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ssl import SSLContext
from typing import TYPE_CHECKING, NamedTuple

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.tls_listener import TlsServer
from rtmp_sync.server.listening import stop_listening

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["GoneListener", "ListenerGate", "PublicPort", "check", "make", "make_closer"]

# Clients of a whole site arrive at once after a takeover; the kernel caps it at somaxconn.
BACKLOG = 4096


# For the handshake of TLS; that of RTMP has its time besides.
TLS_SECONDS = 5.0


class PublicPort(NamedTuple):
    """`factory` makes the protocol of each connection. tls: None for none; it has `tls_seconds`
    for its handshake. tls_failures: counts those that fail, by reason."""

    host: str
    port: int
    factory: Callable[[], asyncio.BaseProtocol]
    tls: SSLContext | None = None
    tls_seconds: float = TLS_SECONDS
    tls_failures: Counter[str] | None = None


class ListenerGate:
    """Listens on `host`:`port` while open; `factory` makes the protocol of each connection.

    beside: ports that are open and closed with it; it is open when all of them listen.
    """

    def __init__(
        self,
        host: str,
        port: int,
        factory: Callable[[], asyncio.BaseProtocol],
        beside: Sequence[PublicPort] = (),
    ) -> None:
        self._ports = [PublicPort(host, port, factory), *beside]
        self._servers: list[asyncio.Server | TlsServer] = []
        self._closing = asyncio.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; with port 0 in the configuration, the port that it was given."""
        return self._ports[0][:2]

    @property
    def beside(self) -> list[tuple[str, int]]:
        """The same of the others."""
        return [port[:2] for port in self._ports[1:]]

    async def start(self) -> None:
        """It is closed already."""

    async def stop(self) -> None:
        await self.close()

    async def open(self, epoch: int = 0) -> None:
        """Raises OSError, for example when a port is taken; then none of them listens."""
        if await self.verify() == "open":
            return
        await self.close()
        servers = self._servers
        try:
            for number, one in enumerate(self._ports):
                server = await _listen(one)
                servers.append(server)
                self._ports[number] = one._replace(port=server.sockets[0].getsockname()[1])
                if servers is not self._servers:
                    raise OSError("closed meanwhile")
        except BaseException:
            for server in servers:
                server.close()
            raise

    async def close(self) -> None:
        """Whoever is let in no more by this may still have its `connection_made` called."""
        servers, self._servers = self._servers, []
        for server in servers:
            if isinstance(server, TlsServer):
                server.close()
        async with self._closing:  # who opens again waits until the ports are free
            await stop_listening([one for one in servers if not isinstance(one, TlsServer)])

    async def verify(self) -> GateState:
        """Asks the kernel whether sockets of ours listen."""
        listening = [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            for server in self._servers
            for sock in server.sockets
        ]
        if not any(listening):
            return "closed"
        return "open" if all(listening) else "unknown"

    def hold(self, until: float) -> None:
        """A frozen process listens on: the load balancer's HTTP check is for that."""


async def _listen(port: PublicPort) -> asyncio.Server | TlsServer:
    # reuse_address: connections of the last time linger in TIME_WAIT.
    loop = asyncio.get_running_loop()
    if port.tls is None:
        return await loop.create_server(
            port.factory, port.host, port.port, reuse_address=True, backlog=BACKLOG
        )
    found = await loop.getaddrinfo(port.host, port.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    listener = socket.create_server(address, family=family, backlog=BACKLOG)  # reuses, too
    failures = port.tls_failures if port.tls_failures is not None else Counter()
    return TlsServer(listener, port.factory, port.tls, port.tls_seconds, failures)


class GoneListener:
    """A dead process listens on nothing: there is nothing to close."""

    async def close(self) -> None:
        pass

    async def verify(self) -> GateState:
        return "closed"

    async def remove(self) -> None:
        pass


def make(_config: Config, listener: ListenerGate, _report: Report) -> ListenerGate:
    return listener


def make_closer(_config: Config) -> GoneListener:
    return GoneListener()


def check(_config: Config) -> Iterable[ConfigError]:
    """It needs nothing."""
    return ()
