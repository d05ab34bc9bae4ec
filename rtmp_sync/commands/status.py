"""`status`: what each origin of the pair says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rtmp_sync.admin.remedies import remedy
from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Node, look

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

__all__ = ["show_status"]

REFRESH_SECONDS = 1.0

Status = dict[str, Any]


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


def _ask(nodes: Sequence[Node]) -> list[Status]:
    return [one.as_json() for one in look(nodes)]


def _tables(answers: Sequence[Status]) -> Group:
    """A column for each origin, then what alarms them and what moved the service last: fits a
    narrow terminal."""
    from rich.console import Group

    table = terminal.table("", "", *(str(answer["id"]) for answer in answers))
    for name, fact in _FACTS.items():
        cells = ["-" if "error" in answer else fact(answer) for answer in answers]
        table.add_row(name, *cells)
    return Group(table, *_stopping(answers), *_alarms(answers), *_last_move(answers))


def _stopping(answers: Sequence[Status]) -> Iterator[Text]:
    """Who was told to stop and still serves clients."""
    from rich.text import Text

    for answer in answers:
        if stopping := answer.get("stopping"):
            text = f"{stopping['clients']}, {stopping['seconds']:.0f} s at most"
            yield Text(f"{answer['id']}: stopping: clients still here: {text}", style="yellow")


def _alarms(answers: Sequence[Status]) -> Iterator[Text]:
    """What is wrong, and what to do about it."""
    from rich.text import Text

    for answer in answers:
        alarms = {"unreachable": answer["error"]} if "error" in answer else answer["alarms"]
        for name, meaning in alarms.items():
            yield Text(f"{answer['id']}: {name}: {meaning}", style="yellow")
            if what_to_do := remedy(name):
                yield Text(f"   -> {what_to_do}", style="dim")


def _last_move(answers: Sequence[Status]) -> Iterator[Text]:
    """The newest of all nodes."""
    from rich.text import Text

    moves = [
        {"node": answer["id"], **move}
        for answer in answers
        for move in answer.get("last_moves", ())[:1]
    ]
    if not moves:
        return
    last = max(moves, key=lambda move: str(move["at"]))
    way = f" {last['from']} -> {last['to']}" if last.get("from") and last.get("to") else ""
    reason = f" ({last['reason']})" if last.get("reason") else ""
    yield Text(f"last: {last['at'][:19]}Z {last['node']}: {last['event']}{way}{reason}")
    if steps := last.get("steps"):
        text = ", ".join(f"{name} {milliseconds} ms" for name, milliseconds in steps.items())
        yield Text(f"   {text}", style="dim")


def _role(answer: Status) -> str:
    role = answer["role"]
    colour = {"active": "green", "standby": "cyan"}.get(role, "yellow")
    return f"[{colour}]{role}[/{colour}]"


def _gate(answer: Status) -> str:
    gate = str(answer["gate"])
    return f"[green]{gate}[/green]" if gate == "open" else gate


def _in_sync(answer: Status) -> str:
    """Of the active one that nobody follows this is the thing to see."""
    if answer["sync"]:
        return ", ".join(answer["sync"])
    return "[yellow]nobody[/yellow]" if answer["role"] == "active" else "nobody"


def _lag(answer: Status) -> str:
    lag = answer["lag"]
    text = f"{lag['changes']} Changes, {lag['ms']:.0f} ms"
    return f"[yellow]{text}[/yellow]" if lag["ms"] > 1000 else text


def _peer(answer: Status) -> str:
    peer = answer["peer"]
    link = peer["link"] if peer["link"] != "down" else "[yellow]down[/yellow]"
    return f"{peer['id'] or '-'} {peer['state'] or ''}, link {link}"


_FACTS: dict[str, Callable[[Status], str]] = {
    "role": _role,
    "state": lambda answer: str(answer["state"]),
    "gate": _gate,
    "epoch": lambda answer: str(answer["epoch"]),
    "seq": lambda answer: str(answer["seq"]),
    "in sync": _in_sync,
    "lag": _lag,
    "other origin": _peer,
    "codec": lambda answer: str(answer["codec"]),
    "clients": lambda answer: str(answer["clients"]),
    "instances": lambda answer: str(answer["instances"]),
}
