"""`config repair`: mend the pair file and the records of the pair, as far as that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rtmp_sync.commands import terminal
from rtmp_sync.commands.nodes import Look, Node, active, look
from rtmp_sync.config import Config, load_config
from rtmp_sync.coordinators.file_repair import Copy, FileRepair, Plan, copies_from
from rtmp_sync.errors import StoreError
from rtmp_sync.server.pair_directory import pair_config

__all__ = ["repair_config"]


def repair_config(nodes: Sequence[Node], *, yes: bool, as_json: bool) -> int:
    """Returns 0 when all is well or was mended, 1 when something must be done before."""
    looks = look(nodes)
    config = _config(looks)
    return asyncio.run(_repair(config, _copies(looks), yes=yes, as_json=as_json))


async def _repair(config: Config, copies: Sequence[Copy], *, yes: bool, as_json: bool) -> int:
    assert config.failover.pair_file is not None  # _config sees to it
    repair = FileRepair(config.failover.pair_file, config.node.id)
    try:
        plan = await repair.look(copies)
        if not as_json:
            _show(plan)
        if plan.is_needed:
            terminal.confirm("Do that?", yes=yes)
            await repair.carry_out(plan)
    except StoreError as error:
        raise terminal.CommandFailed(f"config repair: {error}") from None
    finally:
        await repair.close()
    obstacle = bool(plan.steps) and not plan.is_needed
    if as_json:
        content = {"found": plan.found, "steps": plan.steps, "done": plan.is_needed}
        terminal.print_json(content)
    elif plan.is_needed:
        terminal.console().print("done")
    elif not obstacle:
        terminal.console().print("nothing is to be mended")
    return 1 if obstacle else 0


def _show(plan: Plan) -> None:
    console = terminal.console()
    for sentence in plan.found:
        console.print(f"found: {sentence}", soft_wrap=True)
    for step in plan.steps:
        console.print(f"to do: {step}", soft_wrap=True)


def _config(looks: Sequence[Look]) -> Config:
    """Of the node that serves, or of the first one: it signs what is written."""
    known = [one for one in looks if one.node.config is not None]
    if not known:
        raise terminal.WrongUse("config repair: the pair file is told by --config or --dir")
    serving = active(known)
    node = (serving or known[0]).node
    path = node.config
    assert path is not None  # of those that are known
    config = pair_config(path) if node.folder is not None else load_config(path)
    if config.failover.pair_file is None or config.coordinator != "file":
        raise terminal.WrongUse(
            f"config repair: {path} has no failover.pair_file: there is nothing to mend "
            f"(coordinator {config.coordinator})"
        )
    return config


def _copies(looks: Sequence[Look]) -> list[Copy]:
    """Each node's own word, else what the other one says of it."""
    copies: dict[str, Copy] = {}
    for one in looks:
        if one.status is None:
            continue
        own, *heard = copies_from(one.status)
        copies[own.node] = own
        for copy in heard:
            copies.setdefault(copy.node, copy)
    return list(copies.values())
