"""Notices that the peer's acknowledgements have stopped while Changes wait for them."""

from __future__ import annotations

__all__ = ["AckWatch"]


class AckWatch:
    """Late is: the oldest unacknowledged Change has waited for longer than the time-out."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._waiting: tuple[int, float] | None = None  # (acked, since when it stands there)

    def look(self, head: int, acked: int, sent_at: float | None, now: float) -> bool:
        """Whether it is late. sent_at: when the oldest unacknowledged one was sent, if the link
        knows; a peer that was sent nothing acknowledges nothing, and is late all the same."""
        if head <= acked:
            self._waiting = None
            return False
        if self._waiting is None or self._waiting[0] != acked:
            self._waiting = (acked, now)
        since = self._waiting[1]
        if sent_at is not None:
            since = min(since, sent_at)
        return now - since > self._timeout_seconds

    def due(self) -> float | None:
        """When to look again at the latest."""
        return self._waiting[1] + self._timeout_seconds if self._waiting is not None else None

    def restart(self) -> None:
        """The link began or ended: count anew."""
        self._waiting = None
