"""`failback`: give the service back to the first node of the pair file, as planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, Unreachable

__all__ = ["fail_back"]

TIMEOUT_SECONDS = 60.0  # draining takes as long as it is configured to


def fail_back(nodes: Sequence[Node], *, as_json: bool) -> int:
    """Ask the active origin; returns 0 when the service has moved, else 1."""
    status, answer = _active(nodes).request("POST", "/failback", timeout=TIMEOUT_SECONDS)
    if as_json:
        terminal.print_json(answer)
    elif status == 200:
        terminal.console().print(_text(answer))
    else:
        raise terminal.CommandFailed(f"failback: {_text(answer)}")
    return 0 if status == 200 else 1


def _active(nodes: Sequence[Node]) -> Node:
    """The node that serves; the only one when just one is known, whatever it is."""
    if len(nodes) == 1:
        return nodes[0]
    for node in nodes:
        try:
            if node.get("/status")["role"] == "active":
                return node
        except Unreachable:
            continue
    raise terminal.CommandFailed("failback: no origin of this pair is active")


def _text(answer: Any) -> str:
    if isinstance(answer, dict):
        return str(answer.get("error") or answer.get("result") or answer)
    return str(answer)
