"""`drill`: what a takeover costs, measured on a running pair."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtmp_sync.commands import terminal
from rtmp_sync.server.drill import Drill, DrillReport
from rtmp_sync.server.log import configure_logging
from rtmp_sync.server.loop import run

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["run_drill"]


def run_drill(directory: Path, *, writers: int, as_json: bool) -> int:
    """Returns 0 when nothing acknowledged was lost, seen and gone, or done twice; else 1."""

    async def main(tell: Callable[[str], None]) -> DrillReport:
        return await Drill(directory, writers=writers, tell=tell).run()

    configure_logging(logging.WARNING)  # that clients lose connections is the point
    with terminal.progress("drill") as tell:
        report = run(main(tell))
    if as_json:
        terminal.print_json(report.as_json())
    else:
        terminal.console().print(_table(report))
    return 0 if report.good else 1


def _table(report: DrillReport) -> Table:
    table = terminal.table(f"drill: {report.killed} killed, {report.active} took over", "", "")
    table.show_header = False
    table.add_row("gap per client", _ms(report.gap_median_ms, "median"))
    table.add_row("", _ms(report.gap_ms, f"worst of {report.writers}"))
    for at, event in report.steps:
        table.add_row("takeover", f"{at:8.0f} ms  {event}")
    table.add_row("pair whole again", _ms(report.whole_again_ms, f"{report.killed} is standby"))
    table.add_row("acknowledged updates", f"{report.acknowledged:8,}")
    table.add_row("acknowledged updates lost", _must_be_zero(report.lost))
    table.add_row("seen and vanished", _must_be_zero(report.vanished))
    table.add_row("duplicates", _must_be_zero(report.duplicates))
    table.add_row("verdict", "[green]good[/green]" if report.good else "[red]failed[/red]")
    return table


def _ms(value: float, what: str) -> str:
    return f"{value:8.0f} ms  {what}"


def _must_be_zero(count: int) -> str:
    colour = "red" if count else "green"
    return f"[{colour}]{count:8,}[/{colour}]"
