"""Run: an origin, a pair, a drill; a configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rtmp_sync.cli.options import ConfigOption, DirectoryOption, JsonOption
from rtmp_sync.cli.top_level import RUN, command
from rtmp_sync.commands.pair_options import PAIR_DIRECTORY


@command(RUN)
def serve(
    config: ConfigOption,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Without the guard process, as under systemd.")
    ] = False,
) -> int:
    """Run one origin under its guard."""
    from rtmp_sync.commands.serve import serve as run

    return run(config, guarded=not no_guard)


@command(RUN)
def pair(
    directory: DirectoryOption = PAIR_DIRECTORY,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65503, help="RTMP port of the front door.")
    ] = 1935,
    http_port: Annotated[
        int | None,
        typer.Option("--http-port", min=1, max=65533, help="Its port for browsers, if any."),
    ] = None,
    apps: Annotated[Path | None, typer.Option("--apps", help="Folder of the applications.")] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Run the drill once the pair is up, then serve on.")
    ] = False,
) -> int:
    """Run a complete pair on this machine: two origins, their pair file, a front door."""
    from rtmp_sync.commands.pair import run_pair

    return run_pair(directory, port=port, http_port=http_port, apps=apps, drill=drill)


@command(RUN)
def drill(
    directory: DirectoryOption = PAIR_DIRECTORY,
    writers: Annotated[int, typer.Option("--writers", min=1, help="Clients that write.")] = 8,
    as_json: JsonOption = False,
) -> int:
    """Kill the active origin of a running pair under load; show the gap and the losses."""
    from rtmp_sync.commands.drill import run_drill

    return run_drill(directory, writers=writers, as_json=as_json)


@command(RUN)
def import_fms(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="`conf` of an FMS or AMS.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help='The file to write; "-" is stdout.')
    ] = Path("origin.toml"),
    vhost: Annotated[
        str | None, typer.Option("--vhost", metavar="ADAPTOR/VHOST", help="If not the default one.")
    ] = None,
    node_id: Annotated[str, typer.Option("--id", help="node.id of the new origin.")] = "A",
    force: Annotated[bool, typer.Option("--force", help="Also over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write a configuration from that of Flash Media Server or Adobe Media Server.

    What has no counterpart here becomes a comment, with the reason.
    """
    from rtmp_sync.commands.import_fms import import_fms as run

    return run(folder, output, vhost=vhost, node_id=node_id, force=force, as_json=as_json)
