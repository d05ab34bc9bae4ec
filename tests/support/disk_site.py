"""A single origin whose state is on a disk of the test's choice, and one client of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from rtmp_sync import NetConnection

from .pair import PROOF_APPS, get, within
from .single import Single


class DiskSite:
    """A single origin whose state is on a disk, and a client of it."""

    def __init__(self, state: Path, mode: str = "journal") -> None:
        storage = {"state": state, "disk": mode}
        self.single = Single(storage=storage, apps={"directory": PROOF_APPS})
        self.acknowledged: dict[str, float] = {}

    async def start(self) -> None:
        await self.single.start()
        await self.connect()

    async def connect(self) -> None:
        self.pid = self.single.origin_pid()
        self.connection = NetConnection(reconnect=False)
        url = f"rtmp://{self.single.address}/proof/disk"
        await self.connection.connect(url, "c00", "Writer")
        self.board = await self.connection.shared_object("board", persistent=True)

    async def write(self, count: int) -> None:
        """Sets that are acknowledged, one after the other."""
        async with asyncio.timeout(30):
            for _ in range(count):
                number = len(self.acknowledged)
                await self.board.set(f"s{number}", float(number))
                self.acknowledged[f"s{number}"] = float(number)

    async def alarms(self) -> dict[str, str]:
        """What /status says; that it answers at all shows that the loop is free."""
        status, body = await get(f"http://{self.single.admin}/status")
        assert status == 200, body
        alarms: dict[str, str] = json.loads(body)["alarms"]
        return alarms

    async def failed(self) -> bool:
        return "persist_failed" in await self.alarms()

    async def well(self) -> bool:
        return not await self.failed()

    async def newcomer(self) -> dict[str, float]:
        """What a client that connects now is shown."""
        connection = NetConnection(reconnect=False)
        async with asyncio.timeout(30):
            await connection.connect(f"rtmp://{self.single.address}/proof/disk", "n", "Reader")
            board = await connection.shared_object("board", persistent=True)
        await connection.close()
        return dict(board)

    async def restart(self) -> None:
        """Guard and origin are killed and started again."""
        await self.kill()
        await self.single.start()

    async def kill(self) -> None:
        """Guard and origin."""
        assert self.single.process is not None
        os.kill(self.single.process.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        await self.connection.close()
        self.single.process.wait()
        await within(10, "the origin has ended", self._ended)

    async def _ended(self) -> bool:
        return not runs(self.pid)

    def close(self) -> None:
        self.single.clean_up()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
