"""How long each step of a failover or a switchover took, as the history tells it."""

from __future__ import annotations

__all__ = ["steps_ms"]


def steps_ms(began: float, **ended: float) -> dict[str, int]:
    """Step -> whole milliseconds since the one before it; `ended` in their order, seconds."""
    steps, before = {}, began
    for name, at in ended.items():
        steps[name] = round(max(0.0, at - before) * 1000)
        before = max(before, at)
    return steps
