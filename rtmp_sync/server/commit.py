"""The commit point: how far the journal is safe enough for clients to see its effects.

A message to a client carries the journal head at its making as its barrier and leaves when
`level` has reached it. What `level` waits for:

    async, or degraded      nothing
    semi and strict         the peer's acknowledgement      (`require_peer`)
    disk = journal | fsync  this node's own journal file    (`require_disk`)

Invariant: `level` never goes back while a history lasts, so what was shown stays shown.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

__all__ = ["CommitPoint"]

# Beyond this the writing clients' sockets are not read until half of it is acknowledged.
MAX_WAITING_CHANGES = 4096
MAX_WAITING_BYTES = 8 * 1024 * 1024


class CommitPoint:
    """Turns acknowledgements into the level up to which outboxes may release."""

    def __init__(self, *, require_peer: bool = False, require_disk: bool = False) -> None:
        self.level = 0
        self.head = 0
        self.require_peer = require_peer
        self.require_disk = require_disk
        self.on_advance: Callable[[], None] = lambda: None
        self._peer = 0
        self._disk = 0
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiter_count = 0
        self._gave_up = 0  # no fewer than the waiters whose caller is gone
        self._batches: deque[tuple[int, int]] = deque()  # (last seq, bytes) above the level
        self._waiting_bytes = 0

    @property
    def congested(self) -> bool:
        """So much waits for acknowledgement that nobody who asks for something is read."""
        return (
            self.head - self.level > MAX_WAITING_CHANGES or self._waiting_bytes > MAX_WAITING_BYTES
        )

    @property
    def waiting_bytes(self) -> int:
        """Of Changes, and of what waits like them."""
        return self._waiting_bytes

    @property
    def relaxed(self) -> bool:
        """Little enough waits for those held back to be read again."""
        return (
            self.head - self.level <= MAX_WAITING_CHANGES // 2
            and self._waiting_bytes <= MAX_WAITING_BYTES // 2
        )

    def head_moved(self, seq: int, size: int = 0) -> None:
        """The journal has grown to `seq` by a batch of `size` bytes."""
        self.head = seq
        if self.require_peer or self.require_disk:
            self._batches.append((seq, size))
            self._waiting_bytes += size
        self._advance()

    def also_waits(self, seq: int, size: int) -> None:
        """`size` bytes that are no Change (a `send`) wait for `seq` as Changes do."""
        if seq > self.level:
            self._batches.append((seq, size))
            self._waiting_bytes += size

    def peer_acked(self, seq: int) -> None:
        """The peer has applied everything up to `seq`."""
        if seq > self._peer:
            self._peer = seq
            self._advance()

    def disk_written(self, seq: int) -> None:
        """This node's journal file holds everything up to `seq`."""
        if seq > self._disk:
            self._disk = seq
            self._advance()

    def set_require_peer(self, required: bool) -> None:
        """Whether later messages wait for the peer."""
        self.require_peer = required
        self._advance()

    def set_require_disk(self, required: bool) -> None:
        """Whether later messages wait for this node's disk (not after `persist_failed`)."""
        self.require_disk = required
        self._advance()

    async def wait(self, seq: int) -> None:
        """Return when everything up to `seq` may be shown; cancelled by `reset`."""
        if seq <= self.level:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiter_count += 1
        heapq.heappush(self._waiters, (seq, self._waiter_count, future))
        try:
            await future
        except asyncio.CancelledError:
            self._gave_up += 1
            if self._gave_up > len(self._waiters) // 2:
                self._forget_who_gave_up()
            raise

    def reset(self, head: int) -> None:
        """Begin again at `head`: another history's journal has taken this one's place."""
        self.head = self.level = self._disk = head
        self._peer = 0
        self._batches.clear()
        self._waiting_bytes = 0
        for _, _, future in self._waiters:
            future.cancel()
        self._waiters.clear()

    def _forget_who_gave_up(self) -> None:
        self._gave_up = 0
        self._waiters = [waiter for waiter in self._waiters if not waiter[2].done()]
        heapq.heapify(self._waiters)

    def _advance(self) -> None:
        level = self.head
        if self.require_peer:
            level = min(level, self._peer)
        if self.require_disk:
            level = min(level, self._disk)
        if level <= self.level:
            return
        self.level = level
        batches = self._batches
        while batches and batches[0][0] <= level:
            self._waiting_bytes -= batches.popleft()[1]
        while self._waiters and self._waiters[0][0] <= level:
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(None)
        self.on_advance()
