"""A pair whose record is in a real etcd: crash, freeze, switchover, a lease taken away."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.etcd import EtcdCluster
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, within


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("etcd")


@pytest.fixture
async def etcd(folder: Path) -> AsyncIterator[EtcdCluster]:
    cluster = EtcdCluster(folder / secrets.token_hex(4), size=3)
    await cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture
def pair_in_etcd(etcd: EtcdCluster) -> Iterator[Pair]:
    addresses = [str(address) for address in etcd.addresses]
    pair = Pair(failover={"etcd": addresses, "etcd_prefix": "/test/pair", "failsafe": True})
    pair.start()
    yield pair
    pair.clean_up()


async def event_of(pair: Pair, node: Node, name: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        events = await pair.history(node) or []
        return next((one for one in reversed(events) if one["event"] == name), None)

    event: dict[str, Any] = await within(20, f"{node.id} tells of {name}", look)
    return event


async def test_a_pair_in_etcd_lives_through_what_a_pair_on_a_nas_does(pair_in_etcd: Pair) -> None:
    pair = pair_in_etcd
    async with HealthSampler(pair) as health, Load(pair.url("proof/etcd")) as load:
        await load.acknowledged(500)

        active, standby = await pair.settled()
        at = pair.signal(active, signal.SIGKILL)
        load.history.fault(at, f"SIGKILL of {active.id}")
        await pair.becomes_active(standby, seconds=15)
        failover = await event_of(pair, standby, "failover")
        assert failover["reason"] == "process_exit"

        active, standby = await pair.settled()
        at = pair.signal(active, signal.SIGSTOP, guard=True)
        load.history.fault(at, f"SIGSTOP of {active.id} and its guard")
        await pair.becomes_active(standby, seconds=20)
        pair.signal(active, signal.SIGCONT, guard=True)

        active, standby = await pair.settled()
        code, answer = await pair.order(active, "switchover")
        assert (code, answer["done"]) == (200, True)
        await pair.becomes_active(standby, seconds=15)
        await pair.settled()
        await load.acknowledged(500)
        await load.rest()
        await load.full_read("reader")
    print(load.history.figures())
    assert load.history.problems() == []
    assert health.both == []


async def test_a_lease_that_is_revoked_by_hand_moves_the_service(
    pair_in_etcd: Pair, etcd: EtcdCluster
) -> None:
    pair = pair_in_etcd
    async with HealthSampler(pair) as health, Load(pair.url("proof/revoked")) as load:
        await load.acknowledged(500)
        active, standby = await pair.settled()
        await etcd.delete("/test/pair/holder")
        await pair.becomes_active(standby, seconds=10)
        assert (await event_of(pair, active, "fenced"))["reason"] == "lease_revoked"
        await pair.settled()
        await load.acknowledged(500)
        await load.rest()
        await load.full_read("reader")
    assert load.history.problems() == []
    assert health.both == []


async def test_while_the_quorum_is_lost_the_active_one_holds_on_promises(
    pair_in_etcd: Pair, etcd: EtcdCluster
) -> None:
    pair = pair_in_etcd
    async with HealthSampler(pair) as health, Load(pair.url("proof/quorum")) as load:
        await load.acknowledged(500)
        active, _ = await pair.settled()
        gone = await etcd.followers()
        for member in gone:
            member.kill()

        async def told() -> bool:
            status = await pair.status(active)
            return status is not None and status["alarms"].get("store", "").startswith("no_quorum")

        await within(20, "the alarm store=no_quorum", told)
        await load.acknowledged(2000)
        assert await pair.healthy(active, "active")
        for member in gone:
            await etcd.restart(member)
        assert (await pair.settled())[0].id == active.id
        await load.rest()
    assert load.history.problems() == []
    assert health.both == []
