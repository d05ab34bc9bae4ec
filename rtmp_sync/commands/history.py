"""`history`: what happened on each origin, oldest first."""

from __future__ import annotations

from collections.abc import Sequence

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, Unreachable

__all__ = ["show_history"]


def show_history(nodes: Sequence[Node], *, as_json: bool) -> int:
    """Returns 1 when no node answered."""
    events, errors = [], []
    for node in nodes:
        try:
            answer = node.get("/history")
        except Unreachable as unreachable:
            errors.append(str(unreachable))
            continue
        events += [{"node": answer["id"], **event} for event in answer["events"]]
    for error in errors:
        terminal.print_error(error)
    events.sort(key=lambda event: str(event.get("at", "")))
    if as_json:
        terminal.print_json({"events": events})
    else:
        table = terminal.table("", "at", "node", "event", "details")
        for event in events:
            known = {"at", "node", "event"}
            details = " ".join(f"{key}={event[key]}" for key in event if key not in known)
            table.add_row(str(event.get("at", "")), event["node"], event["event"], details)
        terminal.console().print(table)
    return 1 if len(errors) == len(nodes) else 0
