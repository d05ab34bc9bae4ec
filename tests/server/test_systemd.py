from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from rtmp_sync.server.systemd import signs_of_life


async def heard(listener: socket.socket, count: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        return [await loop.sock_recv(listener, 100) for _ in range(count)]


async def test_systemd_hears_of_start_life_and_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        environment = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "10000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        async with signs_of_life(environment):
            assert await heard(listener, 4) == [b"READY=1", *[b"WATCHDOG=1"] * 3]
        while (last := (await heard(listener, 1))[0]) == b"WATCHDOG=1":
            continue
        assert last == b"STOPPING=1"


async def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    async with signs_of_life({}):
        pass
    async with signs_of_life({"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        pass
