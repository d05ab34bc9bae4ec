"""etcd: its quorum, its leader, the holder's lease."""

from __future__ import annotations

import asyncio

from tests.lab.fault import Faults
from tests.lab.scene import Scene

fault = Faults()

ETCD = ("etcd",)
SLOW_SECONDS = 1.5


@fault(
    32,
    how="two of three etcd members stand still (failsafe on)",
    expected="A holds while B promises; B never promotes; store=no_quorum",
    modes=ETCD,
    tables={"failover": {"failsafe": True}},
)
async def quorum_lost(scene: Scene) -> None:
    scene.strike("no quorum")
    scene.etcd.hang()
    text = await scene.alarm("A", "store", seconds=12.0)
    scene.check("it says that the quorum is lost", "quorum" in str(text), text)
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=10.0)
    scene.etcd.heal()
    await scene.whole("A")


@fault(
    32,
    how="the same with failsafe off",
    expected="A closes at its deadline; B never promotes; A again when etcd is back",
    modes=ETCD,
)
async def quorum_lost_no_failsafe(scene: Scene) -> None:
    at = scene.strike("no quorum")
    scene.etcd.hang()
    await asyncio.sleep(8.0)
    closed = scene.ports.closed("A", at)
    if scene.check("A closed", closed is not None) and closed is not None:
        scene.note(f"A closed after {closed - at:.2f} s")
    await scene.nobody_serves(seconds=4.0)
    scene.etcd.heal()
    await scene.whole(seconds=40.0)
    await scene.event("A", "fenced", reason="isolated_self_fence")


@fault(
    33,
    how=f"etcd's leader stands still for {SLOW_SECONDS} s; then it is killed",
    expected="A, no failover; renew latency metric",
    modes=ETCD,
)
async def leader_lost(scene: Scene) -> None:
    cluster = scene.etcd.cluster
    leader = await cluster.leader()
    scene.strike("the leader stands still")
    leader.freeze()
    await asyncio.sleep(SLOW_SECONDS)
    leader.thaw()
    await scene.serves_on("A", seconds=4.0)
    await cluster.until_well()
    leader = await cluster.leader()
    leader.kill()
    await scene.serves_on("A", seconds=8.0)
    await scene.acknowledged(20)
    status = await scene.site.status("B")
    scene.check("B is a ready standby", status.get("state") == "READY", status.get("state"))
    await cluster.restart(leader)
    metrics = await scene.site.metrics("A")
    named = [line for line in metrics.splitlines() if "renew" in line and not line.startswith("#")]
    if scene.check("a metric of the renewals", named):
        scene.note(named[-1])


@fault(
    34,
    how="the holder's lease is revoked by hand",
    expected="A steps down at the watch event (< 1 s); B claims, or A again if it has not within "
    "1 s; reason=lease_revoked",
    modes=ETCD,
)
async def revoked(scene: Scene) -> None:
    leases = await scene.etcd.cluster.leases()
    at = scene.strike("the lease is revoked")
    for lease in leases:
        await scene.etcd.cluster.revoke(lease)
    await scene.event("A", "fenced", reason="lease_revoked")
    closed = scene.ports.closed("A", at)
    if scene.check("A stepped down", closed is not None) and closed is not None:
        scene.note(f"A closed after {closed - at:.2f} s")
        scene.check("within a second", closed - at < 1.0, closed - at)
    await scene.whole()
    active = await scene.site.active()
    if scene.check("one serves", active is not None) and active is not None:
        opened = scene.ports.opened(active.id, closed or at)
        scene.note(f"{active.id} open after {(opened or 0.0) - at:.2f} s")
