"""What commands print: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["CommandFailed", "console", "print_error", "print_json", "table"]

PLAIN_WIDTH = 240  # columns when nobody looks: no line of ours is cut or wrapped


class CommandFailed(Exception):
    """The command did not do what it should: one line for stderr, exit code 1."""


def console(*, error: bool = False) -> Console:
    """stdout (or stderr): colours and boxes on a terminal only; NO_COLOR is respected."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    if stream.isatty():
        return Console(stderr=error, highlight=False)
    return Console(stderr=error, highlight=False, width=PLAIN_WIDTH, color_system=None)


def table(title: str, *columns: str) -> Table:
    """An empty table; ruled on a terminal, plain columns otherwise."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.ROUNDED if sys.stdout.isatty() else None,
        header_style="bold",
        pad_edge=False,
    )
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_json(value: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """A line on stderr, red where that is wanted."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(f"\033[31m{text}\033[0m\n" if colour else f"{text}\n")
