"""What a node has done and suffered since its process started: counters that never go down.

Above all the times in which it acknowledged without the peer, and the sequence numbers that
one failure more would have cost: each range is an upper bound.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from rtmp_sync.cluster.actions import Happened

__all__ = ["AloneRange", "Ledger"]

MAX_RANGES = 100  # the last ones; their sum is counted for ever


@dataclass(frozen=True, slots=True)
class AloneRange:
    """Changes first_seq..last_seq of an epoch were acknowledged by one node; empty if
    last_seq < first_seq. `seconds` is how long it served so."""

    epoch: int
    first_seq: int
    last_seq: int
    seconds: float

    @property
    def changes(self) -> int:
        return max(0, self.last_seq - self.first_seq + 1)


class Ledger:
    """`rows` counts the rows of the failover table that acted."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.failovers: Counter[str] = Counter()  # by reason, takeovers by this node
        self.fenced: Counter[str] = Counter()  # by reason
        self.ranges: deque[AloneRange] = deque(maxlen=MAX_RANGES)
        self._past_seconds = 0.0
        self._past_changes = 0
        self._since: float | None = None
        self._now = AloneRange(0, 1, 0, 0.0)

    @property
    def flaps(self) -> int:
        """How often the active origin was in doubt, and answered again."""
        return self.rows["trust-again"]

    def acted(self, row: str) -> None:
        if row:
            self.rows[row] += 1

    def happened(self, event: Happened) -> None:
        self.events[event.event] += 1
        reason = str(event.fields.get("reason", ""))
        if event.event == "failover":
            self.failovers[reason] += 1
        elif event.event == "fenced":
            self.fenced[reason] += 1

    def alone(self, epoch: int, acked: int, head: int, now: float) -> None:
        """Clients are answered without the peer, which has everything up to `acked`."""
        if self._since is None:
            self._since = now
            self._now = AloneRange(epoch, acked + 1, head, 0.0)
        self._now = AloneRange(
            self._now.epoch, self._now.first_seq, head, max(0.0, now - self._since)
        )

    def together(self, head: int, now: float) -> AloneRange | None:
        """They wait for the peer again, or get no answers; the range that this ended, if it
        has Changes."""
        if self._since is None:
            return None
        self.alone(0, 0, max(head, self._now.last_seq), now)
        ended, self._since = self._now, None
        if ended.changes:
            self.ranges.append(ended)
        self._past_seconds += ended.seconds
        self._past_changes += ended.changes
        self._now = AloneRange(0, 1, 0, 0.0)
        return ended if ended.changes else None

    def degraded_seconds(self, now: float) -> float:
        """Time spent serving alone, the present one included."""
        return self._past_seconds + (now - self._since if self._since is not None else 0.0)

    @property
    def alone_changes(self) -> int:
        """Changes acknowledged alone, at most."""
        return self._past_changes + self._now.changes

    @property
    def all_ranges(self) -> list[AloneRange]:
        """The last ones, oldest first, and the one that goes on."""
        return [*self.ranges, self._now] if self._since is not None else list(self.ranges)
