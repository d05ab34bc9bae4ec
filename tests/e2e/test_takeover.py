"""The active origin is killed again and again under load, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Pair

KILLS = int(os.environ.get("RTMP_SYNC_KILLS", "10"))
SEED = int(os.environ.get("RTMP_SYNC_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
WRITES_BETWEEN_KILLS = 1000


async def test_ten_kills_of_the_active_origin_lose_nothing(pair: Pair) -> None:
    print(f"RTMP_SYNC_SEED={SEED}")
    moments = random.Random(SEED)
    async with (
        GateLog(pair) as gates,
        HealthSampler(pair) as health,
        Load(pair.url("proof/takeover")) as load,
    ):
        for kill in range(KILLS):
            await load.acknowledged(WRITES_BETWEEN_KILLS)
            active, standby = await pair.settled()
            await asyncio.sleep(moments.uniform(0, 0.5))  # the random moment, not a wait
            at = pair.signal(active, signal.SIGKILL)
            load.history.fault(at, f"SIGKILL of {active.id}")
            gates.ended(active, at)
            await load.full_read(f"reader-{kill}")
            await pair.becomes_active(standby, seconds=10)
            await load.everyone_served(at)
        await load.acknowledged(WRITES_BETWEEN_KILLS)
        await pair.settled()
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures(), f"{health.samples} samples of /health/active")
    assert load.history.problems() == []
    assert gates.problems() == []
    assert health.both == []
    assert health.open_samples > 0
