"""A whole pair whose record is in an etcd of three members: nothing acknowledged is lost, and
never are two gates open, whatever happens to a node, to its lease or to etcd."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.cluster.timing import DEFAULT
from tests.support.etcd import EtcdCluster
from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, now, within

WRITES = 300


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    made = EtcdCluster(tmp_path / "etcd", 3)
    await made.start()
    yield made
    made.close()


@pytest.fixture
async def etcd_pair(cluster: EtcdCluster, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """The fixture's parameter: further keys of [failover]."""
    members = [str(address) for address in cluster.addresses]
    keys = {"coordinator": "etcd", "etcd": members, "nodes": ["A", "B"]}
    made = Pair(failover=keys | getattr(request, "param", {}))
    made.start()
    yield made
    made.clean_up()


class Watch:
    """A pair under load; at the end, what was seen of it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.gates = GateLog(pair)
        self.health = HealthSampler(pair)
        self.load = Load(pair.url("proof/etcd"))

    async def settled(self) -> tuple[Node, Node]:
        await self.load.acknowledged(WRITES)
        return await self.pair.settled()

    async def served_by(self, node: Node, at: float, *, seconds: float = 20) -> None:
        await self.pair.becomes_active(node, seconds=seconds)
        await self.load.everyone_served(at)

    async def all_is_well(self) -> None:
        await self.settled()
        await self.load.rest()
        await self.load.full_read("last-reader")
        assert self.load.history.problems() == []
        self.gates.collect()
        assert self.gates.problems() == []
        assert self.health.both == []


async def test_nodes_that_die_freeze_or_hand_over_lose_nothing(etcd_pair: Pair) -> None:
    watch = Watch(etcd_pair)
    async with watch.gates, watch.health, watch.load:
        active, standby = await watch.settled()
        at = etcd_pair.signal(active, signal.SIGKILL)
        watch.load.history.fault(at, f"SIGKILL of {active.id}")
        watch.gates.ended(active, at)
        await watch.served_by(standby, at)

        active, standby = await watch.settled()
        status, answer = await etcd_pair.order(active, "switchover")
        assert (status, answer["done"]) == (200, True), answer
        await etcd_pair.becomes_active(standby, seconds=10)

        active, standby = await watch.settled()
        at = etcd_pair.signal(active, signal.SIGSTOP, guard=True)
        watch.load.history.fault(at, f"{active.id} frozen")
        await watch.served_by(standby, at)
        thawed = etcd_pair.signal(active, signal.SIGCONT, guard=True)
        watch.gates.frozen(active, at, thawed)
        await watch.all_is_well()


async def test_what_happens_to_etcd_is_not_seen_by_clients(
    etcd_pair: Pair, cluster: EtcdCluster
) -> None:
    watch = Watch(etcd_pair)
    async with watch.gates, watch.health, watch.load:
        active, _ = await watch.settled()
        for harm in ("kill", "freeze"):
            leader = await cluster.leader()
            getattr(leader, harm)()
            await cluster.until_well()
            await watch.load.acknowledged(WRITES)
            assert await etcd_pair.active() == active
            if harm == "kill":
                await cluster.restart(leader)
            else:
                leader.thaw()
            await cluster.until_well()
        await watch.all_is_well()
        status = await etcd_pair.status(active)
        assert status is not None
        assert (status["epoch"], status["role"]) == (1, "active")


async def test_a_revoked_lease_ends_the_epoch_and_the_other_node_serves(
    etcd_pair: Pair, cluster: EtcdCluster
) -> None:
    watch = Watch(etcd_pair)
    async with watch.gates, watch.health, watch.load:
        active, _ = await watch.settled()
        before = await etcd_pair.status(active)
        assert before is not None
        for lease in await cluster.leases():
            await cluster.revoke(lease)

        async def next_epoch() -> bool:
            now_active = await etcd_pair.active()
            status = await etcd_pair.status(now_active) if now_active is not None else None
            return status is not None and status["epoch"] > before["epoch"]

        await within(20, "somebody serves in the next epoch", next_epoch)
        await watch.all_is_well()
        events = [event["event"] for event in await etcd_pair.history(active) or ()]
        assert "fenced" in events


@pytest.mark.parametrize("etcd_pair", [{"failsafe": True}], indirect=True)
async def test_promises_keep_the_active_one_up_while_etcd_has_no_quorum(
    etcd_pair: Pair, cluster: EtcdCluster
) -> None:
    watch = Watch(etcd_pair)
    async with watch.gates, watch.health, watch.load:
        active, standby = await watch.settled()
        lost = await cluster.followers()
        for member in lost:
            member.kill()
        down_at = now()
        await within(20, "the trouble is shown", lambda: _alarmed(etcd_pair, active, "store"))
        while now() < down_at + 3 * DEFAULT.ttl:  # far beyond what the lease gave it
            await watch.load.acknowledged(WRITES)
            assert await etcd_pair.active() == active
        status = await etcd_pair.status(standby)
        assert status is not None
        assert status["role"] != "active"
        for member in lost:
            member.start(cluster.members)
        await cluster.until_well()
        await watch.load.acknowledged(WRITES)
        await etcd_pair.settled(seconds=60)
        await watch.all_is_well()


async def test_without_promises_it_closes_and_serves_again_when_the_quorum_is_back(
    etcd_pair: Pair, cluster: EtcdCluster
) -> None:
    watch = Watch(etcd_pair)
    async with watch.gates, watch.health, watch.load:
        await watch.settled()
        lost = await cluster.followers()
        for member in lost:
            member.kill()
        at = now()
        watch.load.history.fault(at, "etcd has no quorum")
        await within(20, "nobody serves", lambda: _nobody(etcd_pair))
        for member in lost:
            member.start(cluster.members)
        await cluster.until_well()
        await watch.load.everyone_served(at)
        await watch.all_is_well()


async def _alarmed(pair: Pair, node: Node, alarm: str) -> bool:
    status = await pair.status(node)
    return status is not None and alarm in status["alarms"]


async def _nobody(pair: Pair) -> bool:
    return await pair.active() is None
