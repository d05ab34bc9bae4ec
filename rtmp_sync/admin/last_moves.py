"""When the service last moved, and what that took: from an origin's history, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["last_moves"]

MOVES: Final = frozenset(
    {"began", "failover", "fenced", "reclaimed", "switchover", "switchover_aborted"}
)
KEPT: Final = 5
_FIELDS: Final = ("at", "event", "from", "to", "epoch", "reason", "steps")


def last_moves(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last few, newest first: {"at", "event"} and what there is of "from", "to", "epoch",
    "reason" and "steps" ({name: milliseconds})."""
    moves = [event for event in events if event.get("event") in MOVES][-KEPT:]
    return [{key: move[key] for key in _FIELDS if key in move} for move in reversed(moves)]
