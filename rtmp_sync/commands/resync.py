"""`resync`: the standby throws its copy away and takes a whole new one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Look, Node, active, look
from rtmp_sync.commands.orders import order

__all__ = ["resync"]

COPY_SECONDS = 600.0
LOOK_SECONDS = 0.5
QUESTION = "Until the new copy is complete no origin can take over. Make it?"


def resync(nodes: Sequence[Node], *, yes: bool, as_json: bool) -> int:
    """Returns 0 when the new copy is complete, as far as the standby can be asked."""
    terminal.confirm(QUESTION, yes=yes)
    copies = {one.id: _copies(one) for one in look(nodes)}
    with terminal.progress("resync", quiet=as_json) as tell:
        answer = order(nodes, "/resync", {})
        tell(str(answer["result"]))
        if len(nodes) > 1:
            started, told = time.monotonic(), ""
            while not _complete(looks := look(nodes), copies):
                if (states := _states(looks)) != told:
                    tell(states)
                    told = states
                if time.monotonic() - started > COPY_SECONDS:
                    raise terminal.CommandFailed(
                        f"resync: the copy is not complete after {COPY_SECONDS:.0f} s: "
                        "see `rtmp-sync status`"
                    )
                time.sleep(LOOK_SECONDS)
            answer["seconds"] = round(time.monotonic() - started, 3)
            answer["complete"] = True
    if as_json:
        terminal.print_json(answer)
    elif len(nodes) > 1:
        terminal.console().print(f"in sync again after {answer['seconds']:.1f} s")
    return 0


def _states(looks: Sequence[Look]) -> str:
    """How far it is: `A ACTIVE, B SYNCING`."""
    return ", ".join(f"{one.id} {one.status['state'] if one.status else 'silent'}" for one in looks)


def _copies(one: Look) -> int:
    """Whole copies that it sent or received."""
    link = one.status.get("replication") if one.status is not None else None
    return int(link["full_resyncs"]) if link else 0


def _complete(looks: Sequence[Look], copies: dict[str, int]) -> bool:
    """The standby has a copy more than before, and the active one counts on it."""
    serving = active(looks)
    if serving is None or serving.status is None:
        return False
    return any(
        one.id in serving.status["sync"] and _copies(one) > copies.get(one.id, 0)
        for one in looks
        if one is not serving
    )
