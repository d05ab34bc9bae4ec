"""Look: what is, what was, what is recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmp_sync.cli.options import DirectoryOption, JsonOption, MediaOption, OwnConfigOption
from rtmp_sync.cli.top_level import LOOK, command
from rtmp_sync.commands.pair_options import PAIR_DIRECTORY, Nodes, on_pair


@command(LOOK)
@on_pair
def status(
    nodes: Nodes,
    watch: Annotated[bool, typer.Option("--watch", help="Every second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Show what each origin says of itself. Exit code 0 when one serves, else 1."""
    from rtmp_sync.commands.status import show_status

    return show_status(nodes(), watch=watch, as_json=as_json)


@command(LOOK)
@on_pair
def history(
    nodes: Nodes,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Show what happened on each origin, oldest first."""
    from rtmp_sync.commands.history import show_history

    return show_history(nodes(), follow=follow, as_json=as_json)


@command(LOOK)
def recordings(
    directory: DirectoryOption = PAIR_DIRECTORY,
    config: OwnConfigOption = None,
    media: MediaOption = None,
    as_json: JsonOption = False,
) -> int:
    """List what is recorded, with its gaps and with what is not here."""
    from rtmp_sync.commands.recordings import find_media, show_recordings

    return show_recordings(find_media(directory, config, media or ()), as_json=as_json)
