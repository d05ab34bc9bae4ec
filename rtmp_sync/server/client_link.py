"""One TCP connection of a client: sockets and timers around `protocol.Connection`.

Bytes that one turn of the loop writes leave in one write. Events go to `on_event` in order;
the end of the connection, whatever its cause, goes to `on_lost` once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, cast

from rtmp_sync.errors import ConfigError, ConnectError, ConnectionLost, RemoteProtocolError
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import ConnectAnswered, Event, HandshakeCompleted
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.server.client_tls import Trust, client_context, what_failed
from rtmp_sync.server.clock import now
from rtmp_sync.server.deadline_timer import DeadlineTimer
from rtmp_sync.server.rtmp_url import RtmpUrl
from rtmp_sync.wire.constants import CONNECT_FAILED

__all__ = ["ClientLink", "dial", "redirect_of"]

_HANDSHAKE_SECONDS: Final = 2.0
_TLS_SECONDS: Final = 3.0  # more, for two further round trips and the work of a busy server
_ANSWER_SECONDS: Final = 10.0

# A dead server that nobody resets is noticed after at most twice this.
_LIMITS = ConnectionLimits(
    max_message_bytes=16 * 1024 * 1024,
    max_partial_bytes=32 * 1024 * 1024,
    ping_interval=10.0,
    ping_timeout=10.0,
)
_MAX_WAITING_BYTES = 64 * 1024 * 1024  # written without drain; past it the connection is cut
_CLOSE_SECONDS = 1.0  # for what is written to leave; then the connection is cut


class ClientLink(asyncio.Protocol):
    """Made by `dial`. Write to it what `connection` makes."""

    def __init__(
        self,
        on_event: Callable[[ClientLink, Event], None],
        on_lost: Callable[[ClientLink, str], None],
        digest_scheme: int,
    ) -> None:
        self._on_event = on_event
        self._on_lost = on_lost
        self._digest_scheme = digest_scheme
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._flush_scheduled = False
        self._reason = "the server closed the connection"
        self._writable = asyncio.Event()
        self._writable.set()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.answered: asyncio.Future[ConnectAnswered] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.connection = self._connection()
        self._deadlines = DeadlineTimer(self._loop, self.connection, self._ring)

    def _connection(self) -> Connection:
        return Connection(
            Role.CLIENT,
            now=now(),
            random_bytes=secrets.token_bytes,
            limits=_LIMITS,
            digest_scheme=self._digest_scheme,
        )

    @property
    def alive(self) -> bool:
        """Whether what is written may still arrive."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """Written, and not taken by the server yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._transport = transport
        self._flush()
        self._arm()

    def data_received(self, data: bytes) -> None:
        try:
            self.connection.receive_data(data, now())
        except RemoteProtocolError as error:
            self._fail(str(error))
        try:
            for event in self.connection.events_received():
                self._dispatch(event)
        except RemoteProtocolError as error:  # arguments of a call that are no AMF
            self._fail(str(error))
        self._flush()
        self._arm()

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, HandshakeCompleted):
            if not self.ready.done():
                self.ready.set_result(None)
        elif isinstance(event, ConnectAnswered):
            if not self.answered.done():
                self.answered.set_result(event)
        else:
            self._on_event(self, event)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadlines.cancel()
        if exc is not None:
            self._reason = str(exc)
        self._transport = None
        self._writable.set()
        for waiting in (self.ready, self.answered):
            if not waiting.done():
                waiting.set_exception(ConnectionLost(self._reason))
                waiting.exception()  # whether anybody asks for it depends on how far dial came
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_lost(self, self._reason)

    # --- out

    def write(self, data: bytes) -> None:
        """Send at the end of this turn of the loop; lost if the connection is."""
        self._waiting.append(data)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    async def drain(self) -> None:
        """Wait while more is written than the server takes."""
        if not self._writable.is_set():
            await self._writable.wait()

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Send what is written, then close."""
        self._reason = "closed"
        self._flush()
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait((self.ended,), timeout=_CLOSE_SECONDS)
        self.abort("closed")

    def _flush(self) -> None:
        self._flush_scheduled = False
        own = self.connection.data_to_send()
        if own:
            self._waiting.insert(0, own)
        if self._waiting and self._transport is not None:
            self._transport.write(b"".join(self._waiting))
            if self._transport.get_write_buffer_size() > _MAX_WAITING_BYTES:
                self.abort(f"the server leaves more than {_MAX_WAITING_BYTES} bytes waiting")
        self._waiting.clear()

    def _fail(self, reason: str) -> None:
        self._reason = reason
        if self._transport is not None:
            self._transport.close()

    # --- time

    def _arm(self) -> None:
        if self._transport is not None:
            self._deadlines.arm()

    def _ring(self) -> None:
        try:
            self.connection.handle_timeout(now())
        except RemoteProtocolError as error:
            self.abort(str(error))
        self._flush()
        self._arm()


async def dial(
    url: RtmpUrl,
    params: dict[str, object],
    arguments: tuple[object, ...],
    *,
    on_event: Callable[[ClientLink, Event], None],
    on_lost: Callable[[ClientLink, str], None],
    digest_scheme: int = -1,
    tls: Trust = None,
) -> tuple[ClientLink, ConnectAnswered]:
    """Connect, shake hands, send `connect` and wait for its answer, whatever it is.

    tls: for rtmps. ConnectError when it does not come that far. The answer has more time than the
    handshake: after a takeover a server may hold it until its peer has what it was made of.
    """
    loop = asyncio.get_running_loop()
    link = ClientLink(on_event, on_lost, digest_scheme)
    try:
        secure = url.protocol == "rtmps"
        async with asyncio.timeout(_HANDSHAKE_SECONDS + (_TLS_SECONDS if secure else 0)):
            if secure:
                await loop.create_connection(
                    lambda: link,
                    url.host,
                    url.port,
                    ssl=await client_context(tls),
                    ssl_shutdown_timeout=_CLOSE_SECONDS,
                )
            else:
                await loop.create_connection(lambda: link, url.host, url.port)
            await link.ready
        async with asyncio.timeout(_ANSWER_SECONDS):
            link.write(link.connection.connect(params, *arguments))
            return link, await link.answered
    except (OSError, ConnectionLost, ConfigError, ValueError) as error:  # a name no host has
        text = what_failed(error) if isinstance(error, OSError) else str(error)
        link.abort(text)
        raise ConnectError(CONNECT_FAILED, f"{url.text}: {text}") from error
    except BaseException:
        link.abort("given up")
        raise


def redirect_of(answer: ConnectAnswered) -> str | None:
    """Where a refusal sends us, or None."""
    extra = answer.info.get("ex")
    if not isinstance(extra, dict) or extra.get("code") != 302:
        return None
    target = extra.get("redirect")
    return target if isinstance(target, str) else None
