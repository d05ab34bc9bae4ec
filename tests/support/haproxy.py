"""HAProxy with the sample configuration as it is, in front of a pair: only addresses are given."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .pair import ROOT, Node, Overdue, now, within
from .programs import require
from .single import free_ports

SAMPLE = ROOT / "docs" / "samples" / "haproxy.cfg"


@dataclass(frozen=True, slots=True)
class Server:
    """One origin as HAProxy sees it. sessions: how many were ever sent there."""

    up: bool
    sessions: int
    current: int


async def servers(stats_socket: Path) -> dict[str, Server]:
    """What an HAProxy says of its backend `origins`. Raises OSError while it does not run."""
    reader, writer = await asyncio.open_unix_connection(str(stats_socket))
    writer.write(b"show stat origins 4 -1\n")
    answer = (await reader.read()).decode()
    writer.close()
    rows = csv.DictReader(answer.lstrip("# ").splitlines())
    return {
        row["svname"]: Server(row["status"].startswith("UP"), int(row["stot"]), int(row["scur"]))
        for row in rows
    }


class Haproxy:
    """`with Haproxy(nodes, folder) as front:` clients connect to `front.address`, browsers to
    `front.http` if the nodes have a port for them.

    fast: the sample's numbers for the fast profile. proxy: it tells the origins who its clients
    are. source: the address that it has for the origins, when they must tell it from others.
    """

    def __init__(
        self,
        nodes: list[Node],
        folder: Path,
        *,
        fast: bool = False,
        proxy: bool = False,
        source: str | None = None,
    ) -> None:
        self.address, self.http = (f"127.0.0.1:{port}" for port in free_ports(2))
        self._output = folder / "haproxy.txt"
        self._socket = folder / "haproxy.sock"
        environment = {"RTMP_LISTEN": self.address, "STATS_SOCKET": str(self._socket)}
        if all(node.http for node in nodes):
            environment["HTTP_LISTEN"] = self.http
        for node in nodes:
            environment[f"ORIGIN_{node.id}"] = node.rtmp
            environment[f"ORIGIN_{node.id}_HTTP"] = node.http
            environment[f"ORIGIN_{node.id}_HEALTH_PORT"] = node.health.rpartition(":")[2]
        if fast:
            environment["FAST_PROFILE"] = "1"
        if proxy:
            environment["SEND_PROXY"] = "1"
        if source is not None:
            environment["SOURCE"] = source
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Haproxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Run it; returns when it listens."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [require("haproxy"), "-db", "-f", str(SAMPLE)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = now() + 10
        while not self._socket.exists():
            if self._process.poll() is not None or now() > deadline:
                self.stop()
                raise Overdue(f"haproxy does not run\n{self.logs()}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)

    def logs(self) -> str:
        return self._output.read_text(errors="replace")

    async def servers(self) -> dict[str, Server]:
        """Both origins, by the name that the sample gives them."""
        return await servers(self._socket)

    async def leads_to(self, node: Node, *, seconds: float = 15.0) -> None:
        """Wait until it sends clients to `node`, and to no other."""

        async def only_this_one() -> bool:
            servers = await self.servers()
            return [name for name, server in servers.items() if server.up] == [node.id]

        await within(seconds, f"haproxy leads to {node.id} alone", only_this_one)
