"""Care for the pair and for what it keeps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rtmp_sync.cli.options import (
    DirectoryOption,
    DrainOption,
    JsonOption,
    MediaOption,
    OwnConfigOption,
    YesOption,
)
from rtmp_sync.cli.top_level import CARE, command
from rtmp_sync.commands.pair_options import PAIR_DIRECTORY, Nodes, complete_node, on_pair


@command(CARE)
def export(
    recording: Annotated[
        str,
        typer.Argument(help="APP/INSTANCE/NAME or APP/NAME, or a .rec folder or .flv file."),
    ],
    file: Annotated[
        Path, typer.Argument(help="What to make: .flv, or .mp4 and others through ffmpeg.")
    ],
    directory: DirectoryOption = PAIR_DIRECTORY,
    config: OwnConfigOption = None,
    media: MediaOption = None,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Seconds, M:SS or H:MM:SS.")
    ] = "0",
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="The same.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Make one file of a recording, without encoding it again."""
    from rtmp_sync.commands.export import Span, parse_time
    from rtmp_sync.commands.export import export as run
    from rtmp_sync.commands.recordings import find_media

    span = Span(parse_time(begin), parse_time(end) if end is not None else None)
    folders = partial(find_media, directory, config, media or ())
    return run(recording, file, folders, span, force=force, as_json=as_json)


@command(CARE)
@on_pair
def pause(
    nodes: Nodes,
    reason: Annotated[str, typer.Option("--reason", help="For the history.")] = "",
    as_json: JsonOption = False,
) -> int:
    """Switch automatic takeovers off until `resume`. Whoever serves goes on."""
    from rtmp_sync.commands.pause import pause as run

    return run(nodes(), reason=reason, as_json=as_json)


@command(CARE)
@on_pair
def resume(nodes: Nodes, as_json: JsonOption = False) -> int:
    """Switch automatic takeovers on again."""
    from rtmp_sync.commands.pause import resume as run

    return run(nodes(), as_json=as_json)


@command(CARE)
@on_pair
def resync(nodes: Nodes, yes: YesOption = False, as_json: JsonOption = False) -> int:
    """Have the standby take a whole new copy. Meanwhile nothing can take over."""
    from rtmp_sync.commands.resync import resync as run

    return run(nodes(), yes=yes, as_json=as_json)


@command(CARE)
@on_pair
def maintenance(
    nodes: Nodes,
    node: Annotated[
        str,
        typer.Argument(metavar="NODE", autocompletion=complete_node, help="The node's id."),
    ],
    restart: Annotated[
        bool, typer.Option("--restart", help="Start it again at once, instead of at Enter.")
    ] = False,
    give_back: Annotated[
        bool, typer.Option("--return", help="Then give it the service back, if it served.")
    ] = False,
    unit: Annotated[
        str | None,
        typer.Option("--unit", help="Its systemd unit, on this machine; not needed with --dir."),
    ] = None,
    drain: DrainOption = None,
    wait: Annotated[
        float, typer.Option("--wait", min=1, help="Seconds that it has to get in sync again.")
    ] = 300.0,
    as_json: JsonOption = False,
) -> int:
    """Stop one origin for maintenance and bring it back, without an outage.

    Moves the service away if NODE serves, stops NODE, waits for Enter (or --restart), starts it
    and waits until it is in sync again.
    """
    from rtmp_sync.commands.maintenance import maintain

    return maintain(
        nodes(),
        node,
        restart=restart,
        give_back=give_back,
        unit=unit,
        drain_seconds=drain,
        wait_seconds=wait,
        as_json=as_json,
    )


WhichArgument = Annotated[
    str, typer.Argument(metavar="APP[/INSTANCE]", help="Without INSTANCE: all that run.")
]


@command(CARE)
@on_pair
def reload(nodes: Nodes, which: WhichArgument, as_json: JsonOption = False) -> int:
    """Read the file of an application again, on both origins.

    Clients stay if the new class has `on_reload`; else they are told to go and come again. A file
    that is wrong changes nothing.
    """
    from rtmp_sync.commands.reload import reload as run

    return run(nodes(), which, as_json=as_json)


@command(CARE)
@on_pair
def unload(nodes: Nodes, which: WhichArgument, as_json: JsonOption = False) -> int:
    """Disconnect the clients of an application, and end its instances."""
    from rtmp_sync.commands.reload import unload as run

    return run(nodes(), which, as_json=as_json)
