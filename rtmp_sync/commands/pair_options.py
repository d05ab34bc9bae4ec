"""The options that say which pair a command is for; the same on every command that talks to one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rtmp_sync.commands.nodes import Node

__all__ = ["PAIR_DIRECTORY", "Nodes", "complete_node", "on_pair"]

PAIR_DIRECTORY = Path("var/pair")

Nodes = Callable[[], "list[Node]"]  # found when the command asks: that reads files


def _options(
    directory: Annotated[Path, typer.Option("--dir", help="Folder of a `pair`.")] = PAIR_DIRECTORY,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            help="Instead of --dir: the configuration of an origin (the other one is found by its "
            "admin.peer), or twice: those of both.",
        ),
    ] = None,
    admin: Annotated[
        list[str] | None,
        typer.Option("--admin", help="Instead of --dir: HOST:PORT of an admin API, once or twice."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="With --admin: admin.user, if not `admin`.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="With --admin: its password.")
    ] = None,
) -> None:
    """Only its parameters matter."""


def on_pair(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command` these options; its first argument finds the nodes that they mean."""

    @functools.wraps(command)
    def with_options(
        *,
        directory: Path,
        config: list[Path] | None,
        admin: list[str] | None,
        user: str | None,
        password_file: Path | None,
        **own: Any,
    ) -> int:
        def nodes() -> list[Node]:
            from rtmp_sync.commands.nodes import locate

            return locate(directory, config or (), admin or (), user, password_file)

        return command(nodes, **own)

    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*_parameters(command)[1:], *_parameters(_options))
    ]
    # What typer reads: as if this function had been written with these parameters.
    vars(with_options)["__signature__"] = inspect.Signature(shown)
    with_options.__annotations__ = {one.name: one.annotation for one in shown}
    del vars(with_options)["__wrapped__"]
    return with_options


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """The pair's node ids, for the shell."""
    from rtmp_sync.commands.nodes import named_nodes

    given = context.params
    directory = Path(given.get("directory") or PAIR_DIRECTORY)
    configs = [Path(config) for config in given.get("config") or ()]
    return [one for one in named_nodes(directory, configs) if one.startswith(incomplete)]
