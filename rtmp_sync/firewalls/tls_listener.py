"""A public port that speaks TLS: it accepts by itself, so that it knows whose handshake failed.

asyncio's own server drops such connections without a word.

    accepted ─► silent, until the whole ClientHello is here ─► ready ─► TLS ─► `factory`

Handshakes that are not done hold few places: with more of them the oldest goes, so a crowd that
never finishes one keeps nobody out. Nor does it keep anybody waiting: who has said nothing yet
costs no more than a socket, and of those who have a few begin in a step of the loop, for what TLS
computes is dear: one of each address in turn, the newest of an address first.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from rtmp_sync.server.networks import address_group
from rtmp_sync.tls_failure import speaks_no_tls

__all__ = ["TlsServer"]

UNDONE_MAX: Final = 4000  # handshakes at once
ACCEPTS_AT_ONCE: Final = 64  # connections taken in one step of the loop
BEGUN_AT_ONCE: Final = 4  # handshakes, likewise
NO_DESCRIPTOR_SECONDS: Final = 1.0

_RECORD_HEADER_BYTES: Final = 5  # type u8, version u16, length u16: RFC 8446, 5.1
_RECORD_BYTES_MAX: Final = _RECORD_HEADER_BYTES + (1 << 14)
_HANDSHAKE: Final = 22  # the type of a ClientHello's record


class TlsServer:
    """Listens on `listener` until `close`; `factory` makes the protocol of each connection whose
    handshake is done within `seconds`. failures: counts the others: `no_tls`, `timeout`, `crowded`
    (the oldest of too many), `lost` (the peer went) and `refused` (all else that TLS says)."""

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext,
        seconds: float,
        failures: Counter[str],
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._tls = tls
        self._seconds = seconds
        self._failures = failures
        self._loop = asyncio.get_running_loop()
        self._undone: dict[_Undone, None] = {}  # the oldest first
        self._ready: dict[str, list[_Undone]] = {}  # by address; their ClientHello is here
        self._begin_scheduled = False
        self._late_peers: list[str] = []  # which are to be told of
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
        for undone in list(self._undone):
            self._forget(undone)

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
            undone = _Undone(self._loop, endpoint, name[0], name[1])
            undone.timer = self._loop.call_later(self._seconds, self._late, undone)
            self._undone[undone] = None
            if _listens_for(endpoint, _RECORD_HEADER_BYTES):
                self._loop.add_reader(endpoint, self._spoken, undone)
            else:
                self._be_ready(undone)
            if len(self._undone) > UNDONE_MAX:
                self._failures["crowded"] += 1
                self._forget(next(iter(self._undone)))

    def _spoken(self, undone: _Undone) -> None:
        """The record's header is here, all of the record, or the end."""
        missing = 0
        with contextlib.suppress(OSError):  # a reset, which TLS will meet as well
            missing = _missing_bytes(undone.endpoint)
        if missing and not undone.heard:
            undone.heard = True
            _listens_for(undone.endpoint, missing)
        else:
            self._loop.remove_reader(undone.endpoint)
            _listens_for(undone.endpoint, 1)
            self._be_ready(undone)

    def _be_ready(self, undone: _Undone) -> None:
        self._ready.setdefault(address_group(undone.host), []).append(undone)
        if not self._begin_scheduled:
            self._begin_scheduled = True
            self._loop.call_soon(self._begin_some)

    def _begin_some(self) -> None:
        begun = 0
        while self._ready and begun < BEGUN_AT_ONCE:
            group = next(iter(self._ready))
            ready = self._ready.pop(group)
            undone = ready.pop()
            if ready:
                self._ready[group] = ready  # behind the other addresses
            if undone in self._undone:
                begun += 1
                undone.task = self._loop.create_task(self._shake_hands(undone))
                undone.task.add_done_callback(partial(self._done, undone))
        self._begin_scheduled = bool(self._ready)
        if self._ready:
            self._loop.call_soon(self._begin_some)

    async def _shake_hands(self, undone: _Undone) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, undone.endpoint, ssl=self._tls)
        except ssl.SSLError as error:
            kind, reason = _what_failed(error)
            self._failures[kind] += 1
            self._log.info("tls_handshake_failed", peer=undone.peer, reason=reason)
        except OSError:
            self._failures["lost"] += 1
            self._log.debug("tls_handshake_lost", peer=undone.peer)  # as a TCP monitor does all day

    def _late(self, undone: _Undone) -> None:
        self._failures["timeout"] += 1
        if not self._late_peers:
            self._loop.call_soon(self._tell_late)
        self._late_peers.append(undone.peer)
        self._forget(undone)

    def _tell_late(self) -> None:
        """One line for a whole crowd."""
        peers, self._late_peers = self._late_peers, []
        others = {"others": len(peers) - 1} if len(peers) > 1 else {}
        reason = f"not done within {self._seconds:g} s"
        self._log.info("tls_handshake_failed", peer=peers[0], reason=reason, **others)

    def _forget(self, undone: _Undone) -> None:
        self._undone.pop(undone, None)
        undone.end()

    def _done(self, undone: _Undone, task: asyncio.Task[None]) -> None:
        self._undone.pop(undone, None)
        undone.timer.cancel()
        if task.cancelled():
            undone.close()
        elif (error := task.exception()) is not None:
            self._log.error("tls_accept_failed", exc_info=error)


class _Undone:
    """A connection whose handshake is not done."""

    __slots__ = ("_loop", "endpoint", "heard", "host", "peer", "task", "timer")

    timer: asyncio.TimerHandle

    def __init__(
        self, loop: asyncio.AbstractEventLoop, endpoint: socket.socket, host: str, port: int
    ) -> None:
        self._loop = loop
        self.endpoint = endpoint
        self.host = host
        self.peer = f"{host}:{port}"
        self.heard = False  # the header of its ClientHello
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Nothing more is made of it."""
        self.timer.cancel()
        if self.task is not None:
            self.task.cancel()
        else:
            self._loop.remove_reader(self.endpoint)
            self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.endpoint.close()


def _listens_for(endpoint: socket.socket, count: int) -> bool:
    """Have it be readable only with so many bytes, or its end; False where that is not done."""
    if sys.platform != "linux":
        return False
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
    return True


def _missing_bytes(endpoint: socket.socket) -> int:
    """How many bytes there must be for all of a ClientHello's record; 0: they are here, or it is
    none."""
    data = endpoint.recv(_RECORD_BYTES_MAX, socket.MSG_PEEK)
    if len(data) < _RECORD_HEADER_BYTES or data[0] != _HANDSHAKE:
        return 0
    whole = _RECORD_HEADER_BYTES + int.from_bytes(data[3:_RECORD_HEADER_BYTES], "big")
    return whole if len(data) < whole <= _RECORD_BYTES_MAX else 0


def _what_failed(error: ssl.SSLError) -> tuple[str, str]:
    """What it is counted as, and what the log says."""
    if speaks_no_tls(error):
        return "no_tls", "the client speaks no TLS: this port is for rtmps: and https:"
    return "refused", (error.reason or str(error)).lower().replace("_", " ")
