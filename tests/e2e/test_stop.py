"""A clean stop, whatever the applications do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rtmp_sync import NetConnection
from tests.support.single import Single

STUBBORN = """
import asyncio

from rtmp_sync import Application, Client, allow


class Stubborn(Application):
    public_types = {"User"}

    @allow("User")
    async def begin(self, client: Client) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    @allow("User")
    async def look(self, client: Client) -> bool:
        return True
"""


async def test_a_method_that_takes_no_cancellation_keeps_nobody_from_stopping(
    tmp_path: Path,
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    origin = Single(apps={"directory": tmp_path})
    try:
        await origin.start()
        async with NetConnection(reconnect=False) as user:
            await user.connect(f"rtmp://{origin.address}/stubborn", "ann", "User")
            stubborn = asyncio.ensure_future(user.call("begin"))
            assert await user.call("look")
            stubborn.cancel()
        assert origin.stop() == 0
        assert "tasks_left" in origin.logs()
        assert "did not stop" not in origin.logs()
    finally:
        origin.clean_up()
