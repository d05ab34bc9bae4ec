"""Two origins of a pair in processes of their own, on this machine, in one replication mode."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

from tests.support.single import free_ports

APPLICATION = '''
import asyncio
import os

from rtmp_sync import Application, Client, allow


class Store(Application):
    """Anybody may set slots; `fill` makes a large state at once."""

    public_types = frozenset({"Writer"})

    @allow("Writer")
    async def fill(self, client: Client, objects: float, slots: float, size: float) -> float:
        for number in range(int(objects)):
            held = self.shared_object(f"filled{number}", persistent=True)
            for index in range(int(slots)):
                held[f"slot{index}"] = os.urandom(int(size) // 2).hex()
                if index % 64 == 63:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
        return objects * slots
'''


class Node:
    """One origin's process; `start` again after `kill` is another life of the same node."""

    def __init__(self, name: str, folder: Path, config: str, rtmp: int, admin: int) -> None:
        self.name = name
        self.rtmp = rtmp
        self.admin = admin
        self.trace = folder / "trace"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "config.toml").write_text(config)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "bench.peers.pair_node"]
        command += [str(self._folder / "config.toml"), str(self.trace)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, sign: int) -> None:
        os.kill(self.pid, sign)

    def status(self) -> dict[str, Any]:
        """/status; {} while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.admin}/status", timeout=2) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except OSError:
            return {}

    def facts(self) -> list[list[str]]:
        """What the process noted since it was last asked; begins, or ends, noting batches."""
        self.trace.unlink(missing_ok=True)
        self.signal(signal.SIGUSR1)
        wait_for(self.trace.exists, f"{self.name}'s trace")
        return [line.split() for line in self.trace.read_text().splitlines()]

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes: VmRSS now, VmHWM at the highest since `forget_peak`."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition(f"{what}:")[2].split()[0]) * 1024

    def starved_seconds(self) -> float:
        """For how long it was ready to run and no processor was free."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def log(self) -> str:
        return (self._folder / "log").read_text()[-3000:]


class OriginPair:
    """Started by `with`. mode: "async", "semi" or "strict"."""

    def __init__(self, folder: Path, mode: str, disk: str) -> None:
        folder.mkdir()
        (folder / "apps").mkdir()
        (folder / "apps" / "store.py").write_text(APPLICATION)
        (folder / "pair").write_text("A\\B")
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        password = folder / "password"
        password.write_text(secrets.token_hex(16))
        password.chmod(0o600)
        ports = free_ports(8)
        first, second = ports[:4], ports[4:]
        self.nodes = [
            Node(name, folder / name, _config(folder, name, mode, disk, mine, other), *mine[:2])
            for name, mine, other in (("A", first, second), ("B", second, first))
        ]

    def __enter__(self) -> OriginPair:
        for node in self.nodes:
            node.start()
        try:
            self.settled()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for node in self.nodes:
            node.kill()

    @property
    def active(self) -> Node:
        return next(node for node in self.nodes if node.status().get("role") == "active")

    @property
    def standby(self) -> Node:
        return next(node for node in self.nodes if node is not self.active)

    def settled(self) -> None:
        """Wait until one serves and its record says that both are in sync."""
        wait_for(lambda: any(self.in_sync(node) for node in self.nodes), self)

    def in_sync(self, node: Node) -> bool:
        """Whether `node` serves, and the other one may take over at any moment."""
        status = node.status()
        if status.get("role") != "active" or status.get("mode") == "async":
            return status.get("role") == "active" and self._other(node).status()["lag"] == _NO_LAG
        return bool(status["sync"])

    def _other(self, node: Node) -> Node:
        return next(other for other in self.nodes if other is not node)

    def __str__(self) -> str:
        return "a settled pair\n" + "\n".join(node.log() for node in self.nodes)


_NO_LAG = {"changes": 0, "ms": 0.0}


def wait_for(true: Any, what: object, seconds: float = 60.0) -> None:
    """Poll until `true()` is; ends the bench when that takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def _config(
    folder: Path, name: str, mode: str, disk: str, mine: list[int], other: list[int]
) -> str:
    text, host = json.dumps, "127.0.0.1"
    lag = "promote_lag_max = 1000000\n" if mode == "async" else ""
    return (
        f"[node]\nid = {text(name)}\n"
        f'[rtmp]\nlisten = "{host}:{mine[0]}"\n'
        f'[admin]\nlisten = "{host}:{mine[1]}"\nuser = "admin"\n'
        f"password_file = {text(str(folder / 'password'))}\n"
        f'[health]\nlisten = "{host}:{mine[2]}"\n'
        f'[replication]\nmode = "{mode}"\nlisten = "{host}:{mine[3]}"\n'
        f'peer = "{host}:{other[3]}"\nsecret_file = {text(str(folder / "secret"))}\n'
        f"[failover]\npair_file = {text(str(folder / 'pair'))}\n"
        f'peer_admin = "{host}:{other[2]}"\n{lag}'
        f"[apps]\ndirectory = {text(str(folder / 'apps'))}\n"
        f'[storage]\ndisk = "{disk}"\nstate = {text(str(folder / name / "state"))}\n'
    )
