"""`reload` and `unload`: new code for an application, the end of its instances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, Unreachable
from rtmp_sync.commands.orders import order

__all__ = ["reload", "unload"]

FOLLOW_SECONDS = 15.0  # for the other origin to have read its own file
LOOK_SECONDS = 0.1


def reload(nodes: Sequence[Node], which: str, *, as_json: bool) -> int:
    """Returns 0 once the new code is in use, on the other origin too if it is there; 1 when that
    one has other code."""
    answer = order(nodes, "/reload", _asked(which))
    if answer["number"]:
        app = which.partition("/")[0]
        answer["others"] = {
            str(theirs["id"]): _followed(theirs, app)
            for node in nodes
            if (theirs := _look(node, app, answer))["id"] != answer["id"]
        }
    others: dict[str, str] = answer.get("others", {})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.console().print(f"{answer['id']}: {answer['result']}", markup=False)
        for name, said in others.items():
            terminal.console().print(f"{name}: {said or 'has the same code'}", markup=False)
    return 1 if any(others.values()) else 0


def unload(nodes: Sequence[Node], which: str, *, as_json: bool) -> int:
    """Returns 0 once the instances have ended."""
    answer = order(nodes, "/unload", _asked(which))
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.console().print(answer["result"], markup=False)
    return 0


def _asked(which: str) -> dict[str, str]:
    app, _, instance = which.strip("/").partition("/")
    return {"app": app, "instance": instance}


def _look(node: Node, app: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What a node says of its code, once it has followed: {"id", "applications", "error"?}."""
    deadline = time.monotonic() + FOLLOW_SECONDS
    while True:
        try:
            theirs: dict[str, Any] = node.get("/applications")
        except Unreachable as error:
            return {"id": node.id or str(node.admin), "error": f"is away: {error}"}
        there = theirs["applications"].get(app)
        if theirs["id"] == answer["id"] or there is None or there["number"] >= answer["number"]:
            return theirs
        if time.monotonic() > deadline:
            return {"id": theirs["id"], "error": f"has not followed within {FOLLOW_SECONDS:.0f} s"}
        time.sleep(LOOK_SECONDS)


def _followed(theirs: dict[str, Any], app: str) -> str:
    """What is wrong there, "" for nothing."""
    if "error" in theirs:
        return str(theirs["error"])
    there = theirs["applications"].get(app)
    return str(there["trouble"]) if there is not None else "has no such application"
