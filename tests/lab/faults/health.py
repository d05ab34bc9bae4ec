"""Origins that are not well, or only seem so: clocks, stalls, credentials, descriptors, guards."""

from __future__ import annotations

import asyncio
import resource

from tests.lab.fault import Faults
from tests.lab.scene import GUARD, ORIGIN, Scene
from tests.support.pair import now

fault = Faults()

HOUR = 3600
STALL_SECONDS = 1.5


@fault(
    16,
    how="ping that flaps: 2 of every 3 probes of A are not answered",
    expected="A (never 3 in a row); flap counter, suspect on and off",
)
async def flapping(scene: Scene) -> None:
    """A is deaf on its health port for two of B's probes, and hears at least one of the next."""
    scene.strike("flapping ping")
    for _ in range(5):
        scene.site.deaf("A", to="B", deaf=True)
        await asyncio.sleep(0.9)
        scene.site.deaf("A", to="B", deaf=False)
        await asyncio.sleep(0.6)
    await scene.event("B", "suspect", on=True)
    await scene.event("B", "suspect", on=False)
    flaps = (await scene.site.status("B"))["peer"]["flaps"]
    scene.check("flaps are counted", flaps >= 1, flaps)
    scene.note(f"{flaps} flaps")
    await scene.serves_on("A", seconds=2.0)
    await scene.whole("A")


@fault(
    17,
    how="the wall clock jumps an hour ahead on A, an hour back on B, and back again",
    expected="unchanged (boot clock only); clock_step",
    clocked=True,
)
async def clocks_jump(scene: Scene) -> None:
    scene.strike("the clocks jump")
    scene.site.set_clock("A", HOUR)
    scene.site.set_clock("B", -HOUR)
    await scene.event("A", "clock_step", seconds=lambda s: abs(float(s) - HOUR) < 60)
    await scene.event("B", "clock_step", seconds=lambda s: abs(float(s) + HOUR) < 60)
    await scene.serves_on("A", seconds=5.0)
    scene.site.set_clock("A", 0)
    scene.site.set_clock("B", 0)
    await scene.serves_on("A", seconds=3.0)
    scene.kill("A", ORIGIN)
    await scene.serves("B", seconds=8.0, since=now())
    await scene.whole("B")


@fault(
    18,
    how=f"B's loop stalls for {STALL_SECONDS} s (SIGSTOP of its origin)",
    expected="A, degraded for a moment; B drops the samples of the stall; loop_lag on B",
)
async def loop_stalls(scene: Scene) -> None:
    scene.strike("B's origin stands still")
    scene.freeze("B", ORIGIN)
    await asyncio.sleep(STALL_SECONDS)
    scene.thaw("B")
    await scene.event("B", "loop_lag", wait=10.0)
    await scene.serves_on("A", seconds=4.0)
    status = await scene.site.status("B")
    restarted = [e for e in await scene.site.history("B") if e["event"] == "killed_by_guard"]
    scene.check("its guard let it live", bool(status) and not restarted, restarted)
    await scene.whole("A")


@fault(
    29,
    how="B's admin password is wrong: its pings are rejected; later A's host dies",
    expected="A (no failover); probe_auth_rejected; link and store evidence still decide: B then",
    fresh=True,
)
async def rejected(scene: Scene) -> None:
    scene.strike("B's password is another one")
    scene.power_off("B")
    scene.site.set_password("B", "not the right one")
    scene.power_on("B")
    await scene.alarm("B", "probe_auth_rejected", seconds=40.0)
    await scene.whole("A")
    await scene.serves_on("A", seconds=4.0)
    scene.power_off("A")
    await scene.serves("B", seconds=10.0, since=now())
    scene.power_on("A")
    await scene.whole("B")


@fault(
    39,
    how="kill -9 of A's guard, the origin is healthy",
    expected="A serves on; guard_lost",
)
async def guard_dies(scene: Scene) -> None:
    scene.spoiled = True
    scene.strike("kill -9 of the guard")
    scene.kill("A", GUARD)
    await scene.alarm("A", "guard_lost")
    await scene.serves_on("A", seconds=5.0)


@fault(
    39,
    how="the same with guard_lost = switchover",
    expected="planned switchover to B; guard_lost",
    tables={"failover": {"guard_lost": "switchover"}},
)
async def guard_dies_switch(scene: Scene) -> None:
    scene.spoiled = True
    scene.strike("kill -9 of the guard")
    scene.kill("A", GUARD)
    await scene.serves("B", seconds=8.0)
    await scene.event("A", "switchover", reason="guard_lost", to="B")
    await scene.whole("B")


@fault(
    40,
    how="A's origin has no file descriptors left: it accepts nobody",
    expected="the RTMP self-probe fails 3 times -> planned switchover; reason=self_probe_rtmp",
)
async def no_descriptors(scene: Scene) -> None:
    """Those that it has go on: the link, the peer's and the load balancer's connections."""
    pid = scene.site.machines["A"].pid(ORIGIN)
    assert pid is not None
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    scene.strike("no more descriptors")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, before[1]))
    try:
        await scene.serves("B", seconds=15.0)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    await scene.event("A", "switchover", reason="self_probe_rtmp", to="B")
    await scene.whole("B")
    code, answer = await scene.site.post("B", "/failback")
    scene.check("A is well again: failback", code == 200, answer)
