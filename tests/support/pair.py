"""A real pair in a directory of its own: started, looked at, hurt and always cleaned up.

Everything is seen from outside: `pair.json`, `/health/*`, `/status`, `/history`, the pair file
and the processes. Waiting means polling one of these until a deadline, never a plain sleep.
Processes are found by a mark in their environment, so clean-up ends what this pair started, and
nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
PROOF_APPS = ROOT / "tests" / "e2e" / "apps"
MARK = "RTMP_SYNC_PROOF"
HTTP = 40  # what is added to the front door's port for that of browsers
PORT_OFFSETS = (0, 1, 2, 11, 12, 21, 22, 31, 32, HTTP, HTTP + 1, HTTP + 2)
ADMIN_USER = "admin"


class Overdue(AssertionError):
    """Something that should have happened within its time did not."""


@dataclass(frozen=True, slots=True)
class Node:
    """One origin of the pair as `pair.json` names it; addresses are "host:port"."""

    id: str
    rtmp: str
    replication: str
    admin: str
    health: str
    pid: int
    guard_pid: int
    log: Path
    http: str = ""


@dataclass(frozen=True, slots=True)
class Living:
    """Pids of a node's processes. Two of a kind: the old one is just ending."""

    origins: list[int]
    guards: list[int]


def now() -> float:
    """CLOCK_BOOTTIME in seconds: comparable with the times the origins report."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def within(
    seconds: float, what: str, check: Callable[[], Awaitable[Any]], *, every: float = 0.05
) -> Any:
    """Poll `check` until it returns something true and return that; raises Overdue."""
    deadline = now() + seconds
    while True:
        result = await check()
        if result:
            return result
        if now() > deadline:
            raise Overdue(f"not within {seconds:g} s: {what} (last: {result!r})")
        await asyncio.sleep(every)


def free_port_range() -> int:
    """A base port whose nine ports of a pair are all free now."""
    for base in range(21000 + os.getpid() % 250 * 40, 60000, 40):
        if all(_is_free(base + offset) for offset in PORT_OFFSETS):
            return base
    raise RuntimeError("no free range of ports for a pair")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def get(
    url: str, *, timeout: float = 1.0, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """(status, body text) of one GET; (0, reason) when there is no answer in time."""
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers) as session,
            session.get(url) as answer,
        ):
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as reason:
        return 0, repr(reason)


class Pair:
    """A `pair` process and what it started.

    `start` returns once `pair.json` is there; `stop` asks it to end and returns its exit code;
    `clean_up` ends whatever is left, whatever happened before. link: "host:port" of a proxy
    through which the first node dials the second. failover: keys of `[failover]` for both.
    replication: the same of that table. own_media: each node keeps its recordings to itself, as
    without a NAS. config: TOML that the configuration of both ends with.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        apps: Path | None = None,
        environment: dict[str, str] | None = None,
        link: str | None = None,
        failover: Mapping[str, object] | None = None,
        replication: Mapping[str, object] | None = None,
        own_media: bool = False,
        http: bool = False,
        config: str = "",
    ) -> None:
        self.port = port or free_port_range()
        self.directory = directory or Path(tempfile.mkdtemp(prefix="rtmp-sync-pair-"))
        self._owns_directory = directory is None
        self._apps = apps
        self._mark = uuid.uuid4().hex
        self._environment = environment or {}
        self._link = link
        self._failover = dict(failover or {})
        self._replication = dict(replication or {})
        self._own_media = own_media
        self._http = http
        self._config = config
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.directory / "pair-output.txt"

    # ---- life ----

    def start(self, *, timeout: float = 40.0) -> Pair:
        """Start the process and wait for `pair.json`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "pair.json").unlink(missing_ok=True)
        program = ["rtmp_sync", "pair"]
        special = (self._link, self._failover, self._replication, self._own_media, self._config)
        if any(special):
            program = ["tests.support.special_pair", "--failover", json.dumps(self._failover)]
            program += ["--replication", json.dumps(self._replication)]
            program += ["--config", self._config]
            program += ["--own-media"] if self._own_media else []
            program += ["--link", self._link] if self._link is not None else []
        command = [sys.executable, "-m", *program, "--dir", str(self.directory)]
        command += ["--port", str(self.port), "--apps", str(self._apps or self._collect_apps())]
        command += ["--http-port", str(self.port + HTTP)] if self._http else []
        environment = {**os.environ, **self._environment, MARK: self._mark}
        environment.setdefault("COLUMNS", "200")
        environment["RTMP_SYNC_ENVIRONMENT"] = "of-other-files"  # as in an operator's shell
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = now() + timeout
        while not (self.directory / "pair.json").exists():
            if self.process.poll() is not None or now() > deadline:
                logs = self.logs()
                self.clean_up()
                raise Overdue(f"no pair.json within {timeout:g} s\n{logs}")
            time.sleep(0.05)
        return self

    def _collect_apps(self) -> Path:
        """The shipped applications and the proof's own one in one directory."""
        folder = self.directory / "applications"
        folder.mkdir(exist_ok=True)
        for source in (ROOT / "apps", PROOF_APPS):
            for file in source.glob("*.py"):
                shutil.copy(file, folder / file.name)
        return folder

    def stop(self, *, sign: int = signal.SIGINT, timeout: float = 20.0) -> int:
        """Send `sign` to the `pair` process, wait for it and return its exit code."""
        assert self.process is not None
        self.process.send_signal(sign)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Overdue(
                f"`pair` still runs {timeout:g} s after the signal\n{self.logs()}"
            ) from None

    def clean_up(self) -> None:
        """End every process of this pair and remove its directory if it made that."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.power_off()
        if self._owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def power_off(self) -> None:
        """SIGKILL to every process of this pair, until none is left. They stand still first: as
        when the power goes, none lives to see how another one ends."""
        for _ in range(50):
            left = list(self.processes())
            if not left:
                break
            for end in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, end)
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait(5)

    def processes(self) -> Iterator[int]:
        """Pids of all living processes that this pair started, itself included."""
        wanted = f"{MARK}={self._mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX":
                        yield int(entry.name)

    def living(self, node: Node) -> Living:
        """The processes of a node, found by their command lines."""
        config = str(self.directory / node.id / "config.toml").encode()
        origins: list[int] = []
        guards: list[int] = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"serve" in words and config in words:
                    (origins if b"--no-guard" in words else guards).append(pid)
        return Living(origins, guards)

    # ---- what it says ----

    @property
    def front(self) -> str:
        """The front door's "host:port"."""
        return f"127.0.0.1:{self.port}"

    @property
    def front_http(self) -> str:
        """Its "host:port" for browsers, with `http`."""
        return f"127.0.0.1:{self.port + HTTP}"

    def url(self, path: str, address: str | None = None) -> str:
        return f"rtmp://{address or self.front}/{path}"

    def nodes(self) -> list[Node]:
        """Both nodes as `pair.json` names them now."""
        content = json.loads((self.directory / "pair.json").read_text())
        names = Node.__dataclass_fields__
        nodes = []
        for entry in content["nodes"]:
            entry = {key: value for key, value in entry.items() if key in names}
            log = Path(entry["log"])
            entry["log"] = log if log.is_absolute() else self.directory / log
            nodes.append(Node(**entry))
        return nodes

    def node(self, node_id: str) -> Node:
        return next(node for node in self.nodes() if node.id == node_id)

    def other(self, node: Node) -> Node:
        return next(other for other in self.nodes() if other.id != node.id)

    async def healthy(self, node: Node, what: str) -> bool:
        """Whether `/health/<what>` of the node answers 200 now."""
        status, _ = await get(f"http://{node.health}/health/{what}", timeout=0.5)
        return bool(status == 200)

    async def status(self, node: Node) -> dict[str, Any] | None:
        """`/status` of the node, or None while it does not answer."""
        code, body = await get(f"http://{node.admin}/status")
        return json.loads(body) if code == 200 else None

    async def order(self, node: Node, name: str, **body: object) -> tuple[int, dict[str, Any]]:
        """POST /<name> with the admin's credentials: (status, answer)."""
        url = f"http://{node.admin}/{name}"
        async with (
            aiohttp.ClientSession(headers=self._credentials()) as session,
            session.post(url, json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    def _credentials(self) -> dict[str, str]:
        password = (self.directory / "admin.password").read_text().strip()
        credentials = base64.b64encode(f"{ADMIN_USER}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    async def history(self, node: Node) -> list[dict[str, Any]] | None:
        """`/history` of the node's present process, or None while it does not answer."""
        code, body = await get(f"http://{node.admin}/history", headers=self._credentials())
        if code != 200:
            return None
        events: list[dict[str, Any]] = json.loads(body)["events"]
        return events

    def line(self) -> str:
        """The pair file's line."""
        return (self.directory / "MainOriginConfig.txt").read_text().strip()

    async def active(self) -> Node | None:
        for node in self.nodes():
            if await self.healthy(node, "active"):
                return node
        return None

    async def settled(self, *, seconds: float = 40.0) -> tuple[Node, Node]:
        """(active, standby) once one answers `/health/active` and the other `/health/standby`."""

        async def look() -> tuple[Node, Node] | None:
            active = await self.active()
            if active is None or not await self.healthy(self.other(active), "standby"):
                return None
            return active, self.other(active)

        try:
            found: tuple[Node, Node] = await within(
                seconds, "one node active and the other ready", look
            )
            return found
        except Overdue as overdue:
            raise Overdue(f"{overdue}\n{self.logs()}") from None

    async def becomes_active(self, node: Node, *, seconds: float) -> None:
        await within(seconds, f"{node.id} active", lambda: self.healthy(node, "active"), every=0.02)

    # ---- faults ----

    def signal(self, node: Node, sign: int, *, origin: bool = True, guard: bool = False) -> float:
        """Send `sign` to the node's guard and/or origin; returns the moment of the last one.

        The guard comes first: it must not be able to react to what happens to its child.
        """
        for wanted, pid in ((guard, node.guard_pid), (origin, node.pid)):
            if wanted:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
        return now()

    def command(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `rtmp-sync …` with `--dir` of this pair."""
        return subprocess.run(
            [sys.executable, "-m", "rtmp_sync", *arguments, "--dir", str(self.directory)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    async def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`command` while this loop's clients go on."""
        return await asyncio.to_thread(self.command, *arguments)

    # ---- for people ----

    def logs(self, lines: int = 40) -> str:
        """The end of every log of this pair, for the message of a failed test."""
        parts = []
        for file in [self.output, *sorted(self.directory.glob("*/*log*"))]:
            with contextlib.suppress(OSError):
                tail = file.read_text(errors="replace").splitlines()[-lines:]
                name = file.relative_to(self.directory)
                parts.append(f"---- {name}\n" + "\n".join(tail))
        return "\n".join(parts)
