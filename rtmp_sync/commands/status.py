"""`status`: what each origin of the pair says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, Unreachable

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["show_status"]

REFRESH_SECONDS = 1.0


def show_status(nodes: Sequence[Node], *, watch: bool, as_json: bool) -> int:
    """Print it once, or every second until Ctrl-C. Returns 0 when one origin serves, else 1."""
    if watch:
        return _watch(nodes, as_json=as_json)
    answers = _ask(nodes)
    if as_json:
        terminal.print_json({"nodes": answers})
    else:
        terminal.console().print(_tables(answers))
    serving = [answer for answer in answers if answer.get("role") == "active"]
    return 0 if len(serving) == 1 else 1


def _watch(nodes: Sequence[Node], *, as_json: bool) -> int:
    from rich.live import Live

    console = terminal.console()
    try:
        if as_json or not console.is_terminal:
            while True:
                answers = _ask(nodes)
                if as_json:
                    terminal.print_json({"nodes": answers})
                else:
                    console.print(_tables(answers))
                time.sleep(REFRESH_SECONDS)
        with Live(_tables(_ask(nodes)), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(_tables(_ask(nodes)), refresh=True)
    except KeyboardInterrupt:
        return 0


def _ask(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Every node's /status, or {"id", "error"}; asked at once, since a dead one takes long."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(_status, nodes))


def _status(node: Node) -> dict[str, Any]:
    try:
        answer = node.get("/status")
    except Unreachable as error:
        return {"id": node.id, "error": str(error)}
    return answer if isinstance(answer, dict) else {"id": node.id, "error": "not a status"}


def _tables(answers: Sequence[dict[str, Any]]) -> Group:
    """A column for each origin, then what alarms them: fits a narrow terminal."""
    from rich.console import Group
    from rich.text import Text

    table = terminal.table("", "", *(str(answer["id"]) for answer in answers))
    for name, fact in _FACTS.items():
        cells = ["-" if "error" in answer else fact(answer) for answer in answers]
        table.add_row(name, *cells)
    notes = []
    for answer in answers:
        alarms = {"unreachable": answer["error"]} if "error" in answer else answer["alarms"]
        notes += [Text(f"{answer['id']}: {key}: {alarms[key]}", style="yellow") for key in alarms]
    return Group(table, *notes)


def _role(answer: dict[str, Any]) -> str:
    role = answer["role"]
    colour = {"active": "green", "standby": "cyan"}.get(role, "yellow")
    return f"[{colour}]{role}[/{colour}]"


def _lag(answer: dict[str, Any]) -> str:
    lag = answer["lag"]
    return f"{lag['changes']} Changes, {lag['ms']:.0f} ms"


def _peer(answer: dict[str, Any]) -> str:
    peer = answer["peer"]
    return f"{peer['id'] or '-'} {peer['state'] or ''}, link {peer['link']}"


_FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "role": _role,
    "state": lambda answer: str(answer["state"]),
    "gate": lambda answer: str(answer["gate"]),
    "epoch": lambda answer: str(answer["epoch"]),
    "seq": lambda answer: str(answer["seq"]),
    "in sync": lambda answer: ", ".join(answer["sync"]) or "-",
    "lag": _lag,
    "other origin": _peer,
    "codec": lambda answer: str(answer["codec"]),
    "clients": lambda answer: str(answer["clients"]),
    "instances": lambda answer: str(answer["instances"]),
}
