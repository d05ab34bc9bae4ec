"""Keeps the history readable: what happens over and over is told a few times, then now and then.

The history holds a thousand events. A ping that flaps, or a store that is slow for a night,
must not push out what an operator will look for in the morning.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from rtmp_sync.cluster.actions import Happened

__all__ = ["Restraint"]

AT_ONCE = 30  # of one kind; what repeats itself is of five kinds or so at a time
AGAIN_SECONDS = 300.0  # until one more of that kind may be told


@dataclass(slots=True)
class _Kind:
    left: float
    looked_at: float
    untold: int = 0


class Restraint:
    """A kind is an event of one row of the failover table."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, event: Happened, now: float) -> Happened | None:
        """The event, if it is to be told; `untold` in it: so many like it were not."""
        kind = self._kinds.setdefault((event.event, event.fields.get("row")), _Kind(AT_ONCE, now))
        gained = (now - kind.looked_at) / AGAIN_SECONDS
        kind.left, kind.looked_at = min(AT_ONCE, kind.left + gained), now
        if kind.left < 1:
            kind.untold += 1
            return None
        kind.left -= 1
        untold, kind.untold = kind.untold, 0
        return replace(event, fields={**event.fields, "untold": untold}) if untold else event
