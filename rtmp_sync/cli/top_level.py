"""The commands of the top level, in the parts of their help."""

from __future__ import annotations

from collections.abc import Callable

import typer

__all__ = ["CARE", "DONE", "EXIT_CODES", "FAILED", "LOOK", "MOVE", "RUN", "WRONG", "app", "command"]

DONE, FAILED, WRONG = 0, 1, 2

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong use or configuration."

RUN, LOOK, MOVE, CARE = "Run", "Look", "Move the service", "Care for the pair"

app = typer.Typer(
    name="rtmp-sync",
    help="An RTMP origin application server that runs as a redundant pair.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def command(panel: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A command of the top level, in that part of the help."""
    return app.command(rich_help_panel=panel, epilog=EXIT_CODES)
