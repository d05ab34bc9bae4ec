"""The drill: kill the active origin of a running pair under load, and count what it cost.

Writers work through the front door as fast as they are acknowledged: each sets slots of its
own in a shared object to rising numbers, and calls `setText`. Then the active origin gets
SIGKILL. When every writer has been acknowledged again and the pair is whole again, a client
that was not there before reads everything:

    lost         an acknowledged number is missing: its slot holds less
    vanished     a number that the watcher saw is missing, or went back while it looked
    duplicates   `setText` ran more often than it was called: each run raises the version of
                 the object that it writes, by one
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.errors import CallError, ConfigError, ConnectError, RtmpSyncError
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.clock import now
from rtmp_sync.server.pair_directory import pair_config
from rtmp_sync.wire.constants import CONNECT_INVALID_APP, CONNECT_REJECTED

__all__ = ["Drill", "DrillReport"]

APPLICATION = "text/drill"
USER_TYPE = "Type1"
SLOTS = 4  # of each writer
WARM_UP = 1000  # acknowledged updates before the kill
AGAIN_SECONDS = 30.0  # until the writers must have got on
WHOLE_SECONDS = 60.0  # until the killed origin must be ready again


_Node = dict[str, Any]  # as pair.json has it


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What it cost. Gaps are from a client's last acknowledged update to its next one."""

    killed: str
    active: str
    writers: int
    acknowledged: int
    gap_ms: float  # the worst of all writers
    gap_median_ms: float
    whole_again_ms: float
    lost: int
    vanished: int
    duplicates: int
    steps: list[tuple[float, str]]  # of the takeover: (ms since the kill, event)

    @property
    def good(self) -> bool:
        return not (self.lost or self.vanished or self.duplicates)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "good": self.good}


@dataclass(slots=True)
class _Writer:
    """One client and what it was told."""

    number: int
    acknowledged: dict[str, int] = field(default_factory=dict)  # slot -> highest number
    times: list[float] = field(default_factory=list)  # of every acknowledgement
    called: int = 0
    answered: int = 0

    def acknowledge(self) -> None:
        self.times.append(now())

    def gap(self, since: float) -> float:
        """Seconds of its longest wait that ended after `since`."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return max((after - before for before, after in pairs if after >= since), default=0.0)


class _Watcher:
    """Keeps the highest number that it saw in each slot, and counts steps back."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.steps_back = 0

    def look(self, slots: dict[str, Any]) -> None:
        for slot, value in slots.items():
            number = int(value)
            if number < self.seen.get(slot, 0):
                self.steps_back += 1
            else:
                self.seen[slot] = number


