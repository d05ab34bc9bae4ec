"""A public port that speaks TLS: it accepts by itself, so that it knows whose handshake failed.

asyncio's own server drops such connections without a word. Handshakes that are not done hold few
places: with more of them the oldest goes, so a crowd that never finishes one keeps nobody out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

import structlog

__all__ = ["TlsServer"]

UNDONE_MAX: Final = 4000  # handshakes at once
ACCEPTS_AT_ONCE: Final = 64  # connections taken in one step of the loop
NO_DESCRIPTOR_SECONDS: Final = 1.0

# What OpenSSL makes of bytes that are no TLS; of 0x03, with which RTMP begins, too.
_NO_TLS: Final = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNEXPECTED_MESSAGE",
    "UNKNOWN_PROTOCOL",
    "UNSUPPORTED_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "BAD_RECORD_TYPE",
)


class TlsServer:
    """Listens on `listener` until `close`; `factory` makes the protocol of each connection whose
    handshake is done within `seconds`."""

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext,
        seconds: float,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._tls = tls
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._undone: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._waiting: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("rtmp_sync.tls").bind(port=listener.getsockname()[1])
        listener.setblocking(False)
        self._listen()

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that listen, as of `asyncio.Server`."""
        return [self._listener] if self._listener.fileno() >= 0 else []

    def close(self) -> None:
        """Also of those whose handshake is not done."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self.sockets:
            self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._undone:
            task.cancel()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                endpoint, name = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor is left
                self._log.error("accept_failed", error=str(error))
                self._loop.remove_reader(self._listener)
                self._waiting = self._loop.call_later(NO_DESCRIPTOR_SECONDS, self._listen)
                return
            endpoint.setblocking(False)
            peer = f"{name[0]}:{name[1]}"
            task = self._loop.create_task(self._shake_hands(endpoint, peer))
            self._undone[task] = None
            task.add_done_callback(self._done)
            if len(self._undone) > UNDONE_MAX:
                next(iter(self._undone)).cancel()

    async def _shake_hands(self, endpoint: socket.socket, peer: str) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._loop.connect_accepted_socket(self._factory, endpoint, ssl=self._tls)
        except TimeoutError:
            reason = f"not done within {self._seconds:g} s"
        except ssl.SSLError as error:
            reason = _what_failed(error)
        except OSError:
            self._log.debug("tls_handshake_lost", peer=peer)  # as a TCP monitor does all day
            return
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                endpoint.close()
            raise
        else:
            return
        self._log.info("tls_handshake_failed", peer=peer, reason=reason)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._undone[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("tls_accept_failed", exc_info=error)


def _what_failed(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if reason in _NO_TLS:
        return "the client speaks no TLS: this port is for rtmps: and https:"
    return reason.lower().replace("_", " ")
