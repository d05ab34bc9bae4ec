"""A method that blocks the loop ends with an error for its caller, and the pair stays as it is."""

from __future__ import annotations

import pytest

from rtmp_sync import CallError, NetConnection
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Pair, now


async def test_a_method_that_blocks_the_loop_is_stopped_and_the_service_stays(pair: Pair) -> None:
    async with (
        HealthSampler(pair) as health,
        Load(pair.url("proof/blocked")) as load,
        NetConnection() as culprit,
    ):
        await culprit.connect(pair.url("proof/culprit"), "culprit", "Writer")
        await load.acknowledged(500)
        active, _ = await pair.settled()
        at = now()
        load.history.fault(at, f"a method blocks the loop of {active.id}")
        for _ in range(2):
            with pytest.raises(CallError, match="The method blocked the server and was stopped"):
                await culprit.call("block", "culprit", 60.0)
        await load.everyone_served(at)
        ran = await culprit.call("counts")
        assert ran["block/culprit"] == 2.0
        assert "block-end/culprit" not in ran
        await load.rest()
        await load.full_read("last-reader")
    assert load.history.problems() == []
    assert health.both == []
    still, _ = await pair.settled()
    assert (still.id, still.pid) == (active.id, active.pid)
