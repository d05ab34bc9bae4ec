"""Move the service: with consent of both origins, or by force."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmp_sync.cli.options import DrainOption, JsonOption, YesOption
from rtmp_sync.cli.top_level import MOVE, command
from rtmp_sync.commands.pair_options import Nodes, complete_node, on_pair


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
