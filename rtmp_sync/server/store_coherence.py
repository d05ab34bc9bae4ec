"""Does each node see at once what the other one puts into the store?

File mode rests on that: a NAS mounted with attribute caching shows old files, and a node that
reads old files goes on serving when it must not. So each node writes something new, names it
over the link, and the other one reads; what it found goes along with its own next nonce, so
that both know. Several times in a row, since the first look at a file is never a cached one;
then now and then, for as long as the link works. A cache that runs out shows what is there, too,
once: a store that was found wanting is tested on without a pause, and right again when it was
right as many times in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from rtmp_sync.errors import StoreError

__all__ = ["NonceStore", "StoreCoherence"]

SOON_SECONDS, LATER_SECONDS = 1.0, 60.0
SOON_ROUNDS = 3  # within the three seconds for which NFS keeps attributes at least


class NonceStore(Protocol):
    """The part of a coordinator that this needs; see `coordinators.base`."""

    async def write_nonce(self) -> str | None: ...
    async def read_nonce(self, node: str) -> str | None: ...


class StoreCoherence:
    """`name` tells the other node (nonce, whether this one's reads are stale); `judged` is
    called when the store is not coherent, or is again.

    Nothing here is cancelled while it is under way but at the end: that would cost the store's
    helper.
    """

    def __init__(
        self,
        store: NonceStore,
        *,
        name: Callable[[str, bool], None],
        judged: Callable[[bool], None],
    ) -> None:
        self.seen: bool | None = None  # what the other node wrote, by this one
        self.shown: bool | None = None  # what this node wrote, by the other one
        self._store = store
        self._name = name
        self._judged = judged
        self._linked = asyncio.Event()
        self._anew = asyncio.Event()  # the link has come: begin from the first round
        self._named: tuple[str, str] | None = None
        self._read: str | None = None  # the last time
        self._right = 0  # reads in a row that showed what is there
        self._reading: asyncio.Task[None] | None = None

    @property
    def coherent(self) -> bool | None:
        """For both nodes; None while nothing was read, and for a store that needs no test."""
        if False in (self.seen, self.shown):
            return False
        return self.seen

    def link_changed(self, up: bool) -> None:
        """A link is a chance to test; without one nobody says what is there."""
        if up:
            self._linked.set()
            self._anew.set()
        else:
            self._linked.clear()

    def named(self, node: str, nonce: str, *, stale: bool) -> None:
        """The other node has put this into the store; stale: it sees late what this one puts
        there."""
        self._conclude(self.seen, not stale)
        self._named = node, nonce
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._look())

    async def run(self) -> None:
        """Write and name, round after round."""
        rounds = 0
        while True:
            await self._linked.wait()
            if self._anew.is_set():
                self._anew.clear()
                rounds = 0
            with suppress(StoreError):  # another alarm says so
                nonce = await self._store.write_nonce()
                if nonce is None:
                    return
                self._name(nonce, self.seen is False)
                rounds += 1
            with suppress(TimeoutError):
                soon = rounds < SOON_ROUNDS or self.coherent is False
                async with asyncio.timeout(SOON_SECONDS if soon else LATER_SECONDS):
                    await self._anew.wait()

    async def stop(self) -> None:
        """After `run` was ended."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _look(self) -> None:
        while self._named is not None:
            (node, nonce), self._named = self._named, None
            with suppress(StoreError):  # as above
                before, self._read = self._read, await self._store.read_nonce(node)
                if self._read == nonce:
                    self._saw(True)
                elif self._read in (before, None):
                    self._saw(False)
                # else it is the next one already, whose name is still on its way

    def _saw(self, seen: bool) -> None:
        """The other node hears at once of what is news: it is good until found otherwise."""
        self._right = self._right + 1 if seen else 0
        if self.seen is False and self._right < SOON_ROUNDS:
            seen = False
        if seen is not (self.seen is not False):
            self._anew.set()
        self._conclude(seen, self.shown)

    def _conclude(self, seen: bool | None, shown: bool | None) -> None:
        was_coherent = self.coherent is not False
        self.seen, self.shown = seen, shown
        if (self.coherent is not False) is not was_coherent:
            self._judged(not was_coherent)
