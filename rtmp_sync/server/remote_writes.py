"""What was asked of a remote shared object, until the server has answered it.

Of each slot at most one write is under way; writes made meanwhile fold into the newest one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rtmp_sync.errors import RtmpSyncError

__all__ = ["RemoteWrites", "SlotWrite", "Told"]

Told = Callable[[RtmpSyncError | None], None]
"""Called once with what became of a write: None when the server confirmed it."""


class SlotWrite:
    """A slot's write: `raw` AMF0 bytes, None to delete it."""

    __slots__ = ("raw", "waiting")

    def __init__(self, raw: bytes | None) -> None:
        self.raw: bytes | None = raw
        self.waiting: Final[list[Told]] = []


class RemoteWrites:
    """Of one object. request: sends a write, where it can be sent now."""

    __slots__ = ("_clears", "_next", "_request", "_under_way")

    def __init__(self, request: Callable[[str, SlotWrite], None]) -> None:
        self._request = request
        self._under_way: dict[str, SlotWrite] = {}
        self._next: dict[str, SlotWrite] = {}
        self._clears: list[Told] = []

    def under_way(self, key: str) -> SlotWrite | None:
        """The write of a slot that is not confirmed yet."""
        return self._under_way.get(key)

    def add(self, key: str, raw: bytes | None, told: Told | None = None) -> None:
        """Have a slot set or deleted, as soon as the write under way is answered."""
        if key not in self._under_way:
            write = self._under_way[key] = SlotWrite(raw)
            self._request(key, write)
        else:
            write = self._next.setdefault(key, SlotWrite(raw))
            write.raw = raw
        if told is not None:
            write.waiting.append(told)

    def add_clear(self, told: Told) -> None:
        """All slots are to be deleted: that is sent already, and not repeated."""
        self._clears.append(told)

    def answer(self, key: str, error: RtmpSyncError | None) -> None:
        """The write under way took effect, or did not; the one that waits behind it is next."""
        answered = self._under_way.pop(key)
        following = self._next.pop(key, None)
        if following is not None:
            self._under_way[key] = following
            self._request(key, following)
        _tell(answered.waiting, error)

    def answer_clears(self, error: RtmpSyncError | None) -> None:
        """All slots were deleted, or were not."""
        clears, self._clears = self._clears, []
        _tell(clears, error)

    def abandon(self, key: str, error: RtmpSyncError) -> None:
        """The writes of a slot fail without an answer."""
        for writes in (self._under_way, self._next):
            if key in writes:
                _tell(writes.pop(key).waiting, error)

    def abandon_all(self, error: RtmpSyncError) -> None:
        """Everything fails without an answer."""
        waiting, self._clears = self._clears, []
        for write in [*self._under_way.values(), *self._next.values()]:
            waiting.extend(write.waiting)
        self._under_way.clear()
        self._next.clear()
        _tell(waiting, error)

    def send_again(self) -> None:
        """All that was not confirmed: of each slot only the newest, which counts for all."""
        for key in list(self._under_way):
            newest = self._next.pop(key, None)
            if newest is not None:
                newest.waiting[:0] = self._under_way[key].waiting
                self._under_way[key] = newest
            self._request(key, self._under_way[key])


def _tell(waiting: list[Told], error: RtmpSyncError | None) -> None:
    for told in waiting:
        told(error)
