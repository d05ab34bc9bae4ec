"""Time passes for a value: every instant in it moves back, as far as any rule looks back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.model.tokens import Instant, field_names, rebuilt

__all__ = ["aged"]

# Ticks after which it is all one how long ago an instant was, by the name of what holds it; of a
# name that is not here, the longest. Instants to come (until, again) are over at once.
LONG_AGO: Final = 8.0
MEMORY: Final[Mapping[str, float]] = {
    **dict.fromkeys(("hold_again_at", "switch_again_at", "write_again_at", "retry_at"), 0.0),
    **dict.fromkeys(("promised_until", "open_at", "_confirmed", "_vouched", "stalled_at"), 0.0),
    # what nobody asks for here: without `cold_start_alone`, and for people only
    **dict.fromkeys(("alone_since", "answered_at", "_asked_at"), 0.0),
    "_link_at": 0.0,  # until the first sign of life on a link, which comes with it
    "since": 2.0,
    "started_at": 6.0,  # the hold-off, and the patience with a better copy
    "beat_changed_at": 4.0,
    **dict.fromkeys(("read_started", "at", "_ran_at"), 3.0),
    **dict.fromkeys(("prepared_at", "closing_at", "sent_at", "_waiting"), 2.0),
    **dict.fromkeys(("landed_at", "unknown_since"), 4.0),
    **dict.fromkeys(("_peer_heard_at", "heartbeat_at"), 4.0),  # a lease
    "_record_at": 1.0,
    "started": 4.0,  # a read
}


def aged(
    value: Any, seconds: float, names: Mapping[type, tuple[str, ...]], holder: str = ""
) -> Any:
    """names: of the values of a frozen thing, which is a tuple that begins with its type."""
    kind = type(value)
    if kind is Instant:
        return Instant(max(float(value) - seconds, -MEMORY.get(holder, LONG_AGO)))
    if kind is tuple:
        fields = names.get(value[0]) if value and isinstance(value[0], type) else None
        holders = (holder, *fields) if fields is not None else (holder,) * len(value)
        children = value
    else:
        known = field_names(kind)
        if known is None:
            return value
        holders = known
        children = tuple(getattr(value, name) for name in known)
    older = [aged(child, seconds, names, of) for child, of in zip(children, holders, strict=True)]
    same = all(new is old for new, old in zip(older, children, strict=True))
    return value if same else rebuilt(value, older)
