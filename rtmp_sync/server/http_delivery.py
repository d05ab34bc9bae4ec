"""Streams for browsers: a port of its own that is open while this origin is the active one.

    GET, WebSocket ─► admission (on_connect, keys, on_play) ─► live: HttpStream      ─► body
                                                            └► recorded: its tags    ─►

A browser is a client of its instance as any other one is; it plays one stream and calls nothing.
After a takeover it is its page that asks again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from rtmp_sync.config_public_tls import public_tls
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.firewalls.listener import PublicPort
from rtmp_sync.server import access_log
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.certificates import Certificates
from rtmp_sync.server.clock import now
from rtmp_sync.server.http_admission import HttpAdmission, Viewer
from rtmp_sync.server.http_body import Body, body_for
from rtmp_sync.server.http_connection import HttpConnection
from rtmp_sync.server.http_player import HttpPlayer
from rtmp_sync.server.http_recorded import send_recording
from rtmp_sync.server.http_request import Cors, HttpRefused, StreamUrl, forwarded_for
from rtmp_sync.server.http_stream import HttpStreams
from rtmp_sync.server.networks import Networks, address_group
from rtmp_sync.server.rate_limit import Allowance, RateLimit
from rtmp_sync.storage.recording import Recording

if TYPE_CHECKING:
    from rtmp_sync.config import Address, Config
    from rtmp_sync.server.sessions import Sessions

__all__ = ["HttpDelivery"]

_LOOKS: Final = 8  # for those that are stuck, in the time after which one is
_HEADERS: Final = {"Server": "rtmp_sync", "Cache-Control": "no-store"}
_RETRY_SECONDS: Final = 1  # what a browser is told to wait while this origin is busy


class HttpDelivery:
    """listen: `http.listen`. sessions: of the RTMP port, with which it is opened and closed.
    refused: requests, by the status that they got; connections as `connection`. Raises ConfigError
    for certificates that cannot be used."""

    def __init__(self, listen: Address, sessions: Sessions, config: Config) -> None:
        http = config.http
        self._listen = listen
        self._config = http
        self._outbox_bytes = config.rtmp.outbox_bytes
        self.patience_seconds = config.rtmp.send_timeout
        self._sessions = sessions
        self._turn = sessions.turn
        self._admission = HttpAdmission(sessions.instances, sessions.tasks)
        self._streams = HttpStreams(sessions.turn, config.rtmp.gop_cache_bytes)
        self._cors = Cors(http.origins)
        self._forwarders = Networks(http.forwarded_for_from)
        tls = public_tls(http)
        self.certificates = Certificates(tls) if tls is not None else None
        self._server = web.Server(self._answer, handler_cancellation=True)
        self.refused: Counter[str] = Counter()
        self._connections: set[HttpConnection] = set()
        self._viewers: set[Viewer] = set()
        self._per_address: Counter[str] = Counter()
        rate = http.max_request_rate
        self._requests = RateLimit(Allowance(rate, rate)) if rate is not None else None
        self._looking: asyncio.TimerHandle | None = None
        self._stopped = False
        self._log = structlog.get_logger("rtmp_sync.http")

    def __len__(self) -> int:
        """How many are in."""
        return len(self._viewers)

    @property
    def connected(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def port(self) -> PublicPort:
        """For the gate."""
        port = PublicPort(*self._listen, lambda: HttpConnection(self._server, self))
        if (certificates := self.certificates) is not None:
            port = port._replace(tls=certificates.context, tls_failures=certificates.failures)
        return port

    def start(self) -> None:
        """Look after players, and after certificates, from now on."""
        self._look_soon()
        if self.certificates is not None:
            self.certificates.start()

    def stop(self) -> None:
        """The gate is closed; who was accepted just before may still come, and is refused."""
        self._stopped = True
        if self._looking is not None:
            self._looking.cancel()
        if self.certificates is not None:
            self.certificates.stop()
        self.cut()

    def part(self) -> None:
        """End every stream, and each connection after it."""
        for viewer in list(self._viewers):
            viewer.player.end()
        for connection in list(self._connections):
            connection.close()

    def cut(self) -> None:
        """End every connection now."""
        for connection in list(self._connections):
            connection.abort()

    # Connections

    def wants_header(self, connection: HttpConnection) -> bool:
        """Whether a PROXY header comes first."""
        host = connection.host
        return host in self._sessions.proxies and host not in self._forwarders

    def add(self, connection: HttpConnection) -> bool:
        """A connection was made; False when there are too many, or nobody is to come any more."""
        if self._stopped:
            return False
        if len(self._connections) >= self._config.max_connections:
            self.refuse(connection, "too many connections")
            return False
        self._connections.add(connection)
        return True

    def remove(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)

    def refuse(self, connection: HttpConnection, reason: str) -> None:
        """It is about to be closed."""
        self.refused["connection"] += 1
        self._log.info("http_connection_refused", peer=connection.address, reason=reason)

    # Requests

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        cors: dict[str, str] = {}
        try:
            if request.method == "OPTIONS":
                return web.Response(
                    status=204, headers={**_HEADERS, **self._cors.preflight(request)}
                )
            cors = self._cors.headers(request)
            if self._requests is not None and self._requests.take(self._from(request)[0], now()):
                raise HttpRefused(429, "This address asks too often.")
            if request.method not in ("GET", "HEAD"):
                raise HttpRefused(405, "GET plays a stream.")
            return await self._serve(request, cors)
        except HttpRefused as refusal:
            status, text = refusal.status, str(refusal)
        except Deposed:
            status, text = 503, "Another origin serves."
        self.refused[str(status)] += 1
        peer = self._from(request)[1]
        self._log.info("http_refused", path=request.path, peer=peer, status=status, reason=text)
        headers = {**cors, **_HEADERS}
        if status in (429, 503):
            headers["Retry-After"] = str(_RETRY_SECONDS)
        if status == 405:
            headers["Allow"] = "GET, HEAD, OPTIONS"
        return web.Response(status=status, text=text + "\n", headers=headers)

    async def _serve(self, request: web.BaseRequest, cors: dict[str, str]) -> web.StreamResponse:
        host, address = self._from(request)
        url = StreamUrl.of(request)
        turn = self._turn
        if not turn.authorised:
            raise HttpRefused(503, "Another origin serves.")
        if turn.congested or not self._sessions.lets_in:
            raise HttpRefused(503, "Nobody is let in for a moment.")
        headers = {**cors, **_HEADERS, "X-Accel-Buffering": "no"}  # nginx would collect it
        body = body_for(request, headers)
        if reason := self._sessions.addresses.refusal(host):
            raise HttpRefused(403, f"{reason}.")
        player = HttpPlayer(_connection(request).writer, body.frame, self._outbox_bytes)
        with self._one_more(host):
            viewer = await self._admission.come_in(request, url, address, player, body.transport)
            self._viewers.add(viewer)
            connection = _connection(request)
            connection.plays = True
            try:
                await turn.committed()
                recording = await self._admission.may_play(viewer, url)
                if request.method == "HEAD":
                    await self._head(body, viewer, url, recording)
                elif recording is not None:
                    await self._play_recorded(body, viewer, url, recording)
                else:
                    await self._play_live(body, viewer, url)
            except ConnectionError:
                pass  # the browser has gone
            finally:
                connection.plays = False
                self._viewers.discard(viewer)
                self._admission.leave(viewer)
        return body.response

    async def _head(
        self, body: Body, viewer: Viewer, url: StreamUrl, recording: Recording | None
    ) -> None:
        if recording is not None:
            recording.abandon()
        elif not viewer.instance.live.is_published(url.stream):
            raise HttpRefused(404, f"Nobody publishes {url.stream}.")
        await body.open()

    async def _play_live(self, body: Body, viewer: Viewer, url: StreamUrl) -> None:
        player = viewer.player
        with self._streams.at(viewer.instance.live, url.stream) as stream:
            published = await stream.published(self._config.publisher_wait, player.ended)
            if not published and not player.ended.done():
                raise HttpRefused(404, f"Nobody publishes {url.stream}.")
            await self._register(viewer)
            with self._told(viewer, url, "live"):
                await body.open()
                stream.add(player)
                try:
                    await body.until(player.ended)
                    await body.finish()
                finally:
                    stream.remove(player)

    async def _play_recorded(
        self, body: Body, viewer: Viewer, url: StreamUrl, recording: Recording
    ) -> None:
        start_ms = round(max(0.0, url.start) * 1000)
        try:
            await self._register(viewer)
            with self._told(viewer, url, "recorded"):
                await send_recording(body, recording, start_ms, viewer.player)
                await body.finish()
        except (OSError, RemoteProtocolError) as error:
            if not isinstance(error, ConnectionError):  # that is the browser's doing
                reason = str(error) or "the disk does not answer"
                self._log.error("play_failed", stream=url.stream, reason=reason)
            viewer.player.cut()
        finally:
            recording.abandon()

    # Inside

    async def _register(self, viewer: Viewer) -> None:
        """Nothing is shown to a viewer of whom the pair does not know. Raises Deposed."""
        self._admission.register(viewer)
        await self._turn.committed()

    def _from(self, request: web.BaseRequest) -> tuple[str, str]:
        """The client's address, without and with its port where that is known."""
        connection = _connection(request)
        if connection.host in self._forwarders:
            host = forwarded_for(request, self._forwarders)
            if host is not None:
                return host, host
        return connection.host, connection.address

    @contextmanager
    def _one_more(self, host: str) -> Iterator[None]:
        """Of what this address plays."""
        limit, group = self._config.max_players_per_address, address_group(host)
        if limit is not None and self._per_address[group] >= limit:
            raise HttpRefused(429, "This address plays as many streams as it may.")
        self._per_address[group] += 1
        try:
            yield
        finally:
            self._per_address[group] -= 1
            if not self._per_address[group]:
                del self._per_address[group]

    @contextmanager
    def _told(self, viewer: Viewer, url: StreamUrl, kind: str) -> Iterator[None]:
        """In the log: when it began and when it ended."""
        client = viewer.client
        log = self._log.bind(client=client.id, app=viewer.instance.scope, stream=url.stream)
        access = self._sessions.access
        access.connected(viewer.instance, client)
        access.began("play", viewer.instance, client, 1, url.stream, access_log.OK)
        log.info("http_playing", kind=kind, peer=client.address, transport=client.transport)
        try:
            yield
        finally:
            player = viewer.player
            access.disconnected(viewer.instance, client, "")
            log.info("http_ended", bytes=player.bytes_out, dropped=player.dropped_tags)

    def _look_soon(self) -> None:
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(self.patience_seconds / _LOOKS, self._look)

    def _look(self) -> None:
        """Disconnect who does not read."""
        for viewer in list(self._viewers):
            if viewer.player.is_stuck(now(), self.patience_seconds):
                self._log.info("http_stuck", client=viewer.client.id, behind=viewer.player.behind)
                viewer.player.cut()
        for connection in list(self._connections):
            if connection.is_stuck(now(), self.patience_seconds):
                self._log.info("http_unread", peer=connection.address)
                connection.abort()
        self._look_soon()


def _connection(request: web.BaseRequest) -> HttpConnection:
    protocol = request.protocol
    assert isinstance(protocol, HttpConnection)  # our server makes no other
    return protocol
