"""`serve`: one origin, under its guard or without."""

from __future__ import annotations

import os
from pathlib import Path

from rtmp_sync.commands import terminal
from rtmp_sync.config import Config, WrongConfig, load_config
from rtmp_sync.server.ports import taken_ports

__all__ = ["serve"]


def serve(path: Path, *, guarded: bool) -> int:
    """Serve until a signal stops it; returns the exit code."""
    config = load_config(path)
    # The coordinator reads the pair file, in a process that may hang with the NAS; this may not.
    for warning in config.check(store=False):
        terminal.print_error(f"warning: {warning}")
    listeners = {
        "rtmp.listen": config.rtmp.listen,
        "admin.listen": config.admin.listen,
        "health.listen": config.health.listen,
    }
    if config.is_pair:
        listeners["replication.listen"] = config.replication.listen
    if taken := taken_ports(listeners):
        raise WrongConfig(taken)
    return _run_guard(config, path) if guarded else _run_origin(config)


def _run_guard(config: Config, path: Path) -> int:
    from rtmp_sync.server.guard import run_guard
    from rtmp_sync.server.log import configure_logging

    configure_logging(node=config.node.id, pid=os.getpid())
    return run_guard(path)


def _run_origin(config: Config) -> int:
    from rtmp_sync.server.log import configure_logging
    from rtmp_sync.server.loop import run
    from rtmp_sync.server.origin import Origin

    configure_logging(node=config.node.id, pid=os.getpid())

    async def main() -> None:
        origin = Origin(config)
        await origin.run()
        if origin.tasks_left:  # asyncio waits without end for what takes no cancellation
            os._exit(0)

    run(main())
    return 0
