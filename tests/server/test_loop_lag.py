from __future__ import annotations

import asyncio
import time

from rtmp_sync.server.loop_lag import LoopLag
from tests.support.origins import until


async def test_a_stall_counts_once_for_who_asks_what_is_new() -> None:
    lag = LoopLag()
    lag.start()
    time.sleep(0.3)  # noqa: ASYNC251  # the stall
    await until(lambda: lag.seconds > 0.1)
    await asyncio.sleep(0)
    worst = 0.0
    async with asyncio.timeout(10):
        while worst < 0.1:
            worst = lag.since_last_asked()
            await asyncio.sleep(0)
    assert lag.seconds > 0.1  # of the last second
    assert lag.since_last_asked() < 0.1
    lag.stop()
