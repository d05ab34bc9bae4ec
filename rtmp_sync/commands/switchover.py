"""`switchover` and `drain`: give the service to the other origin, as planned."""

from __future__ import annotations

from collections.abc import Sequence

from rtmp_sync.commands.nodes import Node
from rtmp_sync.commands.orders import run_move

__all__ = ["drain", "switch_over"]

DRAIN_SECONDS = 30.0


def switch_over(nodes: Sequence[Node], *, drain_seconds: float | None, as_json: bool) -> int:
    """Returns 0 when the other origin serves. drain_seconds: None: as configured."""
    content = {} if drain_seconds is None else {"drain_seconds": drain_seconds}
    seconds = drain_seconds or 0.0
    return run_move(nodes, "/switchover", content, seconds=seconds, as_json=as_json)


def drain(nodes: Sequence[Node], *, seconds: float, as_json: bool) -> int:
    """The same, after clients had `seconds` to leave by themselves."""
    content = {"drain_seconds": seconds}
    return run_move(nodes, "/drain", content, seconds=seconds, as_json=as_json)
