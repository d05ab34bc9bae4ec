"""The floor of a replicated change: one round trip to another process, and nothing else.

    python -m bench.peers.round_trip PORT_FILE REQUEST_BYTES ANSWER_BYTES

As many bytes as a change and its acknowledgement have on the link, over uvloop and TCP on the
loopback. Two HMAC-SHA256 each way: the sender's and the receiver's.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.fanout import announce

KEY = bytes(32)


class _Ends(asyncio.Protocol):
    """One end: takes messages of one length, gives messages of another."""

    def __init__(self, takes: int, gives: int) -> None:
        self._takes = takes
        self._message = bytes(gives)
        self._buffer = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's has its own class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._takes:
            hmac.digest(KEY, self._buffer[: self._takes], "sha256")
            del self._buffer[: self._takes]
            self.taken()

    def taken(self) -> None:
        """Answer."""
        self.send()

    def send(self) -> None:
        hmac.digest(KEY, self._message, "sha256")
        self.transport.write(self._message)


class _Asker(_Ends):
    def __init__(self, takes: int, gives: int) -> None:
        super().__init__(takes, gives)
        self.answered = asyncio.Event()

    def taken(self) -> None:
        self.answered.set()


async def measure(port: int, request: int, answer: int, seconds: float) -> list[float]:
    """Round trips in seconds, one after the other."""
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_connection(
        lambda: _Asker(answer, request), "127.0.0.1", port
    )
    found: list[float] = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        asker.answered.clear()
        asker.send()
        await asker.answered.wait()
        found.append(time.perf_counter() - begun)
    transport.close()
    return found


@contextmanager
def answerer(request: int, answer: int) -> Iterator[int]:
    """The other process; its port."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder, "port")
        command = [sys.executable, "-m", "bench.peers.round_trip"]
        child = subprocess.Popen([*command, str(port_file), str(request), str(answer)])
        try:
            while not port_file.exists() or not port_file.read_text():
                if child.poll() is not None:
                    raise SystemExit("the floor's process ended")
                time.sleep(0.02)
            yield int(port_file.read_text())
        finally:
            child.kill()
            child.wait()


async def _serve(port_file: Path, request: int, answer: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Ends(request, answer), "127.0.0.1", 0)
    announce(port_file, server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
