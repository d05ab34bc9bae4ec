"""One of the two HTTP ports of an origin, and how many connections it has.

Whoever reaches one of them must not use up the descriptors that clients need, nor the places of
others: of one address there may be fewer than in all. A request has to come in time, and what is
answered has to be read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

import structlog
from aiohttp import web

from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.listening import stop_listening
from rtmp_sync.server.networks import address_group
from rtmp_sync.server.stall import StallWatch

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
        self._connections: set[_Connection] = set()
        self._of_group: Counter[str] = Counter()  # of addresses
        self._is_cut = False
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

    async def close(self) -> None:
        """Nobody new comes; connections stay."""
        if self._listening is not None:
            await stop_listening([self._listening])

    def cut(self) -> None:
        """End what is left after `close`: who does not read its answer, and who was accepted just
        before."""
        self._is_cut = True
        for connection in list(self._connections):
            connection.abort()

    @property
    def address(self) -> Address:
        """Where it listens (the system's choice for port 0). It was started."""
        assert self._listening is not None
        return Address(*self._listening.sockets[0].getsockname()[:2])

    def enter(self, connection: _Connection) -> bool:
        """It has come; False: there are too many."""
        mine, all_of_them = self._of_group[connection.group], len(self._connections)
        self._of_group[connection.group] += 1
        self._connections.add(connection)
        if self._is_cut:
            return False
        if mine < MAX_OF_ADDRESS and all_of_them < MAX_CONNECTIONS:
            return True
        self._on_refused()
        self._log.debug(
            "admin_connection_refused", address=connection.group, connections=all_of_them
        )
        return False

    def leave(self, connection: _Connection) -> None:
        """One that had come, refused or not, is gone."""
        self._connections.discard(connection)
        self._of_group[connection.group] -= 1
        if not self._of_group[connection.group]:
            del self._of_group[connection.group]


class _Connection(web.RequestHandler):
    """group: of addresses, that it counts for."""

    __slots__ = ("_endpoint", "_listener", "_unread", "group")

    def __init__(self, server: web.Server, listener: Listener) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # aiohttp asks for it and takes None
        )
        self._listener = listener
        self._endpoint: asyncio.Transport | None = None
        self._unread = StallWatch(UNREAD_SECONDS, lambda _reason: self.abort())
        self.group = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._endpoint = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._endpoint.set_write_buffer_limits(high=0)  # whatever stays is watched
        if peer := transport.get_extra_info("peername"):
            self.group = address_group(peer[0])
        if not self._listener.enter(self):
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._endpoint = None
        self._unread.end()
        self._listener.leave(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._endpoint is not None:
            self._unread.begin(self._endpoint)

    def resume_writing(self) -> None:
        self._unread.end()
        super().resume_writing()

    def abort(self) -> None:
        """Close it now; what waits is lost."""
        if self._endpoint is not None:  # aiohttp forgets one that it closes: it may drain for long
            self._endpoint.abort()
