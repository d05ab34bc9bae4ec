"""What operators order, sent to the origin that can do it.

    POST /switchover, /drain, /failback, /failover, /pause, /resume, /resync  ->
        {"id", "done", "result", "report"?, "ask"?}

A planned move of the service is over when the other origin serves: only that one's history has
the last step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Look, Node, Unreachable, active, look

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["move", "order", "order_anyone", "report_table", "run_move"]

ANSWER_SECONDS = 60.0  # beside the time that clients are given to leave
OPEN_SECONDS = 10.0  # for the other origin to serve
LOOK_SECONDS = 0.2

Answer = dict[str, Any]


def order(
    nodes: Sequence[Node], path: str, content: Mapping[str, object], *, seconds: float = 0.0
) -> Answer:
    """Have the origin that serves do it; its answer. seconds: more that it may take.

    Raises CommandFailed when nobody serves, or when it was not done.
    """
    looks = look(nodes)
    serving = active(looks)
    if serving is None and len(looks) > 1:
        raise terminal.CommandFailed(f"{path[1:]}: no origin of this pair serves{_why(looks)}")
    # The only one known may know who serves.
    return _ask((serving or looks[0]).node, nodes, path, content, seconds)


def order_anyone(nodes: Sequence[Node], path: str, content: Mapping[str, object]) -> Answer:
    """The same of the origin that serves, or of any that answers."""
    looks = look(nodes)
    chosen = active(looks) or next((one for one in looks if one.status is not None), None)
    if chosen is None:
        raise terminal.CommandFailed(f"{path[1:]}: no origin answers{_why(looks)}")
    return _ask(chosen.node, nodes, path, content, 0.0)


def ask(node: Node, path: str, content: Mapping[str, object], *, seconds: float = 0.0) -> Answer:
    """Have this very origin do it. Raises CommandFailed when it did not."""
    return _ask(node, (), path, content, seconds)


def _ask(
    node: Node, others: Sequence[Node], path: str, content: Mapping[str, object], seconds: float
) -> Answer:
    try:
        status, answer = node.request("POST", path, content, timeout=ANSWER_SECONDS + seconds)
    except Unreachable as error:
        raise terminal.CommandFailed(f"{path[1:]}: {error}") from None
    if status == 200 and isinstance(answer, dict):
        return answer
    said = answer if isinstance(answer, dict) else {"error": str(answer)}
    text = str(said.get("result") or said.get("error") or status)
    for other in look(others) if said.get("ask") and others else ():
        if other.id == said["ask"] and other.id != node.id:  # the service moved meanwhile
            return _ask(other.node, (), path, content, seconds)
    raise terminal.CommandFailed(f"{path[1:]}: {text}")


def _why(looks: Sequence[Look]) -> str:
    states = [
        f"{one.id or one.node.admin} {one.status['state'] if one.status else 'does not answer'}"
        for one in looks
    ]
    return f" ({', '.join(states)})"


# -- moving the service ------------------------------------------------------------------------


def run_move(
    nodes: Sequence[Node],
    path: str,
    content: Mapping[str, object],
    *,
    seconds: float = 0.0,
    as_json: bool,
) -> int:
    """A whole command that moves the service: order, wait, report. Returns 0."""
    with terminal.progress(path[1:], quiet=as_json) as tell:
        answer = move(nodes, path, content, seconds=seconds, tell=tell)
    if as_json:
        terminal.print_json(answer)
        return 0
    terminal.console().print(answer["result"], markup=False)
    if report := answer.get("report"):
        terminal.console().print(report_table(report))
        terminal.console().print(f"writes were held for {report['pause_ms']} ms")
    return 0


def move(
    nodes: Sequence[Node],
    path: str,
    content: Mapping[str, object],
    *,
    seconds: float = 0.0,
    tell: Callable[[str], None],
) -> Answer:
    """Order it, tell how the clients leave, and wait until the other origin serves.

    The answer's report: {"from", "to", "epoch", "reason", "pause_ms", "steps": {name: ms}, …}.
    """
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(order, nodes, path, content, seconds=seconds)
        told = -1
        while True:
            try:
                answer = asked.result(timeout=1.0)
                break
            except FutureTimeout:
                now_there = active(look(nodes))
                clients = now_there.status["clients"] if now_there and now_there.status else told
                if clients != told:
                    tell(f"{clients} clients are still there")
                    told = clients
    report = answer.get("report")
    if not report:
        return answer  # nothing had to move
    if len(nodes) > 1:
        steps = _opening(_served_by(nodes, path[1:], str(report["to"])), int(report["epoch"]))
        report["steps"] = {**report["steps"], **steps}
        # The opening's steps count from when the other origin noticed that it is to serve.
        report["pause_ms"] = report["pause_ms"] + sum(steps.values())
    return answer


def _served_by(nodes: Sequence[Node], name: str, to: str) -> Node:
    """The node `to`, once it serves. Raises CommandFailed when it does not."""
    deadline = time.monotonic() + OPEN_SECONDS
    while True:
        looks = look(nodes)
        serving = active(looks)
        if serving is not None and serving.id == to:
            return serving.node
        if serving is not None and time.monotonic() > deadline:
            raise terminal.CommandFailed(
                f"{name}: {to} was given the service and did not open; {serving.id} serves again: "
                "see `rtmp-sync history`"
            )
        if time.monotonic() > deadline:
            raise terminal.CommandFailed(
                f"{name}: {to} was given the service and does not serve{_why(looks)}: "
                "see `rtmp-sync status`"
            )
        time.sleep(LOOK_SECONDS)


def _opening(node: Node, epoch: int) -> dict[str, int]:
    """The steps in which it began to serve in that epoch."""
    try:
        events = node.get("/history")["events"]
    except Unreachable:
        return {}
    for event in reversed(events):
        if event["event"] == "failover" and event.get("epoch") == epoch:
            return dict(event.get("steps", {}))
    return {}


def report_table(report: Mapping[str, Any]) -> Table:
    """The steps with their milliseconds."""
    table = terminal.table("", "step", "ms")
    for name, milliseconds in report.get("steps", {}).items():
        table.add_row(str(name).replace("_", " "), f"{milliseconds:8.0f}")
    return table
