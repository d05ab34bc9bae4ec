"""The NAS: it hangs, is full, shows stale content, and people edit what is on it."""

from __future__ import annotations

import asyncio

from tests.lab.fault import Faults
from tests.lab.scene import Scene
from tests.support.pair import now

fault = Faults()

FILE = ("file",)


@fault(
    10,
    how="the NAS hangs (state D) on both hosts",
    expected="A holds on the peer's promises, the loop is unaffected; store=hung, "
    "automatic failover disabled",
    modes=FILE,
)
async def hangs(scene: Scene) -> None:
    scene.strike("the NAS hangs")
    scene.nas.hang()
    text = await scene.alarm("A", "store")
    scene.check("it says that the NAS hangs", "hung" in str(text), text)
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=8.0)
    slow = [gap for gap in scene.load.history.gaps() if gap.seconds > 2.5]
    scene.check("clients hardly notice", not slow, slow)
    scene.nas.heal()
    await scene.whole("A")


@fault(
    11,
    how="the store hangs (etcd: no quorum) and A's host dies",
    expected="nobody; B stays closed until the store returns or `failover --force --fenced`; "
    "B's copy is intact; cannot_claim",
)
async def hangs_and_a_dies(scene: Scene) -> None:
    scene.strike("the store hangs, A's host dies")
    scene.site.store.hang()
    await scene.alarm("B", "store")
    scene.power_off("A")
    await scene.alarm("B", "cannot_claim", seconds=15.0)
    await scene.nobody_serves(seconds=4.0)
    done = await scene.site.command(
        "B",
        *("failover", "--force", "--fenced", "--yes"),
        *("--config", str(scene.site.machines["B"].config)),
    )
    said = (done.stdout + done.stderr).strip()
    if scene.check("`failover --force --fenced` is obeyed", done.returncode == 0, said):
        await scene.serves("B", seconds=60.0)
        await scene.acknowledged(20)
    scene.site.heal()
    scene.power_on("A")
    await scene.whole("B")


@fault(
    12,
    how="the line on the NAS is truncated, then garbage; then both hosts restart",
    expected="A; the last good record counts, the gate is untouched; config_invalid + "
    "`config repair` hint; restarted so, they serve by the valid records",
    modes=FILE,
)
async def garbage(scene: Scene) -> None:
    scene.strike("the line is garbage")
    for content in (b"A\\", b"", b"\xff\xfe\x00garbage\x00\n\n"):
        scene.nas.line.write_bytes(content)
        text = await scene.alarm("A", "config_invalid")
        scene.check("it hints at `config repair`", "config repair" in str(text), text)
        await scene.serves_on("A", seconds=1.5)
    scene.check("nothing was written over it", scene.nas.line.read_bytes().startswith(b"\xff"))
    scene.power_off("A", "B")
    for node in ("A", "B"):
        scene.power_on(node)
    await scene.whole()
    done = await scene.site.command(
        "A", "config", "repair", "--yes", "--config", str(scene.site.machines["A"].config)
    )
    said = (done.stdout + done.stderr).strip()
    scene.check("`config repair` works", done.returncode == 0, said)

    async def valid() -> bool:
        return scene.nas.line.read_text(errors="replace").startswith("A\\B")

    await scene.comes("the line is valid again", valid)


@fault(
    13,
    how="the line on the NAS is deleted",
    expected="A; it is not made again silently; config_missing",
    modes=FILE,
)
async def deleted(scene: Scene) -> None:
    scene.strike("the line is deleted")
    scene.nas.line.unlink()
    await scene.alarm("A", "config_missing")
    await scene.alarm("B", "config_missing")
    await scene.serves_on("A", seconds=3.0)
    scene.check("nobody has made it again", not scene.nas.line.exists())
    scene.nas.edit(b"A\\B")
    await scene.quiet("A", "config_missing")


@fault(
    14,
    how="B's mount of the NAS shows stale data (attribute cache)",
    expected="start refused, or alarm, by the cross-node self-test; nas_not_coherent",
    modes=FILE,
    fresh=True,
)
async def stale(scene: Scene) -> None:
    scene.strike("B's mount is stale")
    scene.power_off("B")
    scene.site.store.power_on("B")
    scene.nas.mounts["B"].stale()
    scene.site.network.plug(scene.site.machines["B"].host)
    scene.site.switch_on("B")
    await scene.alarm("B", "nas_not_coherent", seconds=40.0)
    store = (await scene.site.status("B")).get("store", {})
    scene.note(f"B's store: {store}")
    scene.check("nothing is promised for it", store.get("coherent") is False, store)
    await scene.acknowledged(20)
    await scene.serves_on("A", seconds=2.0)


@fault(
    15,
    how="an operator edits the line during B's claim: back to A, and later to unknown names",
    expected="B finishes; the edit is a request, looked at when it is stable: switchover to A "
    "once A is READY; unknown names: request_rejected",
    modes=FILE,
)
async def edited(scene: Scene) -> None:
    scene.strike("A's host dies")
    scene.power_off("A")
    await asyncio.sleep(2.0)  # B's claim waits now, or soon
    scene.nas.edit(b"\xef\xbb\xbf a \\ b \r\n\r\n")
    await scene.serves("B", seconds=8.0)
    scene.nas.edit(b"A\\B\r\n")
    await scene.event("B", "request_pending", wait=10.0)
    scene.power_on("A")
    await scene.whole("A", seconds=40.0)
    scene.nas.edit(b"C\\D")
    await scene.alarm("A", "request_rejected")
    await scene.serves_on("A", seconds=2.0)
    scene.nas.edit(b"A\\B")
    await scene.quiet("A", "request_rejected")


@fault(
    20,
    how="the store is full when B claims (A's origin is killed)",
    expected="B does not open, the line is intact; it tries again; claim_failed with the reason",
)
async def full(scene: Scene) -> None:
    scene.strike("the store is full, A's host dies")
    line = b""
    if scene.site.setup.coordinator == "file":
        line = scene.nas.line.read_bytes()
        scene.nas.fill()
    else:
        await scene.etcd.fill()
    scene.power_off("A")
    text = await scene.alarm("B", "claim_failed", seconds=20.0)
    scene.check("it says why", "space" in str(text), text)
    await scene.nobody_serves(seconds=3.0)
    if scene.site.setup.coordinator == "file":
        scene.check("the line is intact", scene.nas.line.read_bytes() == line)
        scene.nas.heal()
    else:
        await scene.etcd.make_room()
    await scene.serves("B", seconds=8.0, since=now())
    scene.power_on("A")
    await scene.whole("B")
