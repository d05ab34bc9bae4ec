"""Hung, frozen and powered-off nodes: the other takes over, the old one shows nothing more."""

from __future__ import annotations

import signal

from rtmp_sync import NetConnection
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Pair, now, within
from tests.support.tap import Tap

FREEZE_SECONDS = 10.0


async def test_a_hung_origin_is_replaced(pair: Pair) -> None:
    async with HealthSampler(pair) as health, Load(pair.url("proof/hang")) as load:
        await load.acknowledged(1000)
        active, standby = await pair.settled()
        at = pair.signal(active, signal.SIGSTOP)
        load.history.fault(at, f"SIGSTOP of {active.id}")
        await load.full_read("reader")
        await pair.becomes_active(standby, seconds=15)
        await load.everyone_served(at)
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures())
    assert load.history.problems() == []
    assert health.both == []
    await pair.settled()


async def test_killing_origin_and_guard_is_a_dead_host(pair: Pair) -> None:
    async with HealthSampler(pair) as health, Load(pair.url("proof/host")) as load:
        await load.acknowledged(1000)
        active, standby = await pair.settled()
        at = pair.signal(active, signal.SIGKILL, guard=True)
        load.history.fault(at, f"SIGKILL of {active.id} and its guard")
        await pair.becomes_active(standby, seconds=20)
        await load.full_read("reader")
        await load.everyone_served(at)
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures())
    assert load.history.problems() == []
    assert health.both == []
    await pair.settled()


async def test_a_thawed_node_acknowledges_nothing_and_shows_nobody_anything(pair: Pair) -> None:
    async with (
        HealthSampler(pair) as health,
        Load(pair.url("proof/freeze")) as load,
    ):
        await load.acknowledged(1000)
        active, standby = await pair.settled()
        async with Tap(active.rtmp) as tap:
            direct = NetConnection(reconnect=False)
            await direct.connect(pair.url("proof/freeze", tap.address), "direct", "Writer")
            board = await direct.shared_object("board-c00", persistent=True)
            load.history.set_sent(("board-c00", "direct"), 1)
            await board.set("direct", 1.0)
            at = pair.signal(active, signal.SIGSTOP, guard=True)
            load.history.fault(at, f"SIGSTOP of {active.id} and its guard")
            board.set_nowait("direct", 2.0)  # waits in the frozen node's socket buffer
            await pair.becomes_active(standby, seconds=20)
            await load.everyone_served(at)
            thaw_at = at + FREEZE_SECONDS

            async def time_to_thaw() -> bool:
                return now() >= thaw_at

            await within(FREEZE_SECONDS + 5, "the time to thaw", time_to_thaw)
            tap.mark()
            pair.signal(active, signal.SIGCONT, guard=True)
            await within(20, "the thawed node cut its client off", tap.ended)
            assert tap.shown_after_mark() == []
            await direct.close()
        await pair.settled()
        await load.acknowledged(1000)
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures())
    assert load.history.problems() == []
    assert load.history.seen[("board-c00", "direct")] == 1  # what was queued was never applied
    assert health.both == []
