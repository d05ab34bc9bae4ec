"""Ways between the hosts that are cut, in one direction or both."""

from __future__ import annotations

from tests.lab.fault import Faults
from tests.lab.scene import Scene

fault = Faults()


@fault(
    5,
    how="A and B do not reach each other; the store and the load balancer reach both",
    expected="A, no failover; it records sync=[] at once, then goes on; peer_unreachable on both; "
    "degraded; B not promotable",
)
async def partition(scene: Scene) -> None:
    scene.strike("partition of A and B")
    scene.site.cut("A", "B")
    await scene.alarm("A", "peer_unreachable")
    await scene.alarm("B", "peer_unreachable")
    await scene.alarm("A", "degraded")
    await scene.state("A", "sync", [])
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=6.0)
    ready = await scene.site.healthy("B", "standby")
    scene.check("B is not promotable", not ready)
    scene.site.heal()
    await scene.whole("A")


@fault(
    6,
    how="the load balancer does not reach A, B and the store do (lb_path = auto)",
    expected="planned switchover to B; reason=lb_path_lost",
    tables={"failover": {"lb_path": "auto"}},
)
async def balancer_path(scene: Scene) -> None:
    """Our own looks at A's health are checks, too: A must not hear of them either."""
    scene.strike("partition of A and the load balancer")
    scene.site.cut("A", "lb")
    scene.site.cut("A", "clients")
    await scene.serves("B", seconds=12.0)
    await scene.acknowledged(20)
    scene.site.heal()
    await scene.event("A", "switchover", reason="lb_path_lost", to="B")
    await scene.whole("B")


@fault(
    7,
    how="A is cut off from B and the store; the load balancer reaches A",
    expected="A closes at its deadline; B claims, waits, opens, no overlap; "
    "A: isolated_self_fence; B: failover",
)
async def isolated(scene: Scene) -> None:
    at = scene.strike("A cut off from B and the store")
    scene.site.cut("A", "B")
    scene.site.cut("A", "store")
    await scene.serves("B", seconds=10.0)
    closed = scene.ports.closed("A", at)
    if scene.check("A closed its port", closed is not None) and closed is not None:
        scene.note(f"A closed after {closed - at:.2f} s")
    await scene.event("A", "fenced", reason="isolated_self_fence")
    await scene.event("B", "failover", to="B")
    scene.site.heal()
    await scene.whole("B")


@fault(
    8,
    how="B is cut off from A and the store",
    expected="A; standby lost, no redundancy",
)
async def standby_cut_off(scene: Scene) -> None:
    scene.strike("B cut off from A and the store")
    scene.site.cut("A", "B")
    scene.site.cut("B", "store")
    await scene.alarm("A", "degraded")
    await scene.alarm("A", "peer_unreachable")
    await scene.alarm("B", "store")
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=5.0)
    scene.site.heal()
    await scene.whole("A")


@fault(
    9,
    how="what B sends does not reach A: acknowledgements are lost",
    expected="A, degraded; B goes on applying and is not promotable once recorded; "
    "ack_timeout, asymmetric link hint",
)
async def one_way(scene: Scene) -> None:
    scene.strike("B to A is cut")
    scene.site.cut("B", "A", one_way=True)
    await scene.alarm("A", "degraded")
    await scene.event(
        "A", "degraded", reason=lambda why: why in ("ack_timeout", "peer_unreachable")
    )
    await scene.state("A", "sync", [])
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=5.0)
    ready = await scene.site.healthy("B", "standby")
    scene.check("B is not promotable", not ready)
    scene.site.heal()
    await scene.whole("A")
