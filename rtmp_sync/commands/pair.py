"""`pair`: a complete pair on this machine, shown as a table once it serves."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path

from rtmp_sync.commands import terminal
from rtmp_sync.server.loop import run
from rtmp_sync.server.pair import Pair, applications_folder
from rtmp_sync.server.pair_directory import PairDirectory

__all__ = ["run_pair"]


def run_pair(
    path: Path, *, port: int, http_port: int | None, apps: Path | None, drill: bool
) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code."""
    folder = applications_folder(apps)
    directory = PairDirectory(path, port=port, apps=folder, http_port=http_port)
    console = terminal.console()
    console.print(f"starting a pair in {directory.path}")

    async def ready() -> None:
        console.print(_table(directory))
        if drill:
            await _drill(directory.path)
        console.print(f"serving on rtmp://{directory.front} until Ctrl-C")

    def tell(news: str) -> None:
        console.print(f"{datetime.now():%H:%M:%S} {news}")

    async def main() -> int:
        pair = Pair(directory, on_ready=ready, on_news=tell)
        return await pair.run()

    return run(main())


def _table(directory: PairDirectory) -> object:
    nodes = directory.nodes
    table = terminal.table(f"front door rtmp://{directory.front}", "", *(one.id for one in nodes))
    table.add_row("rtmp", *(f"rtmp://{node.rtmp}" for node in nodes))
    table.add_row("replication", *(str(node.replication) for node in nodes))
    table.add_row("admin", *(f"http://{node.admin}" for node in nodes))
    table.add_row("health", *(f"http://{node.health}" for node in nodes))
    if directory.front_http is not None:
        table.add_row(f"browsers http://{directory.front_http}", *(str(one.http) for one in nodes))
    table.add_row("log", *(str(node.log) for node in nodes))
    return table


async def _drill(path: Path) -> None:
    """As its own process: it must not share a loop with the front door that it measures."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtmp_sync", "drill", "--dir", str(path))
    )
    try:
        await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise
