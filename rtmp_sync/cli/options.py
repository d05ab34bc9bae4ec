"""Options of several commands; those that say which pair: rtmp_sync/commands/pair_options.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ConfigOption",
    "DirectoryOption",
    "DrainOption",
    "JsonOption",
    "MediaOption",
    "OwnConfigOption",
    "YesOption",
]

ConfigOption = Annotated[Path, typer.Option("--config", help="The origin's configuration file.")]
DirectoryOption = Annotated[Path, typer.Option("--dir", help="Folder of a `pair`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to do it.")]
DrainOption = Annotated[
    float | None,
    typer.Option(
        "--drain",
        min=0,
        max=3600,
        metavar="SECONDS",
        help="Seconds that clients get to leave by themselves; else failover.drain_seconds.",
    ),
]
MediaOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--media",
        help="Instead of --dir: a folder of recordings; twice where the origins have no NAS.",
    ),
]
OwnConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Instead of --dir: an origin's configuration.")
]
