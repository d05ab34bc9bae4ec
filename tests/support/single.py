"""One origin alone (`serve`), with a configuration written for the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from .pair import MARK, ROOT, Overdue, get, now, within


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """A TOML document of flat tables with text, numbers and booleans."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        for key, value in table.items():
            if isinstance(value, bool):
                text = str(value).lower()
            elif isinstance(value, str | Path):
                text = "'" + str(value) + "'"
            else:
                text = str(value)
            lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


SERVE = (sys.executable, "-m", "rtmp_sync", "serve")


class Single:
    """A `serve` process. `address` is its RTMP "host:port"; `output` everything it printed."""

    def __init__(self, **tables: Mapping[str, object]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rtmp-sync-single-"))
        rtmp, admin, health = free_ports(3)
        self.address = f"127.0.0.1:{rtmp}"
        self.admin = f"127.0.0.1:{admin}"
        self.health = f"127.0.0.1:{health}"
        defaults: dict[str, dict[str, object]] = {
            "node": {"id": "solo"},
            "rtmp": {"listen": self.address},
            "admin": {"listen": self.admin},
            "health": {"listen": self.health},
            "apps": {"directory": ROOT / "apps"},
            "storage": {"state": self.directory / "state"},
        }
        for name, table in tables.items():
            defaults.setdefault(name, {}).update(table)
        self.config = self.directory / "solo.toml"
        self.config.write_text(toml(defaults))
        self.output = self.directory / "output.txt"
        self._mark = uuid.uuid4().hex
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the process; it is not ready yet. options: of `serve`, besides --config."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*SERVE, "--config", str(self.config), *options],
                cwd=ROOT,
                env={**os.environ, **(environment or {}), MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def start(self, *, seconds: float = 20.0) -> Single:
        """Start it and wait until it serves."""
        self.launch()

        async def active() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise Overdue(f"`serve` ended with {self.process.returncode}\n{self.logs()}")
            return (await get(f"http://{self.health}/health/active"))[0] == 200

        await within(seconds, "the origin serves", active)
        return self

    def logs(self) -> str:
        """Everything that it printed."""
        return self.output.read_text(errors="replace")

    def origin_pid(self) -> int:
        """The guard's child: the process that serves."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])

    def memory_peak(self) -> int:
        """Highest resident size of the serving process so far, in bytes."""
        for line in Path(f"/proc/{self.origin_pid()}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def stop(self, *, timeout: float = 15.0) -> int:
        """Ask it to end; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        deadline = now() + 3
        while self._kill_left() and now() < deadline:
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait(5)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _kill_left(self) -> bool:
        wanted = f"{MARK}={self._mark}".encode()
        found = False
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    found = True
        return found
