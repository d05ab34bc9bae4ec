"""The command line: names and options. What a command does is in rtmp_sync/commands.

A file is a part of the help. Exit codes: 0 done, 1 failed, 2 wrong use or configuration. An error
is a line on stderr. Heavy modules are imported by the command that needs them, so that all of them
start fast.
"""

from __future__ import annotations

import sys

import typer

# In the order in which the help shows them.
from rtmp_sync.cli import running, looking, caring, moving, allow, config  # isort: skip
from rtmp_sync.cli.top_level import DONE, FAILED, WRONG, app
from rtmp_sync.errors import ConfigError, RtmpSyncError

__all__ = ["PARTS", "main", "run"]

PARTS = (running, looking, caring, moving, allow, config)  # imported, they are in `app`

# click's own base of "wrong use", wherever this version of typer keeps click.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


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
