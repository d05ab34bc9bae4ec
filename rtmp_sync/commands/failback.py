"""`failback`: give the service back to the first node of the pair file, as planned."""

from __future__ import annotations

from collections.abc import Sequence

from rtmp_sync.commands.nodes import Node
from rtmp_sync.commands.orders import run_move

__all__ = ["fail_back"]


def fail_back(nodes: Sequence[Node], *, drain_seconds: float | None, as_json: bool) -> int:
    """Ask the active origin; returns 0 when the first node serves."""
    content = {} if drain_seconds is None else {"drain_seconds": drain_seconds}
    seconds = drain_seconds or 0.0
    return run_move(nodes, "/failback", content, seconds=seconds, as_json=as_json)
