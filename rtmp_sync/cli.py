"""The command line: names and options. What a command does is in rtmp_sync/commands.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration. An error is a line on stderr.
Heavy modules are imported by the command that needs them, so that all of them start fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rtmp_sync.commands.pair_options import PAIR_DIRECTORY, Nodes, complete_node, on_pair
from rtmp_sync.errors import ConfigError, RtmpSyncError

__all__ = ["app", "main"]

DONE, FAILED, WRONG = 0, 1, 2

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong use or configuration."

app = typer.Typer(
    name="rtmp-sync",
    help="An RTMP origin application server that runs as a redundant pair.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
config_app = typer.Typer(
    help="Check a configuration; print the reference; repair the store.", no_args_is_help=True
)
app.add_typer(config_app, name="config")

RUN, LOOK, MOVE, CARE = "Run", "Look", "Move the service", "Care for the pair"

allow_app = typer.Typer(
    help="Who may call what: explain the rules in force, reload them.", no_args_is_help=True
)
app.add_typer(allow_app, name="allow", rich_help_panel=CARE)


def command(panel: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A command of the top level, in that part of the help."""
    return app.command(rich_help_panel=panel, epilog=EXIT_CODES)


# click's own base of "wrong use", wherever this version of typer keeps click.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

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


@command(MOVE)
@on_pair
def switchover(nodes: Nodes, drain: DrainOption = None, as_json: JsonOption = False) -> int:
    """Give the service to the other origin, losing nothing."""
    from rtmp_sync.commands.switchover import switch_over

    return switch_over(nodes(), drain_seconds=drain, as_json=as_json)


@command(MOVE)
@on_pair
def drain(
    nodes: Nodes,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, max=3600, help="How long clients have to leave.")
    ] = 30.0,
    as_json: JsonOption = False,
) -> int:
    """Ask clients to leave, let nobody new in, wait, then give the service to the other origin."""
    from rtmp_sync.commands.switchover import drain as run

    return run(nodes(), seconds=seconds, as_json=as_json)


@command(MOVE)
@on_pair
def failback(nodes: Nodes, drain: DrainOption = None, as_json: JsonOption = False) -> int:
    """Return the service to the first node of the pair, losing nothing."""
    from rtmp_sync.commands.failback import fail_back

    return fail_back(nodes(), drain_seconds=drain, as_json=as_json)


@command(MOVE)
@on_pair
def failover(
    nodes: Nodes,
    force: Annotated[
        bool, typer.Option("--force", help="Needed: nothing else is done here.")
    ] = False,
    accept_data_loss: Annotated[
        bool,
        typer.Option(
            "--accept-data-loss", help="Also with a copy that may lack what was acknowledged."
        ),
    ] = False,
    fenced: Annotated[
        bool,
        typer.Option(
            "--fenced",
            help="You vouch that the other host is powered off: also without the store.",
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="NODE",
            autocompletion=complete_node,
            help="The node that is to serve; else the one that has more.",
        ),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Have an origin serve by force when none does. Shows what would be lost, then asks."""
    from rtmp_sync.commands.failover import fail_over

    return fail_over(
        nodes(),
        to=to,
        force=force,
        accept_data_loss=accept_data_loss,
        fenced=fenced,
        yes=yes,
        as_json=as_json,
    )


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


@allow_app.command("reload", epilog=EXIT_CODES)
@on_pair
def allow_reload(nodes: Nodes, as_json: JsonOption = False) -> int:
    """Read the whitelist files again. Done once the other origin has the new rules, too."""
    from rtmp_sync.commands.allow import reload

    return reload(nodes(), as_json=as_json)


@allow_app.command("explain", epilog="Exit codes: 0 allowed, 1 refused, 2 wrong use.")
@on_pair
def allow_explain(
    nodes: Nodes,
    application: Annotated[str, typer.Argument(metavar="APP", help="Name of the application.")],
    user_type: Annotated[str, typer.Argument(metavar="USERTYPE", help='A user type; "" is none.')],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="As clients call it.")],
    of_file: Annotated[
        bool, typer.Option("--file", help="By the file as it is now, before a reload.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Say whether a call is allowed, by which rule, with which arguments and how often."""
    from rtmp_sync.commands.allow import explain

    return explain(nodes(), application, user_type, method, of_file=of_file, as_json=as_json)


@config_app.command("check", epilog=EXIT_CODES)
def config_check(config: ConfigOption, as_json: JsonOption = False) -> int:
    """Say what is wrong with a configuration."""
    from rtmp_sync.commands.check_config import check_config

    return check_config(config, as_json=as_json)


app.command(
    "check-config", help="The same as `config check`.", rich_help_panel=LOOK, epilog=EXIT_CODES
)(config_check)


@config_app.command("repair", epilog=EXIT_CODES)
@on_pair
def config_repair(nodes: Nodes, yes: YesOption = False, as_json: JsonOption = False) -> int:
    """Mend the pair file and its records. Shows what is wrong and what it would do, then asks."""
    from rtmp_sync.commands.repair_config import repair_config

    return repair_config(nodes(), yes=yes, as_json=as_json)


@config_app.command("reference")
def config_reference() -> int:
    """Print docs/configuration.md."""
    from rtmp_sync.config_reference import reference

    typer.echo(reference(), nl=False)
    return DONE


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    from rtmp_sync.commands.terminal import CommandFailed, WrongUse, print_error

    try:
        result = app(arguments, prog_name="rtmp-sync", standalone_mode=False)
    except (ConfigError, WrongUse) as error:
        print_error(str(error))
        return WRONG
    except (CommandFailed, RtmpSyncError) as error:
        print_error(str(error))
        return FAILED
    except _UsageError as error:
        message = getattr(error, "format_message", error.__str__)()
        if message:  # none after the help of `no_args_is_help`
            print_error(f"{message} Try `rtmp-sync --help`.")
        return WRONG
    except typer.Abort:
        return FAILED
    except KeyboardInterrupt:
        return 130  # the shell's number for SIGINT
    return result if isinstance(result, int) else DONE
