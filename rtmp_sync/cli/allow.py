"""`allow`: who may call what."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmp_sync.cli.options import JsonOption
from rtmp_sync.cli.top_level import CARE, EXIT_CODES, app
from rtmp_sync.commands.pair_options import Nodes, on_pair

allow_app = typer.Typer(
    help="Who may call what: explain the rules in force, reload them.", no_args_is_help=True
)
app.add_typer(allow_app, name="allow", rich_help_panel=CARE)


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
