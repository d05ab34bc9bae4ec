"""One HTTP connection: aiohttp's, and who is at its other end.

A load balancer that only passes connections on tells its client's address in a PROXY header, before
the request; see `rtmp.proxy_protocol_from`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.server.networks import endpoint
from rtmp_sync.server.outbox import TRANSPORT_HIGH_WATER
from rtmp_sync.wire.proxy_protocol import ProxyHeaderReader

if TYPE_CHECKING:
    from rtmp_sync.server.http_delivery import HttpDelivery

__all__ = ["HttpConnection"]

IDLE_SECONDS = 15.0  # for a request to come, the first one too


class HttpConnection(web.RequestHandler):
    """address: "host:port" of the client, as far as the connection tells. plays: its player
    is looked after instead."""

    __slots__ = (
        "_delivery",
        "_endpoint",
        "_header",
        "_left",
        "_stuck_since",
        "address",
        "host",
        "plays",
    )

    def __init__(self, server: web.Server, delivery: HttpDelivery) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # aiohttp asks for it and takes None
        )
        self._delivery = delivery
        self._endpoint: asyncio.Transport | None = None
        self._header: ProxyHeaderReader | None = None
        self._left = 0  # bytes that waited at the last look
        self._stuck_since = 0.0
        self.host = ""
        self.address = "unknown"
        self.plays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._endpoint = transport
        transport.set_write_buffer_limits(high=TRANSPORT_HIGH_WATER)
        if peer := transport.get_extra_info("peername"):
            self._is(*peer[:2])
        if transport.get_extra_info("sslcontext") is None and self._delivery.wants_header(self):
            self._header = ProxyHeaderReader()
        if not self._delivery.add(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._header is None:
            super().data_received(data)
            return
        try:
            rest = self._header.receive_data(data)
        except RemoteProtocolError as error:
            self._delivery.refuse(self, str(error))
            self.abort()
            return
        if rest is None or self._header.header is None:
            return
        if (source := self._header.header.source) is not None:
            self._is(*source)
        self._header = None
        if rest:
            super().data_received(rest)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._endpoint = None
        self._delivery.remove(self)
        super().connection_lost(exc)

    @property
    def writer(self) -> asyncio.Transport:
        """Where a response's body is written. Raises ConnectionResetError when it is closed."""
        if self.transport is None:
            raise ConnectionResetError("closed by the peer")
        return self.transport

    def is_stuck(self, now: float, patience_seconds: float) -> bool:
        """Whether an answer, or the rest of a stream, was not read for so long."""
        waiting = self._endpoint.get_write_buffer_size() if self._endpoint is not None else 0
        if self.plays or not waiting or waiting != self._left:
            self._left, self._stuck_since = waiting, now
            return False
        return now - self._stuck_since >= patience_seconds

    def abort(self) -> None:
        """Close it now; what waits is lost."""
        if self._endpoint is not None:  # aiohttp forgets one that it closes: it may drain for long
            self._endpoint.abort()

    def _is(self, host: str, port: int) -> None:
        self.host, self.address = host, endpoint(host, port)
