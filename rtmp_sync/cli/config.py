"""`config`: its check, what it says, its reference, the repair of the store."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmp_sync.cli.options import ConfigOption, JsonOption, YesOption
from rtmp_sync.cli.top_level import DONE, EXIT_CODES, LOOK, app
from rtmp_sync.commands.pair_options import Nodes, on_pair

config_app = typer.Typer(
    help="Check or show a configuration; print the reference; repair the store.",
    no_args_is_help=True,
)
app.add_typer(config_app, name="config")


@config_app.command("check", epilog=EXIT_CODES)
def config_check(config: ConfigOption, as_json: JsonOption = False) -> int:
    """Say what is wrong with a configuration."""
    from rtmp_sync.commands.check_config import check_config

    return check_config(config, as_json=as_json)


app.command(
    "check-config", help="The same as `config check`.", rich_help_panel=LOOK, epilog=EXIT_CODES
)(config_check)


@config_app.command("show", epilog=EXIT_CODES)
def config_show(
    config: ConfigOption,
    with_defaults: Annotated[
        bool, typer.Option("--all", help="Also what the file does not say: the defaults.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Print what an origin goes by: the file with its environment laid over it."""
    from rtmp_sync.commands.show_config import show_config

    return show_config(config, with_defaults=with_defaults, as_json=as_json)


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
