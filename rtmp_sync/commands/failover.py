"""`failover --force`: make a standby serve with what it has, when nothing else will."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Look, Node, active, look
from rtmp_sync.commands.orders import ask

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["fail_over"]

OPEN_SECONDS = 15.0  # the wait of a claim, and the opening
LOOK_SECONDS = 0.2


def fail_over(
    nodes: Sequence[Node],
    *,
    to: str | None,
    force: bool,
    accept_data_loss: bool,
    fenced: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Show what would be lost, ask, and have `to` serve (by default the one that has more)."""
    if not force:
        raise terminal.WrongUse(
            "failover takes the service by force, and may lose what was acknowledged: add --force; "
            "when an origin serves, `switchover` loses nothing"
        )
    looks = look(nodes)
    chosen = _choose(looks, to)
    loss = what_it_loses(chosen, looks)
    if not as_json:
        terminal.console(error=True).print(_table(looks, chosen))
        terminal.console(error=True).print(loss["text"], style="bold")
    if not (loss["nothing"] or accept_data_loss):
        raise terminal.CommandFailed(
            f"failover: {chosen.id} may lack what was acknowledged: add --accept-data-loss, or "
            "start the other origin"
        )
    powered_off = " and the other host is powered off" if fenced else ""
    terminal.confirm(f"Have {chosen.id} serve with what it has{powered_off}?", yes=yes)
    content = {"force": True, "accept_data_loss": accept_data_loss, "fenced": fenced}
    with terminal.progress("failover", quiet=as_json) as tell:
        tell(f"{chosen.id} takes the service")
        answer = ask(chosen.node, "/failover", content)
        _until_it_serves(chosen.node)
    answer["lost"] = loss
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.console().print(answer["result"], markup=False)
    return 0


def _choose(looks: Sequence[Look], to: str | None) -> Look:
    serving = active(looks)
    if serving is not None:
        raise terminal.CommandFailed(f"failover: {serving.id} serves: use `rtmp-sync switchover`")
    if to is not None:
        found = next((one for one in looks if one.id == to), None)
        if found is None:
            known = ", ".join(one.id for one in looks if one.id) or "none"
            raise terminal.WrongUse(f"--to {to}: no such node; known: {known}")
        if found.status is None:
            raise terminal.CommandFailed(f"failover: {to}: {found.error}")
        return found
    answering = [one for one in looks if one.status is not None]
    if not answering:
        raise terminal.CommandFailed(f"failover: {'; '.join(one.error for one in looks)}")
    return max(answering, key=_position)


def _position(one: Look) -> tuple[int, int]:
    assert one.status is not None  # of one that answered
    return int(one.status["epoch"]), int(one.status["seq"])


def what_it_loses(chosen: Look, looks: Sequence[Look]) -> dict[str, Any]:
    """{"nothing": bool, "changes": at least so many, or None when unknown, "text"}."""
    status = chosen.status
    assert status is not None  # it was chosen because it answered
    if status["complete"]:
        text = f"{chosen.id} is recorded in sync: it has everything that was acknowledged."
        return {"nothing": True, "changes": 0, "text": text}
    seq, heads = int(status["seq"]), [status["peer"].get("head_seq")]
    heads += [other.status["seq"] for other in looks if other.status and other.id != chosen.id]
    known = [int(head) for head in heads if head is not None]
    if not known:
        text = f"Nobody knows how much {chosen.id} lacks: it never heard of the other origin."
        return {"nothing": False, "changes": None, "text": text}
    missing = max(0, max(known) - seq)
    text = (
        f"{chosen.id} has Changes up to {seq}; of the other origin Changes up to {max(known)} are "
        f"known: {missing} would be lost, and whatever it acknowledged after its last word."
    )
    return {"nothing": False, "changes": missing, "text": text}


def _table(looks: Sequence[Look], chosen: Look) -> Table:
    table = terminal.table("", "", *(one.id or str(one.node.admin) for one in looks))
    for name, fact in _FACTS.items():
        cells = [str(fact(one.status)) if one.status is not None else "-" for one in looks]
        table.add_row(name, *cells)
    table.add_row("would serve", *("yes" if one is chosen else "" for one in looks))
    return table


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _age(milliseconds: float | None) -> str:
    return "never" if milliseconds is None else f"{milliseconds / 1000:.1f} s ago"


def _until_it_serves(node: Node) -> None:
    deadline = time.monotonic() + OPEN_SECONDS
    while active(look([node])) is None:
        if time.monotonic() > deadline:
            raise terminal.CommandFailed(
                f"failover: {node.id} does not serve after {OPEN_SECONDS:.0f} s: "
                "see `rtmp-sync status`"
            )
        time.sleep(LOOK_SECONDS)


_FACTS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "state": lambda status: status["state"],
    "epoch": lambda status: status["epoch"],
    "last Change here": lambda status: status["seq"],
    "behind by": lambda status: f"{status['lag']['changes']} Changes",
    "last Change heard of the other": lambda status: _or_dash(status["peer"].get("head_seq")),
    "heard of the other": lambda status: _age(status["peer"].get("heartbeat_age_ms")),
    "has all, by the record": lambda status: "yes" if status["complete"] else "no",
    "recorded holder": lambda status: status["holder"],
}
