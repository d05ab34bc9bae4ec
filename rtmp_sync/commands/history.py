"""`history`: what happened on each origin, oldest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, Unreachable

__all__ = ["details", "show_history"]

FOLLOW_SECONDS = 1.0

Event = dict[str, Any]


def show_history(nodes: Sequence[Node], *, follow: bool, as_json: bool) -> int:
    """Print it once, or what comes until Ctrl-C. Returns 1 when no node answered."""
    events, errors = _ask(nodes)
    for error in errors:
        terminal.print_error(error)
    if follow:
        return _follow(nodes, events, as_json=as_json)
    if as_json:
        terminal.print_json({"events": events})
    else:
        table = terminal.table("", "at", "node", "event", "details")
        for event in events:
            table.add_row(*_cells(event))
        terminal.console().print(table)
    return 1 if len(errors) == len(nodes) else 0


def _follow(nodes: Sequence[Node], events: list[Event], *, as_json: bool) -> int:
    """A line for each event. A node that does not answer is asked again."""
    shown: set[tuple[str, str, float]] = set()
    try:
        while True:
            for event in events:
                key = (event["node"], str(event.get("at")), float(event.get("clock", 0)))
                if key in shown:
                    continue
                shown.add(key)
                if as_json:
                    terminal.print_json(event)
                else:
                    terminal.console().print("  ".join(_cells(event)), soft_wrap=True)
            time.sleep(FOLLOW_SECONDS)
            events, _ = _ask(nodes)
    except KeyboardInterrupt:
        return 0


def _ask(nodes: Sequence[Node]) -> tuple[list[Event], list[str]]:
    """(events of all nodes by time, errors)."""
    events, errors = [], []
    for node in nodes:
        try:
            answer = node.get("/history")
        except Unreachable as unreachable:
            errors.append(str(unreachable))
            continue
        events += [{"node": answer["id"], **event} for event in answer["events"]]
    return sorted(events, key=lambda event: str(event.get("at", ""))), errors


def _cells(event: Event) -> tuple[str, ...]:
    """Some of it is in the words of who gave an order: no markup, and nothing but characters."""
    cells = (str(event.get("at", "")), event["node"], event["event"], details(event))
    return tuple(escape(_printable(cell)) for cell in cells)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def details(event: Event) -> str:
    """Its own fields: `reason=hung steps: noticed 3 ms, claimed 9 ms`."""
    known = {"at", "clock", "node", "event"}
    return " ".join(_field(key, value) for key, value in event.items() if key not in known)


def _field(key: str, value: object) -> str:
    if key == "steps" and isinstance(value, dict):
        return "steps: " + ", ".join(f"{name} {ms} ms" for name, ms in value.items())
    return f"{key}={value}"
