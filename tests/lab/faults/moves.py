"""Planned moves, gates that do not obey, and a pause."""

from __future__ import annotations

import asyncio

from tests.lab.fault import Faults
from tests.lab.scene import ORIGIN, Scene
from tests.support.pair import now

fault = Faults()


@fault(
    35,
    how="B's gate does not open: another process has its RTMP port (A's origin was killed)",
    expected="B stays closed, alarms, tries again and stands back: A claims when it is there; "
    "gate_mismatch",
    gates=("nftables",),
)
async def gate_command_fails(scene: Scene) -> None:
    scene.site.seize_port("B")
    scene.strike("A's origin is killed")
    scene.kill("A", ORIGIN)
    await scene.alarm("B", "gate_mismatch")
    await scene.serves("A", seconds=45.0)
    scene.check("B never opened", scene.ports.opened("B", scene.struck_at) is None)
    scene.site.release_port("B")
    await scene.whole("A")


@fault(
    35,
    how="somebody deletes A's firewall table while A serves",
    expected="seen at the next look: gate_mismatch, and put right; A serves on",
    gates=("nftables",),
)
async def rule_altered(scene: Scene) -> None:
    scene.strike("A's rules are deleted")
    scene.site.machines["A"].host.output("nft", "flush", "ruleset")
    await scene.event("A", "gate_mismatch", wait=10.0)
    await scene.whole()
    active = await scene.site.active()
    if scene.check("one serves", active is not None) and active is not None:
        scene.note(f"{active.id} serves")


@fault(
    35,
    how="A's firewall table becomes another process's while A serves and is asked for a "
    "switchover: each change is refused",
    expected="the listener closes and sessions are cut; nobody until closed is proven (I7); "
    "gate_mismatch",
    gates=("nftables",),
)
async def closing_fails(scene: Scene) -> None:
    scene.strike("A's table is seized, switchover")
    scene.site.seize_table("A")
    asking = asyncio.create_task(scene.site.post("A", "/switchover"))
    await scene.alarm("A", "gate_mismatch", seconds=10.0)
    await scene.nobody_serves(seconds=2.0)
    scene.site.release_table("A")
    await asking
    await scene.whole()
    active = await scene.site.active()
    if scene.check("one serves", active is not None) and active is not None:
        scene.note(f"then {active.id} serves")


@fault(
    36,
    how="planned switchover under load (`rtmp-sync switchover`)",
    expected="B; write pause <= 0.3 s median, client gap <= 1.0 s, nothing lost, nothing twice; "
    "switchover report: pause_ms, final_seq",
)
async def switchover(scene: Scene) -> None:
    scene.strike("switchover")
    done = await scene.site.command(
        "A", "switchover", "--config", str(scene.site.machines["A"].config)
    )
    said = (done.stdout + done.stderr).strip()
    scene.check("exit code 0", done.returncode == 0, said)
    await scene.whole("B")
    event = await scene.event("A", "switchover", to="B")
    if event and scene.check(
        "it has pause_ms and final_seq", {"pause_ms", "final_seq"} <= set(event)
    ):
        scene.note(f"pause_ms={event['pause_ms']}")


@fault(
    37,
    how="the target of a switchover dies after PREPARE",
    expected="A goes on in the same epoch by the deadline; switchover_aborted",
)
async def target_dies(scene: Scene) -> None:
    epoch = (await scene.site.status("A"))["epoch"]
    scene.strike("switchover to a node that stands still")
    scene.freeze("B")
    code, answer = await scene.site.post("A", "/switchover")
    scene.check("the order says that it failed", code == 409, answer)
    scene.thaw("B")
    scene.kill("B", ORIGIN)
    await scene.event("A", "switchover_aborted")
    status = await scene.site.status("A")
    same = status.get("epoch") == epoch and status.get("role") == "active"
    scene.check("A serves in the same epoch", same, status.get("epoch"))
    scene.check("B never opened", scene.ports.opened("B", scene.struck_at) is None)
    await scene.acknowledged(20)
    await scene.whole("A")


@fault(
    38,
    how="pause, then A's origin and guard die, and come back; then resume",
    expected="nobody, by request, A's restart included; after `resume`: B; "
    "paused, would_have_failed_over",
)
async def paused(scene: Scene) -> None:
    code, answer = await scene.site.post("A", "/pause", {"reason": "the lab"})
    scene.check("the pause is recorded", code == 200, answer)
    await scene.alarm("B", "paused")
    scene.strike("A's origin and guard are killed")
    scene.kill("A")
    await scene.event("B", "would_have_failed_over", wait=15.0)
    scene.site.switch_on("A")
    await scene.nobody_serves(seconds=6.0)
    code, answer = await scene.site.post("B", "/resume")
    scene.check("the resume is recorded", code == 200, answer)
    await scene.serves("B", seconds=15.0, since=now())
    await scene.whole("B")
