"""The default gate: the public port listens, or it does not. Needs no rights.

A closed port refuses at once, so a load balancer's plain TCP check is right while the process
runs; a frozen process needs the HTTP check (failover.md, "Load balancer").
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["GoneListener", "ListenerGate", "check", "make", "make_closer"]

# Clients of a whole site arrive at once after a takeover; the kernel caps it at somaxconn.
BACKLOG = 4096


class ListenerGate:
    """Listens on `host`:`port` while open; `factory` makes the protocol of each connection."""

    def __init__(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._host = host
        self._port = port
        self._factory = factory
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; with port 0 in the configuration, the port that it was given."""
        return self._host, self._port

    async def start(self) -> None:
        """It is closed already."""

    async def stop(self) -> None:
        await self.close()

    async def open(self, epoch: int = 0) -> None:
        """Raises OSError, for example when the port is taken."""
        if self._server is not None and self._server.is_serving():
            return
        # reuse_address: connections of the last time linger in TIME_WAIT.
        server = await asyncio.get_running_loop().create_server(
            self._factory, self._host, self._port, reuse_address=True, backlog=BACKLOG
        )
        self._port = server.sockets[0].getsockname()[1]
        self._server = server

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def verify(self) -> GateState:
        """Asks the kernel whether a socket of ours listens."""
        server = self._server
        if server is None:
            return "closed"
        listening = [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in server.sockets
        ]
        return "open" if any(listening) else "closed"

    def hold(self, until: float) -> None:
        """A frozen process listens on: the load balancer's HTTP check is for that."""


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
