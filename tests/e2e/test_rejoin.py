"""What happens after a takeover: rejoining, staying, going back on request, a restart of both."""

from __future__ import annotations

import signal

from rtmp_sync import NetConnection
from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Pair, now


async def test_the_restarted_node_joins_as_standby_and_the_service_stays(pair: Pair) -> None:
    async with Load(pair.url("proof/rejoin")) as load:
        await load.acknowledged(200)
        active, standby = await pair.settled()
        at = pair.signal(active, signal.SIGKILL)
        load.history.fault(at, f"SIGKILL of {active.id}")
        now_active, now_standby = await pair.settled()
        assert (now_active.id, now_standby.id) == (standby.id, active.id)
        status, other = await pair.status(now_active), await pair.status(now_standby)
        await load.acknowledged(200)
        await load.rest()
        await load.full_read("last-reader")
    assert load.history.problems() == []
    assert status is not None
    assert other is not None
    assert (status["role"], other["role"]) == ("active", "standby")
    assert (status["gate"], other["gate"]) == ("open", "closed")
    assert active.id in status["sync"]
    assert status["epoch"] == other["epoch"]
    assert pair.line().endswith("\\secondaryUP") == (standby.id == "B")


async def test_failback_returns_the_service_without_losing_an_update(pair: Pair) -> None:
    async with (
        HealthSampler(pair) as health,
        GateLog(pair) as gates,
        Load(pair.url("proof/failback")) as load,
    ):
        active, _ = await pair.settled()
        if active.id == "A":  # it must have something to return from
            gates.ended(active, pair.signal(active, signal.SIGKILL))
            await pair.becomes_active(pair.node("B"), seconds=10)
            await pair.settled()
        await load.acknowledged(1000)
        tails = set(pair.directory.glob("*/state/divergent-*"))
        result = await pair.run_command("failback")
        at = now()
        load.history.fault(at, "failback")
        assert result.returncode == 0, result.stdout + result.stderr
        await load.full_read("reader")
        await load.everyone_served(at)
        now_active, _ = await pair.settled()
        await load.acknowledged(1000)
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures())
    assert now_active.id == "A"
    assert load.history.problems() == []
    assert gates.problems() == []
    assert health.both == []
    assert not pair.line().endswith("\\secondaryUP")
    assert (
        set(pair.directory.glob("*/state/divergent-*")) == tails
    )  # the old active held nothing back


async def test_persistent_objects_survive_a_restart_of_both(own_pair: Pair) -> None:
    own_pair.start()
    await own_pair.settled()
    client = NetConnection(reconnect=False)
    await client.connect(own_pair.url("text/room"), "writer", "Type1")
    await client.call("setText", "still here")
    kept = await client.shared_object("kept", persistent=True)
    version = await kept.set("slot", "value")
    await client.close()
    assert own_pair.stop() == 0

    own_pair.start()
    await own_pair.settled()
    client = NetConnection(reconnect=False)
    await client.connect(own_pair.url("text/room"), "reader", "Type1")
    kept = await client.shared_object("kept", persistent=True)
    text = await client.shared_object("text", persistent=True)
    await client.close()
    assert dict(kept) == {"slot": "value"}
    assert kept.version >= version
    assert text["txt"] == "still here"
