"""A real etcd: one member or several, which a test can kill, freeze and bring back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmp_sync.config_values import Address

from .programs import require

START_SECONDS = 60.0  # an election, on a machine that does much else


@dataclass
class EtcdMember:
    """One etcd process. `within`: what its command begins with, for example to run it in a
    network namespace; `directory` may be on a disk that misbehaves; `tls`: how this test talks
    to it, if not in the clear (what etcd itself needs for that are `options`)."""

    name: str
    directory: Path
    host: str
    client_port: int
    peer_port: int
    within: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False

    @property
    def address(self) -> Address:
        return Address(self.host, self.client_port)

    @property
    def client_url(self) -> str:
        return f"{'https' if self.tls is not None else 'http'}://{self.address}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    def start(self, members: Sequence[EtcdMember], options: Sequence[str] = ()) -> None:
        client = self.client_url
        command = (
            *self.within,
            *(require("etcd"), "--name", self.name, "--data-dir", str(self.directory)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", self.peer_url),
            *("--initial-advertise-peer-urls", self.peer_url),
            *("--initial-cluster", ",".join(f"{m.name}={m.peer_url}" for m in members)),
            *options,
        )
        # A log of its own: what a failed start said is needed, and nobody reads a pipe.
        with open(f"{self.directory}.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """As a power cut, but for what the system had not written."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process, self.frozen = None, False

    def freeze(self) -> None:
        """It accepts connections, as its kernel does, and answers nothing."""
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.frozen = False

    @property
    def runs(self) -> bool:
        return self.process is not None and not self.frozen

    def ask(self, path: str, body: dict[str, Any], *, seconds: float = 5.0) -> dict[str, Any]:
        """A request to its JSON gateway. Raises OSError."""
        request = urllib.request.Request(
            f"{self.client_url}/v3{path}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=seconds, context=self.tls) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


class EtcdCluster:
    """`size` members on this machine, or those that are given; their data in `directory`.

    `await start()` returns when they answer, `close()` leaves nothing behind.
    """

    def __init__(
        self,
        directory: Path,
        size: int = 1,
        *,
        members: Sequence[EtcdMember] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._options = tuple(options)
        self.members = list(members or (_local(directory, number) for number in range(size)))

    @property
    def addresses(self) -> list[Address]:
        return [member.address for member in self.members]

    async def start(self) -> None:
        require("etcd")
        for member in self.members:
            member.start(self.members, self._options)
        await self.until_well()

    async def until_well(self) -> None:
        """A majority has a leader, and every running member answers."""
        await _until(self._is_well, "etcd answers")

    async def restart(self, member: EtcdMember) -> None:
        """Bring back one that was killed, or all that is left of it."""
        member.start(self.members, self._options)
        await self.until_well()

    async def leader(self) -> EtcdMember:
        """The one that leads now."""
        found: list[EtcdMember] = []

        def look() -> bool:
            found[:] = self._leaders()
            return len(found) == 1

        await _until(look, "etcd has a leader")
        return found[0]

    async def followers(self) -> list[EtcdMember]:
        leader = await self.leader()
        return [member for member in self.members if member is not leader]

    async def leases(self) -> list[int]:
        """The ids of all leases."""
        answer = await asyncio.to_thread(self._well().ask, "/lease/leases", {})
        return [int(lease["ID"]) for lease in answer.get("leases", ())]

    async def revoke(self, lease: int) -> None:
        """As `etcdctl lease revoke` does."""
        await asyncio.to_thread(self._well().ask, "/lease/revoke", {"ID": str(lease)})

    async def delete(self, key: str) -> None:
        """As `etcdctl del` does."""
        encoded = b64encode(key.encode()).decode()
        await asyncio.to_thread(self._well().ask, "/kv/deleterange", {"key": encoded})

    async def put(self, key: str, value: bytes) -> None:
        body = {"key": b64encode(key.encode()).decode(), "value": b64encode(value).decode()}
        await asyncio.to_thread(self._well().ask, "/kv/put", body)

    async def clear(self) -> None:
        """Delete everything, and end all leases."""
        everything = {"key": "AA==", "range_end": "AA=="}  # from NUL on, to the end
        await asyncio.to_thread(self._well().ask, "/kv/deleterange", everything)
        for lease in await self.leases():
            await self.revoke(lease)

    def close(self) -> None:
        for member in self.members:
            member.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _well(self) -> EtcdMember:
        return next(member for member in self.members if member.runs)

    def _is_well(self) -> bool:
        answers = [_status(member) for member in self.members if member.runs]
        leaders = {answer.get("leader", "0") for answer in answers if answer is not None}
        return None not in answers and len(leaders) == 1 and leaders != {"0"}

    def _leaders(self) -> list[EtcdMember]:
        found = []
        for member in self.members:
            if member.runs and (status := _status(member)) is not None:
                header = status.get("header", {})
                if status.get("leader") == header.get("member_id") is not None:
                    found.append(member)
        return found


def _local(directory: Path, number: int) -> EtcdMember:
    client_port, peer_port = _free_ports(2)
    name = f"etcd{number}"
    return EtcdMember(name, directory / name, "127.0.0.1", client_port, peer_port)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _status(member: EtcdMember) -> dict[str, Any] | None:
    try:
        return member.ask("/maintenance/status", {}, seconds=1.0)
    except (OSError, urllib.error.URLError, ValueError):
        return None


async def _until(holds: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < give_up_at, f"never seen in {START_SECONDS:g} s: {what}"
        await asyncio.sleep(0.05)
