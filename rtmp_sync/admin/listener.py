"""One of the two HTTP ports of an origin, and how many connections it has.

Whoever reaches one of them must not use up the descriptors that clients need, nor the places of
others: of one address there may be fewer than in all. A request has to come in time, and what is
answered has to be read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog
from aiohttp import web

from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.networks import address_group
from rtmp_sync.server.unread import give_up_unread

__all__ = ["Listener"]

# A pair has a few connections there, a site with dozens of monitors and dashboards some more.
MAX_CONNECTIONS = 1024
MAX_OF_ADDRESS = 256
# For a request to come. Clients of aiohttp keep a connection for 15 seconds: they close it first.
IDLE_SECONDS = 30.0
UNREAD_SECONDS = 30.0


class Listener:
    """Of what `server` answers. on_refused: called for each connection too many."""

    def __init__(self, server: web.Server, on_refused: Callable[[], None]) -> None:
        self._server = server
        self._on_refused = on_refused
        self._listening: asyncio.Server | None = None
        self._connections: Counter[str] = Counter()  # by address group
        self._log = structlog.get_logger("rtmp_sync.admin")

    async def start(self, key: str, address: Address) -> None:
        """key: of the configuration. Raises ConfigError when the port is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                lambda: _Connection(self._server, self), *address, reuse_address=True
            )
        except OSError as error:
            fix = f"cannot listen there ({error.strerror}); the port is in use, or not ours"
            raise ConfigError(key, str(address), fix) from None

    def close(self) -> None:
        """Nobody new comes; connections stay."""
        if self._listening is not None:
            self._listening.close()

    @property
    def address(self) -> Address:
        """Where it listens (the system's choice for port 0). It was started."""
        assert self._listening is not None
        return Address(*self._listening.sockets[0].getsockname()[:2])

    def enter(self, group: str) -> bool:
        """A connection has come; False: there are too many."""
        mine, all_of_them = self._connections[group], self._connections.total()
        self._connections[group] += 1
        if mine < MAX_OF_ADDRESS and all_of_them < MAX_CONNECTIONS:
            return True
        self._on_refused()
        self._log.debug("admin_connection_refused", address=group, connections=all_of_them)
        return False

    def leave(self, group: str) -> None:
        """One that had come, refused or not, is gone."""
        self._connections[group] -= 1
        if not self._connections[group]:
            del self._connections[group]


class _Connection(web.RequestHandler):
    __slots__ = ("_group", "_listener")

    def __init__(self, server: web.Server, listener: Listener) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # aiohttp asks for it and takes None
        )
        self._listener = listener
        self._group = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        give_up_unread(transport, UNREAD_SECONDS)
        if peer := transport.get_extra_info("peername"):
            self._group = address_group(peer[0])
        if not self._listener.enter(self._group) and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.leave(self._group)
        super().connection_lost(exc)
