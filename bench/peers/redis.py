"""A Redis master with one replica, and clients that write to it.

`WAIT 1` after a SET returns when the replica has taken it: what `semi` does for every change.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.single import free_ports

PROGRAM = "redis-server"


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def version() -> str:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return next(word[2:] for word in said.stdout.split() if word.startswith("v="))


@contextmanager
def master_with_replica() -> Iterator[int]:
    """Both in memory only; the master's port."""
    master, replica = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", folder]
        follow = ["--replicaof", "127.0.0.1", str(master), "--repl-diskless-sync-delay", "0"]
        commands = [
            [PROGRAM, "--port", str(master), *options],
            [PROGRAM, "--port", str(replica), *options, *follow],
        ]
        log = Path(folder, "log")
        with log.open("ab") as output:
            children = [subprocess.Popen(one, stdout=output, stderr=output) for one in commands]
        try:
            _wait_for_replica(master, log)
            yield master
        finally:
            for child in children:
                child.kill()
                child.wait()


def _wait_for_replica(port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(2)
                connection.sendall(
                    _command(b"SET", b"ready", b"1") + _command(b"WAIT", b"1", b"500")
                )
                said = b""
                while said.count(b"\r\n") < 2:
                    said += connection.recv(4096)
                if said == b"+OK\r\n:1\r\n":
                    return
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.05)
    raise SystemExit(f"Redis did not start:\n{log.read_text()}")


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class RedisClient(asyncio.Protocol):
    """One connection; one write at a time."""

    def __init__(self, key: str, value: bytes, *, waits: bool) -> None:
        self._request = _command(b"SET", key.encode(), value)
        self._expected = b"+OK\r\n"
        if waits:
            self._request += _command(b"WAIT", b"1", b"0")
            self._expected += b":1\r\n"
        self._said = b""
        self._answered: asyncio.Future[None]
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's has its own class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._said += data
        if len(self._said) >= len(self._expected):
            assert self._said == self._expected, self._said
            self._said = b""
            self._answered.set_result(None)

    async def write(self) -> None:
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(self._request)
        await self._answered

    async def close(self) -> None:
        self.transport.close()


async def connect(port: int, key: str, value: bytes, *, waits: bool) -> RedisClient:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: RedisClient(key, value, waits=waits), "127.0.0.1", port
    )
    return client