class Drill:
    """One drill of the pair in `directory`. `tell` gets a sentence for each step."""

    def __init__(self, directory: Path, *, writers: int, tell: Callable[[str], None]) -> None:
        self._directory = directory
        self._tell = tell
        self._writers = [_Writer(number) for number in range(writers)]
        self._watcher = _Watcher()
        self._done = asyncio.Event()
        # One of its own: after a takeover the last drill's object still waits for its users.
        self._object = f"drill-{secrets.token_hex(4)}"
        content = _pair_json(directory)
        self._url = f"rtmp://{content['front']}/{APPLICATION}"
        self._nodes: list[_Node] = content["nodes"]

    async def run(self) -> DrillReport:
        """Raises RtmpSyncError when the pair is not whole, or does not come back."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as http:
            active, standby = await self._whole(http, 5.0)
            # It stays until everything is read: a temporary object ends with its last user.
            async with await self._connect("watcher") as watcher:
                drill_object = await watcher.shared_object(self._object)
                drill_object.on_sync = lambda _: self._watcher.look(dict(drill_object))
                text = await watcher.shared_object("text", persistent=True)
                version = text.version
                killed_at, whole_at = await self._strike(http, active, standby)
                lost, vanished, runs = await self._read_everything(version)
            steps = await _steps(http, standby, killed_at)
        gaps = [writer.gap(killed_at) * 1000 for writer in self._writers]
        return DrillReport(
            killed=active["id"],
            active=standby["id"],
            writers=len(self._writers),
            acknowledged=self._acknowledged(),
            gap_ms=max(gaps),
            gap_median_ms=statistics.median(gaps),
            whole_again_ms=(whole_at - killed_at) * 1000,
            lost=lost + max(0, sum(writer.answered for writer in self._writers) - runs),
            vanished=vanished + self._watcher.steps_back,
            duplicates=max(0, runs - sum(writer.called for writer in self._writers)),
            steps=steps,
        )

    async def _strike(
        self, http: aiohttp.ClientSession, active: _Node, standby: _Node
    ) -> tuple[float, float]:
        """Load, kill, wait for the pair; returns when it was killed and when it was whole."""
        tasks = [asyncio.create_task(self._write(writer)) for writer in self._writers]
        try:
            killed_at = await self._kill(http, active, tasks)
            await _until(
                lambda: all(writer.times[-1] > killed_at for writer in self._writers),
                "every writer is acknowledged again",
                tasks,
            )
            self._tell(f"{standby['id']} serves; waiting for {active['id']} to come back")
            await self._whole(http, WHOLE_SECONDS)
            whole_at = now()
            self._done.set()
            async with asyncio.timeout(AGAIN_SECONDS):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return killed_at, whole_at

    def _acknowledged(self) -> int:
        return sum(len(writer.times) for writer in self._writers)

    async def _connect(self, name: str) -> NetConnection:
        connection = NetConnection(reconnect=True)
        try:
            await connection.connect(self._url, name, USER_TYPE)
        except ConnectError as error:
            if error.code not in (CONNECT_INVALID_APP, CONNECT_REJECTED):
                raise
            fix = f"the drill needs the application text ({error}); run the pair with it"
            raise ConfigError("--apps", APPLICATION, fix) from None
        return connection

    async def _write(self, writer: _Writer) -> None:
        """Set a slot, call a method, as fast as they are acknowledged."""
        connection = await self._connect(f"writer-{writer.number}")
        drill_object = await connection.shared_object(self._object)
        number = 0
        while not self._done.is_set():
            number += 1
            slot = f"{writer.number}.{number % SLOTS}"
            await drill_object.set(slot, number)
            writer.acknowledged[slot] = number
            writer.acknowledge()
            writer.called += 1
            try:
                await connection.call("setText", f"{writer.number}: {number}")
            except CallError as error:
                if not error.code.endswith("Interrupted"):
                    raise
            else:
                writer.answered += 1
                writer.acknowledge()
        await connection.close()

    async def _kill(
        self, http: aiohttp.ClientSession, node: _Node, tasks: list[asyncio.Task[None]]
    ) -> float:
        """SIGKILL to the active origin once enough was acknowledged; returns when."""
        self._tell(f"{len(self._writers)} writers at work; {node['id']} serves")
        await _until(
            lambda: self._acknowledged() >= WARM_UP and all(one.times for one in self._writers),
            f"{WARM_UP} updates are acknowledged",
            tasks,
        )
        status = await _json(http, f"http://{node['admin']}/status")
        if status is None or status["role"] != "active":
            raise RtmpSyncError(f"{node['id']} is no longer active: drill again")
        self._tell(f"kill -9 of {node['id']}, process {status['pid']}")
        os.kill(int(status["pid"]), signal.SIGKILL)
        return now()

    async def _whole(self, http: aiohttp.ClientSession, seconds: float) -> tuple[_Node, _Node]:
        """(active, standby) once one origin serves and the other is ready."""
        deadline = now() + seconds
        while now() < deadline:
            first, second = self._nodes
            for active, standby in ((first, second), (second, first)):
                if await _is(http, active, "active") and await _is(http, standby, "standby"):
                    return active, standby
            await asyncio.sleep(0.05)
        raise RtmpSyncError(
            f"the pair is not whole within {seconds:g} s: see `rtmp-sync status "
            f"--dir {self._directory}`"
        )

    async def _read_everything(self, version: int) -> tuple[int, int, int]:
        """(acknowledged numbers missing, seen numbers missing, runs of setText)."""
        async with await self._connect("reader") as reader:
            slots = dict(await reader.shared_object(self._object))
            text = await reader.shared_object("text", persistent=True)
            runs = text.version - version
        acknowledged = [item for writer in self._writers for item in writer.acknowledged.items()]
        lost = sum(int(slots.get(slot, 0)) < number for slot, number in acknowledged)
        seen = self._watcher.seen.items()
        vanished = sum(int(slots.get(slot, 0)) < number for slot, number in seen)
        return lost, vanished, runs


async def _until(condition: Callable[[], bool], what: str, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the condition while the writers work; raises what ends one of them."""
    deadline = now() + AGAIN_SECONDS
    while not condition():
        for task in tasks:
            if task.done():
                task.result()
        if now() > deadline:
            raise RtmpSyncError(f"not within {AGAIN_SECONDS:g} s: {what}")
        await asyncio.sleep(0.02)


def _pair_json(directory: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((directory / "pair.json").read_bytes())
    except (OSError, ValueError):
        fix = f"no pair runs there; start one with `rtmp-sync pair --dir {directory}`"
        raise ConfigError("--dir", str(directory), fix) from None
    return content


async def _is(http: aiohttp.ClientSession, node: _Node, what: str) -> bool:
    try:
        async with http.get(f"http://{node['health']}/health/{what}") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _json(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None
) -> Any:
    """The JSON there; None when there is none."""
    try:
        async with http.get(url, headers=headers) as answer:
            return await answer.json() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _steps(http: aiohttp.ClientSession, node: _Node, since: float) -> list[tuple[float, str]]:
    """What the new active origin noted of its takeover: (ms since the kill, event)."""
    config = pair_config(Path(node["config"]))
    headers = {"Authorization": basic_header(config.admin.user or "", config.password())}
    history = await _json(http, f"http://{node['admin']}/history", headers)
    events = history["events"] if history is not None else []
    return [
        ((event["clock"] - since) * 1000, _step(event))
        for event in events
        if event["clock"] >= since
    ]


def _step(event: dict[str, Any]) -> str:
    reason = event.get("reason")
    return f"{event['event']} ({reason})" if reason else str(event["event"])
