"""What commands print and ask: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "CommandFailed",
    "WrongUse",
    "confirm",
    "console",
    "print_error",
    "print_json",
    "progress",
    "table",
    "wait_for_enter",
]

PLAIN_WIDTH = 240  # columns when nobody looks: no line of ours is cut or wrapped


class CommandFailed(Exception):
    """The command did not do what it should: one line for stderr, exit code 1."""


class WrongUse(Exception):
    """The command was called in a way that cannot work: one line for stderr, exit code 2."""


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


def confirm(question: str, *, yes: bool, instead: str = "--yes") -> None:
    """Return when the operator agrees. Raises CommandFailed if not, and WrongUse when there is
    nobody to ask: `instead` is the option that answers."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUse(f"nobody is there to be asked ({question}): add {instead}")
    console(error=True).print(f"{question} [y/N] ", end="", style="bold yellow")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was done")


def wait_for_enter(text: str, *, instead: str) -> None:
    """Return when Enter was pressed. Raises WrongUse when nobody can press it."""
    if not sys.stdin.isatty():
        raise WrongUse(f"nobody is there to press Enter: add {instead}")
    console(error=True).print(f"{text} ", end="", style="bold")
    if not sys.stdin.readline():
        raise CommandFailed("the terminal was closed")


@contextlib.contextmanager
def progress(name: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Tells what is going on, on stderr: a line for each step, the last one with a sign of life
    on a terminal. quiet: tells nothing."""
    if quiet:
        yield lambda text: None
        return
    printed = console(error=True)
    if not sys.stderr.isatty():
        yield lambda text: printed.print(f"{name}: {text}")
        return
    with printed.status(f"{name}: …") as status:

        def tell(text: str) -> None:
            printed.print(f"{name}: {text}")
            status.update(f"{name}: {text} …")

        yield tell
