"""`maintenance NODE`: take one origin out of the pair and bring it back, without an outage.

    it serves?  -> planned switchover      stop it      (work)      start it
    -> wait until it is in sync again      --return: give the service back

The other origin serves meanwhile, alone: nothing takes over from it. So nothing is stopped
unless that one could be seen to serve.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.node_process import ByHand, NodeProcess, OfPair, OfSystemd
from rtmp_sync.commands.nodes import Look, Node, Unreachable, active, look
from rtmp_sync.commands.orders import move

__all__ = ["maintain"]

LOOK_SECONDS = 0.2


def maintain(
    nodes: Sequence[Node],
    node_id: str,
    *,
    restart: bool,
    give_back: bool,
    unit: str | None,
    drain_seconds: float | None,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Returns 0 when the node is in sync again, and serves again if it did and is to."""
    looks = look(nodes)
    mine, other = _pair_of(looks, node_id)
    process = _process(mine.node, unit)
    process.check()
    if not restart and not sys.stdin.isatty():
        raise terminal.WrongUse(
            "nobody is there to press Enter when the work is done: add --restart"
        )
    served = mine.role == "active"
    _must_be_whole(looks, mine, other, served)
    report: dict[str, Any] = {"node": mine.id, "served": served}
    with ExitStack() as shown:
        clock = _Clock(report)
        tell = shown.enter_context(terminal.progress("maintenance", quiet=as_json))
        if served:
            tell(f"{other.id} takes the service")
            report["switchover"] = _move(nodes, other.id, drain_seconds, tell)
            clock.note("switched")
        tell(f"stopping {mine.id}; {other.id} serves alone")
        try:
            process.stop()
            clock.note("stopped")
            if not restart:
                shown.pop_all().close()  # the prompt has the terminal for itself
                terminal.wait_for_enter(
                    f"{mine.id} is stopped, {other.id} serves. Press Enter when the work is done.",
                    instead="--restart",
                )
                clock.note("worked")
                tell = shown.enter_context(terminal.progress("maintenance", quiet=as_json))
            tell(f"starting {mine.id}")
            process.start()
        except BaseException:
            terminal.print_error(
                f"maintenance: {mine.id} is not running; the same command with --restart starts it"
            )
            raise
        _until_in_sync(nodes, mine.id, other.id, wait_seconds, tell)
        clock.note("in_sync")
        if served and give_back:
            tell(f"{mine.id} takes the service back")
            report["return"] = _move(nodes, mine.id, drain_seconds, tell)
            clock.note("returned")
    _tell(report, other.id, as_json=as_json)
    return 0


class _Clock:
    """Notes in the report how long each part took."""

    def __init__(self, report: dict[str, Any]) -> None:
        self._steps: dict[str, int] = report.setdefault("steps", {})
        self._since = time.monotonic()

    def note(self, step: str) -> None:
        now = time.monotonic()
        self._steps[step] = round((now - self._since) * 1000)
        self._since = now


def _pair_of(looks: Sequence[Look], node_id: str) -> tuple[Look, Look]:
    """The node meant, and the other one."""
    mine = next((one for one in looks if one.id.casefold() == node_id.casefold()), None)
    if mine is None:
        known = ", ".join(one.id for one in looks if one.id) or "none"
        raise terminal.WrongUse(f"no node {node_id!r} here; known: {known}")
    others = [one for one in looks if one is not mine]
    if not others:
        raise terminal.WrongUse(
            f"only {mine.id} is known: the other origin must be seen to serve. Give its --config "
            "or --admin too, or set admin.peer"
        )
    return mine, others[0]


def _process(node: Node, unit: str | None) -> NodeProcess:
    if unit is not None:
        return OfSystemd(unit)
    return OfPair(node, node.folder) if node.folder is not None else ByHand(node)


def _must_be_whole(looks: Sequence[Look], mine: Look, other: Look, served: bool) -> None:
    """Without the node the other one must serve, now or after a switchover."""
    if other.status is None:
        raise terminal.CommandFailed(
            f"maintenance: {other.id or 'the other origin'}: {other.error}"
        )
    if served:
        if mine.status is not None and other.id not in mine.status["sync"]:
            raise terminal.CommandFailed(
                f"maintenance: {mine.id} serves and {other.id} is {other.status['state']}, not in "
                "sync: nobody could serve meanwhile"
            )
        return
    serving = active(looks)
    if serving is None or serving.id != other.id:
        raise terminal.CommandFailed(f"maintenance: {other.id} does not serve: nobody would")


def _move(
    nodes: Sequence[Node], to: str, drain_seconds: float | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    content: dict[str, object] = {"to": to}
    if drain_seconds is not None:
        content["drain_seconds"] = drain_seconds
    answer = move(nodes, "/switchover", content, seconds=drain_seconds or 0.0, tell=tell)
    return dict(answer.get("report") or {})


def _until_in_sync(
    nodes: Sequence[Node], mine: str, other: str, seconds: float, tell: Callable[[str], None]
) -> None:
    """The one that serves counts on the node again, and that could take over at once."""
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        looks = look(nodes)
        found, serving = next((one for one in looks if one.id == mine), None), active(looks)
        listed = serving is not None and serving.status and mine in serving.status["sync"]
        if found is not None and listed and _could_take_over(found):
            return
        said = found.status["state"] if found is not None and found.status else "silent"
        if said != told:
            tell(f"waiting until {mine} is in sync: it is {said}")
            told = said
        if time.monotonic() > deadline:
            raise terminal.CommandFailed(
                f"maintenance: {mine} is {said} after {seconds:.0f} s; {other} serves. "
                "Look at its log, then at `rtmp-sync status`"
            )
        time.sleep(LOOK_SECONDS)


def _could_take_over(standby: Look) -> bool:
    """As a load balancer is told; by a paused pair nobody is told so."""
    if standby.status is None or standby.status["state"] != "READY":
        return False
    try:
        status, _ = standby.node.request("GET", "/health/standby")
    except Unreachable:
        return False
    return status == 200 or bool(standby.status["paused"])


def _tell(report: dict[str, Any], other: str, *, as_json: bool) -> None:
    returned = "return" in report
    report["serves"] = report["node"] if returned else other
    if as_json:
        terminal.print_json(report)
        return
    table = terminal.table("", "step", "ms")
    for name, milliseconds in report["steps"].items():
        table.add_row(name.replace("_", " "), f"{milliseconds:10,}")
    console = terminal.console()
    console.print(table)
    console.print(f"{report['node']} is maintained and in sync; {report['serves']} serves")
    if report["served"] and not returned:
        console.print("It served before: `rtmp-sync switchover` gives the service back.")
