"""Processes and hosts that die, hang or stand still, and come back."""

from __future__ import annotations

import asyncio

from tests.lab.fault import Faults
from tests.lab.scene import ORIGIN, Scene

fault = Faults()

VM_PAUSE_SECONDS = 60.0


async def _sticky(scene: Scene, epoch: int) -> None:
    """B serves in the next epoch, A is its ready standby, and it stays so."""
    if await scene.whole("B"):
        status = await scene.site.status("B")
        scene.check("the next epoch", status["epoch"] == epoch + 1, status["epoch"])
        scene.check("A is in sync", "A" in status["sync"], status["sync"])


async def _epoch(scene: Scene) -> int:
    return int((await scene.site.status("A"))["epoch"])


@fault(
    1,
    how="kill -9 of A's origin in the middle of a batch",
    expected="B, e+1, about 0.1 s; failover reason=process_exit; sticky=B",
)
async def kill_origin(scene: Scene) -> None:
    epoch = await _epoch(scene)
    scene.strike("kill -9 of the origin")
    scene.kill("A", ORIGIN)
    await scene.serves("B", seconds=3.0)
    await scene.event("B", "failover", reason="process_exit", from_="A", to="B", epoch=epoch + 1)
    await _sticky(scene, epoch)


@fault(
    2,
    how="power off A's host",
    expected="B, e+1, within 4.5 s (etcd: TTL + 1 s); reason=holder_expired",
)
async def power_off(scene: Scene) -> None:
    epoch = await _epoch(scene)
    scene.strike("power off")
    scene.power_off("A")
    await scene.serves("B", seconds=8.0)
    await scene.event("B", "failover", reason="holder_expired")
    scene.power_on("A")
    await _sticky(scene, epoch)


@fault(
    3,
    how="SIGSTOP of A's origin alone",
    expected="its guard kills it after 2.0 s and releases; B; reason=hung, killed_by_guard",
)
async def hang_origin(scene: Scene) -> None:
    epoch = await _epoch(scene)
    scene.strike("SIGSTOP of the origin")
    scene.freeze("A", ORIGIN)
    await scene.serves("B", seconds=6.0)
    scene.thaw("A")
    await scene.event("B", "failover", reason="hung")
    await scene.event("A", "killed_by_guard", wait=20.0)
    await _sticky(scene, epoch)


@fault(
    4,
    how=f"SIGSTOP of A's origin and guard (VM pause), resumed after {VM_PAUSE_SECONDS:g} s",
    expected="B from the end of the lease or claim; A refuses what queued and rejoins; "
    "B: holder_expired; A: fenced_on_resume, paused_for",
)
async def pause_host(scene: Scene) -> None:
    epoch = await _epoch(scene)
    at = scene.strike("SIGSTOP of the whole host")
    scene.freeze("A")
    await scene.serves("B", seconds=8.0)
    if scene.site.setup.gate != "listener":
        closed = scene.ports.closed("A", at)
        scene.check("the kernel closes the port by itself", closed is not None)
        if closed is not None:
            scene.note(f"A's kernel closed after {closed - at:.2f} s")
    await scene.event("B", "failover", reason="holder_expired")
    await asyncio.sleep(at + VM_PAUSE_SECONDS - scene.ports.samples["A"][-1].ended)
    scene.thaw("A")
    event = await scene.event("A", "fenced", reason="fenced_on_resume")
    if event:
        paused = float(event.get("paused_for", 0.0))
        right = abs(paused - VM_PAUSE_SECONDS) < 5.0
        scene.check("it says for how long", right, paused)
    await _sticky(scene, epoch)


@fault(
    25,
    how="both hosts lose power and come back at once",
    expected="both start closed and talk; the recorded holder releases to a peer in sync; "
    "about restart + 3.5 s; cold_start decision line",
)
async def both_restart(scene: Scene) -> None:
    scene.strike("power off both")
    scene.power_off("A", "B")
    for node in ("A", "B"):
        scene.power_on(node)
    await scene.whole()
    active = await scene.site.active()
    if scene.check("one serves", active is not None) and active is not None:
        why = await scene.decision(active.id, "cold_start", "reclaimed", "failover")
        scene.note(f"{active.id} serves: {why}")


@fault(
    26,
    how="A's host loses power and comes back at once with an empty disk",
    expected="B (A's new boot releases); B refuses an empty snapshot: refused_regressing_snapshot",
)
async def restarts_empty(scene: Scene) -> None:
    scene.strike("power off, empty disk")
    scene.power_off("A")
    scene.site.machines["A"].empty_disk()
    scene.power_on("A")
    await scene.serves("B", seconds=15.0)
    await scene.whole("B")


@fault(
    30,
    how="A is repaired while B holds (after a crash of A)",
    expected="B stays open, A is a closed standby, exactly one open at every sample; "
    "rejoined, sticky=B, failback available",
)
async def repaired(scene: Scene) -> None:
    scene.strike("kill -9 of origin and guard")
    scene.kill("A")
    await scene.serves("B", seconds=8.0)
    scene.site.switch_on("A")
    await scene.whole("B")
    await scene.event("A", "rejoined", sticky="B")
    await scene.serves_on("B", seconds=5.0)
    code, answer = await scene.site.post("B", "/failback")
    scene.check("failback is there", code == 200, answer)
    await scene.whole("A")


@fault(
    31,
    how="B, the sticky holder, is killed while A is in sync",
    expected="A, next epoch; the line loses its flag; failover from B to A",
)
async def sticky_dies(scene: Scene) -> None:
    code, answer = await scene.site.post("A", "/switchover")
    scene.check("B is made the holder", code == 200, answer)
    await scene.whole("B")
    await scene.acknowledged(60)
    epoch = int((await scene.site.status("B"))["epoch"])
    scene.strike("kill -9 of B's origin")
    scene.kill("B", ORIGIN)
    await scene.serves("A", seconds=3.0)
    await scene.event("A", "failover", from_="B", to="A", epoch=epoch + 1)
    await scene.whole("A")
    if scene.site.setup.coordinator == "file":

        async def flagless() -> bool:
            return not scene.nas.line.read_text().strip().endswith("\\secondaryUP")

        await scene.comes("the line has lost its flag", flagless)
