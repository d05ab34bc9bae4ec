"""A TCP proxy that breaks connections in the ways networks do."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

SLICE_BYTES = 4096  # of what passes slowly: small enough that a heartbeat is never late by a slice
MAX_UNDER_WAY = 64  # slices; more is not taken from its sender


class ChaosProxy:
    """Between one address and its clients. `cut_after_bytes`: of the way there, once."""

    def __init__(self) -> None:
        self.refuse = False
        self.cut_after_bytes: int | None = None
        self.frozen = False
        self.silent_callers: bool | None = None  # True: nothing from callers, False: to them
        self.stalled = False
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self._corrupt: bytes | None = None
        self._flip = False
        self._repeat = False
        self._target = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._calls: set[asyncio.Task[None]] = set()

    async def start(self, target: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        self.aim(target)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, caller=True), host, 0)

    def aim(self, target: tuple[str, int]) -> None:
        """Where connections lead from now on."""
        self._target = target

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return host, port

    def cut(self) -> None:
        """End every connection."""
        for end in list(self._ends):
            end.abort()

    def freeze(self) -> None:
        """Let nothing through; connections stay."""
        self.frozen = True

    def stall(self) -> None:
        """Take nothing any more: what is sent piles up at its sender."""
        self.stalled = True
        for end in self._ends:
            end.transport.pause_reading()

    def resume(self) -> None:
        """Take again what stalled."""
        self.stalled = False
        for end in self._ends:
            end.transport.resume_reading()

    def silence(self, *, callers: bool) -> None:
        """Let nothing through that comes from the callers, or nothing that goes to them."""
        self.silent_callers = callers

    def thaw(self) -> None:
        """Let through what comes; what was frozen is gone with its connections."""
        self.cut()
        self.frozen = False
        self.silent_callers = None

    def corrupt_next(self, marker: bytes) -> None:
        """Flip a bit where these bytes pass next."""
        self._corrupt = marker

    @property
    def takes_time(self) -> bool:
        """Whether anything arrives later than it was sent."""
        return self.delay_seconds > 0.0 or self.bytes_per_second is not None

    def seconds_for(self, size: int) -> float:
        """How long so many bytes pass."""
        return size / self.bytes_per_second if self.bytes_per_second is not None else 0.0

    def flip_next(self) -> None:
        """Flip a bit in the middle of what passes next."""
        self._flip = True

    def repeat_next(self) -> None:
        """Let pass twice what passes next."""
        self._repeat = True

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for call in list(self._calls):
            call.cancel()
        self.cut()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def opened(self, end: _End) -> None:
        self._ends.add(end)
        if end.caller and self.refuse:
            end.abort()
        elif end.caller:
            call = asyncio.create_task(self._call(end))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def closed(self, end: _End) -> None:
        self._ends.discard(end)
        if end.other is not None:
            end.other.abort()

    def changed(self, data: bytes, end: _End) -> bytes | None:
        """What of `data` goes on; None: the connection ends here."""
        if self.frozen or self.silent_callers is end.caller:
            return b""
        if end.caller and self.cut_after_bytes is not None:
            self.cut_after_bytes -= len(data)
            if self.cut_after_bytes <= 0:
                self.cut_after_bytes = None
                return None
        if self._repeat:
            self._repeat = False
            data += data
        if self._flip:
            self._flip = False
            at = len(data) // 2
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if self._corrupt is None or self._corrupt not in data:
            return data
        at = data.index(self._corrupt)
        self._corrupt = None
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    async def _call(self, caller: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, there = await loop.create_connection(lambda: _End(self, caller=False), *self._target)
        except OSError:
            caller.abort()
            return
        there.other = caller
        caller.join(there)


class _End(asyncio.Protocol):
    def __init__(self, proxy: ChaosProxy, *, caller: bool) -> None:
        self.caller = caller
        self.other: _End | None = None
        self._proxy = proxy
        self._early: list[bytes] = []
        self._under_way: deque[tuple[float, bytes]] = deque()  # (when it arrives, a slice)
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._proxy.opened(self)

    def join(self, other: _End) -> None:
        self.other = other
        if self.transport.is_closing():
            other.abort()
        for data in self._early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
            return
        changed = self._proxy.changed(data, self)
        if changed is None:
            self.abort()
        elif self._under_way or self._proxy.takes_time:
            self._pass_later(changed)
        else:
            self.other.transport.write(changed)

    def _pass_later(self, data: bytes) -> None:
        """Each slice is under way for a while; what is so when an end closes is lost."""
        now = asyncio.get_running_loop().time()
        idle = not self._under_way
        for start in range(0, len(data), SLICE_BYTES):
            part = data[start : start + SLICE_BYTES]
            earliest = self._under_way[-1][0] if self._under_way else now
            seconds = self._proxy.seconds_for(len(part))
            due = max(now + self._proxy.delay_seconds, earliest + seconds)
            self._under_way.append((due, part))
        if len(self._under_way) > MAX_UNDER_WAY:
            self.transport.pause_reading()
        if idle and self._under_way:
            self._arm()

    def _arm(self) -> None:
        asyncio.get_running_loop().call_at(self._under_way[0][0], self._arrive)

    def _arrive(self) -> None:
        if self.other is None or self.transport.is_closing():
            return
        now = asyncio.get_running_loop().time()
        while self._under_way and self._under_way[0][0] <= now:
            self.other.transport.write(self._under_way.popleft()[1])
        if len(self._under_way) <= MAX_UNDER_WAY and not self._proxy.stalled:
            self.transport.resume_reading()
        if self._under_way:
            self._arm()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.closed(self)

    def abort(self) -> None:
        self.transport.abort()
