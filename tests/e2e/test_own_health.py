"""An origin that lives and serves nobody: it finds out, and gives the service away."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, within


def take_descriptors(node: Node) -> tuple[int, int]:
    """From now on the origin gets none; the limits of before."""
    used = [int(entry.name) for entry in Path(f"/proc/{node.pid}/fd").iterdir()]
    limits = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    # whatever is free below is taken first: the numbers that are in use have gaps
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (min(len(used), max(used)), limits[1]))
    return limits


async def test_an_origin_without_file_descriptors_hands_the_service_over(pair: Pair) -> None:
    async with HealthSampler(pair) as health, Load(pair.url("proof/descriptors")) as load:
        await load.acknowledged(500)
        active, standby = await pair.settled()
        limits = take_descriptors(active)
        try:
            await pair.becomes_active(standby, seconds=30)
        finally:
            resource.prlimit(active.pid, resource.RLIMIT_NOFILE, limits)
        await load.acknowledged(500)
        await load.rest()
        await load.full_read("reader")
    assert load.history.problems() == []
    assert health.both == []

    async def told() -> str | None:
        events = await pair.history(active) or []
        reasons = [one["reason"] for one in events if one["event"] == "switchover"]
        return reasons[-1] if reasons else None  # of earlier tests, too: the last one counts

    reason = await within(20, "the one who gave it away tells why", told)
    assert reason == "self_probe_rtmp"
    await pair.settled()
