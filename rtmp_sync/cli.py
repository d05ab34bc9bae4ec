"""The command line: names and options. What a command does is in rtmp_sync/commands.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration. An error is a line on stderr.
Heavy modules are imported by the command that needs them, so that all of them start fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rtmp_sync.errors import ConfigError, RtmpSyncError

__all__ = ["app", "main"]

DONE, FAILED, WRONG = 0, 1, 2

app = typer.Typer(
    name="rtmp-sync",
    help="An RTMP origin application server that runs as a redundant pair.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
config_app = typer.Typer(help="Check a configuration; print the reference.", no_args_is_help=True)
app.add_typer(config_app, name="config")

# click's own base of "wrong use", wherever this version of typer keeps click.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

ConfigOption = Annotated[Path, typer.Option("--config", help="The origin's configuration file.")]
DirectoryOption = Annotated[Path, typer.Option("--dir", help="Folder of a `pair`.")]
SomeConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Configuration of one origin, instead of --dir.")
]
AdminOption = Annotated[
    str | None, typer.Option("--admin", help="HOST:PORT of an admin API, instead of --dir.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

PAIR_DIRECTORY = Path("var/pair")


@app.command()
def serve(
    config: ConfigOption,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Without the guard process, as under systemd.")
    ] = False,
) -> int:
    """Run one origin under its guard."""
    from rtmp_sync.commands.serve import serve as run

    return run(config, guarded=not no_guard)


@app.command()
def pair(
    directory: DirectoryOption = PAIR_DIRECTORY,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65503, help="RTMP port of the front door.")
    ] = 1935,
    apps: Annotated[Path | None, typer.Option("--apps", help="Folder of the applications.")] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Run the drill once the pair is up, then serve on.")
    ] = False,
) -> int:
    """Run a complete pair on this machine: two origins, their pair file, a front door."""
    from rtmp_sync.commands.pair import run_pair

    return run_pair(directory, port=port, apps=apps, drill=drill)


@app.command()
def drill(
    directory: DirectoryOption = PAIR_DIRECTORY,
    writers: Annotated[int, typer.Option("--writers", min=1, help="Clients that write.")] = 8,
    as_json: JsonOption = False,
) -> int:
    """Kill the active origin of a running pair under load; show the gap and the losses."""
    from rtmp_sync.commands.drill import run_drill

    return run_drill(directory, writers=writers, as_json=as_json)


@app.command()
def status(
    directory: DirectoryOption = PAIR_DIRECTORY,
    config: SomeConfigOption = None,
    admin: AdminOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Every second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Show what each origin says of itself. Exit code 0 when one serves."""
    from rtmp_sync.commands.nodes import locate
    from rtmp_sync.commands.status import show_status

    return show_status(locate(directory, config, admin), watch=watch, as_json=as_json)


@app.command()
def history(
    directory: DirectoryOption = PAIR_DIRECTORY,
    config: SomeConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what happened on each origin, oldest first."""
    from rtmp_sync.commands.history import show_history
    from rtmp_sync.commands.nodes import locate

    return show_history(locate(directory, config, None), as_json=as_json)


@app.command()
def failback(
    directory: DirectoryOption = PAIR_DIRECTORY,
    config: SomeConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Return the service to the first node of the pair file, losing nothing."""
    from rtmp_sync.commands.failback import fail_back
    from rtmp_sync.commands.nodes import locate

    return fail_back(locate(directory, config, None), as_json=as_json)


@config_app.command("check")
def config_check(config: ConfigOption, as_json: JsonOption = False) -> int:
    """Say what is wrong with a configuration."""
    from rtmp_sync.commands.check_config import check_config

    return check_config(config, as_json=as_json)


app.command("check-config", help="The same as `config check`.")(config_check)


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
    from rtmp_sync.commands.terminal import CommandFailed, print_error

    try:
        result = app(arguments, prog_name="rtmp-sync", standalone_mode=False)
    except ConfigError as error:
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
