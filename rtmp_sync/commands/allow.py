"""`allow reload` and `allow explain`: who may call what, on the origin that serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node
from rtmp_sync.commands.orders import order, order_anyone

__all__ = ["explain", "reload"]


def reload(nodes: Sequence[Node], *, as_json: bool) -> int:
    """Returns 0 once the new rules are in force, and the other origin has them if it is there."""
    answer = order(nodes, "/allow/reload", {})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.console().print(answer["result"], markup=False)
    return 0


def explain(
    nodes: Sequence[Node], app: str, user_type: str, method: str, *, of_file: bool, as_json: bool
) -> int:
    """Returns 0 when the call is allowed, else 1."""
    asked = {"app": app, "user_type": user_type, "method": method, "file": of_file}
    answer = order_anyone(nodes, "/allow/explain", asked)
    if as_json:
        terminal.print_json(answer)
    else:
        for line in _lines(answer, user_type, method):
            terminal.console().print(line, markup=False)
    return 0 if answer["allowed"] else 1


def _lines(answer: Mapping[str, Any], user_type: str, method: str) -> list[str]:
    said = "allowed" if answer["allowed"] else "refused"
    lines = [f"{user_type!r} {method}: {said}", f"  because   {answer['because']}"]
    if answer["allowed"]:
        taken = ", ".join(answer["arguments"]) or "none"
        lines.append(f"  arguments {taken}")
    for limit in answer["limits"]:
        whose = "each client" if limit["each_client"] else "all clients together"
        rate = f"{limit['per_second']:g} calls/s, {limit['burst']} at once"
        lines.append(f"  rate      {rate}, {whose}, by {limit['of']}")
    return lines
