"""`pause` and `resume`: no automatic decisions for a while."""

from __future__ import annotations

from collections.abc import Sequence

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node
from rtmp_sync.commands.orders import order_anyone

__all__ = ["pause", "resume"]


def pause(nodes: Sequence[Node], *, reason: str, as_json: bool) -> int:
    """Returns 0 once the record says so."""
    answer = order_anyone(nodes, "/pause", {"reason": reason} if reason else {})
    text = "paused: nobody takes over by himself until `rtmp-sync resume`"
    return _tell(answer, text, as_json=as_json)


def resume(nodes: Sequence[Node], *, as_json: bool) -> int:
    """Returns 0 once the record says so."""
    answer = order_anyone(nodes, "/resume", {})
    return _tell(answer, "resumed: takeovers are automatic again", as_json=as_json)


def _tell(answer: dict[str, object], text: str, *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.console().print(text)
    return 0
