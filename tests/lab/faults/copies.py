"""Copies: disks that are full or new, a standby that is slow or not complete, a link that lies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from rtmp_sync import NetConnection
from rtmp_sync.wire.chunk import Message
from tests.lab.fault import Faults
from tests.lab.scene import ORIGIN, Scene
from tests.support.envelopes import ACCEPTOR, flipped, once, twice
from tests.support.pair import now

fault = Faults()

BALLAST_SLOTS, BALLAST_AT_ONCE = 8000, 200  # of 1,000 bytes
COPY_BYTES_PER_SECOND = 1_500_000.0  # so that a copy takes a few seconds
FROZEN_SECONDS = 6.0
RESTART_SECONDS = 40.0  # of a host, on a machine with other things to do
MAX_QUEUED_BYTES = 33 * 1024 * 1024
DELTAS = 9  # the lane of a link that carries them


async def _put_ballast(scene: Scene) -> None:
    async with NetConnection() as client:
        await client.connect(scene.site.url("proof/ballast"), "ballast", "Writer")
        for offset in range(0, BALLAST_SLOTS, BALLAST_AT_ONCE):
            await client.call("ballast", float(BALLAST_AT_ONCE), float(offset), timeout=60)


async def _new_copy_begins(scene: Scene) -> None:
    """B comes back with an empty disk over a slow link: its copy is under way."""
    await _put_ballast(scene)
    scene.power_off("B")
    scene.site.machines["B"].empty_disk()
    scene.site.link.bytes_per_second = COPY_BYTES_PER_SECOND
    await scene.state("A", "sync", [])
    scene.power_on("B")

    async def copying() -> bool:
        status = await scene.site.status("B")
        up = status.get("peer", {}).get("link") == "up"
        return bool(up and status["state"] == "SYNCING")

    await scene.comes("B is taking a copy", copying, seconds=RESTART_SECONDS)
    await asyncio.sleep(1.0)


@fault(
    19,
    how="A's disk is full; then A's origin is killed",
    expected="A; writes of the journal fail without blocking; persist_failed; B has all after that",
)
async def disk_full(scene: Scene) -> None:
    scene.strike("A's disk is full")
    ballast = scene.site.machines["A"].state / "ballast"
    _fill(ballast)
    await scene.alarm("A", "persist_failed")
    await scene.acknowledged(30)
    await scene.serves_on("A", seconds=4.0)
    scene.kill("A", ORIGIN)
    await scene.serves("B", seconds=8.0, since=now())
    ballast.unlink()
    await scene.whole("B")
    await scene.quiet("A", "persist_failed", seconds=RESTART_SECONDS)


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


@fault(
    21,
    how=f"SIGSTOP of B's origin and guard for {FROZEN_SECONDS:g} s",
    expected="A; acks wait at most ack_timeout once, then degraded; memory bounded; "
    "degraded, lag, buffer bytes",
)
async def standby_frozen(scene: Scene) -> None:
    scene.strike("SIGSTOP of B's host")
    scene.freeze("B")
    await scene.alarm("A", "degraded")
    await scene.acknowledged(40)
    await scene.serves_on("A", seconds=FROZEN_SECONDS - 2.0)
    status = await scene.site.status("A")
    queued = status["replication"]["queued_bytes"]
    scene.check("the buffer is bounded", queued < MAX_QUEUED_BYTES, queued)
    scene.check("the time alone is recorded", status["alone"]["seconds"] > 1.0, status["alone"])
    scene.note(f"alone for {status['alone']['seconds']:.1f} s, {queued} bytes queued")
    scene.thaw("B")
    await scene.whole("A")


@fault(
    22,
    how="B restarts in the middle of a copy",
    expected="A; B drops the half copy and starts anew, A frees its buffers; B not promotable",
    proxied="bytes",
)
async def restarts_in_copy(scene: Scene) -> None:
    scene.strike("B loses its disk")
    await _new_copy_begins(scene)
    before = (await scene.site.status("A"))["replication"]["full_resyncs"]
    scene.check("B is not promotable", not await scene.site.healthy("B", "standby"))
    scene.kill("B", ORIGIN)

    async def anew() -> bool:
        status = await scene.site.status("A")
        return bool(status and status["replication"]["full_resyncs"] > before)

    await scene.comes("the copy is begun anew", anew, seconds=RESTART_SECONDS)
    scene.check("B is still not promotable", not await scene.site.healthy("B", "standby"))
    scene.site.link.bytes_per_second = None
    await scene.whole("A")
    queued = (await scene.site.status("A"))["replication"]["queued_bytes"]
    scene.check("A's buffers are free", queued < 1 << 20, queued)
    scene.note(f"A: full_resyncs {before} -> {before + 1}")


@fault(
    23,
    how="A's host dies in the middle of B's first copy, and comes back",
    expected="nobody until A is back: it reclaims from its own disk; B never; "
    "no_eligible_standby, `failover --force --accept-data-loss` offered",
    proxied="bytes",
)
async def dies_in_first_copy(scene: Scene) -> None:
    scene.strike("B loses its disk")
    await _new_copy_begins(scene)
    scene.power_off("A")
    text = await scene.alarm("B", "no_eligible_standby", seconds=15.0)
    offered = "failover --force --accept-data-loss" in str(text)
    scene.check("`failover --force --accept-data-loss` is offered", offered, text)
    await scene.nobody_serves(seconds=3.0)
    scene.site.link.bytes_per_second = None
    scene.power_on("A")
    await scene.serves("A", seconds=RESTART_SECONDS, since=now())
    await scene.whole("A")
    await scene.event("A", "reclaimed")


async def _degraded_and_dead(scene: Scene) -> None:
    scene.strike("partition of A and B")
    scene.site.cut("A", "B")
    await scene.state("A", "sync", [])
    await scene.acknowledged(60)
    scene.power_off("A")
    scene.site.heal()


@fault(
    24,
    how="A's host dies while it is degraded (B lacks updates)",
    expected="nobody until A is back: it reclaims from its own disk; no_eligible_standby",
)
async def dies_degraded(scene: Scene) -> None:
    await _degraded_and_dead(scene)
    await scene.alarm("B", "no_eligible_standby", seconds=15.0)
    await scene.nobody_serves(seconds=3.0)
    scene.power_on("A")
    await scene.serves("A", seconds=RESTART_SECONDS, since=now())
    await scene.whole("A")


@fault(
    24,
    how="the same with promote_lag_max = 100000",
    expected="B; what was acknowledged while degraded may be lost: lost_range=(x,y] upper bound",
    tables={"failover": {"promote_lag_max": 100_000}},
)
async def dies_degraded_but_may(scene: Scene) -> None:
    scene.may_lose = True
    await _degraded_and_dead(scene)
    await scene.serves("B", seconds=20.0, since=now())
    event = await scene.event("B", "failover", lost_range=lambda text: str(text).startswith("("))
    if event:
        scene.note(f"lost_range={event['lost_range']}")
    scene.power_on("A")
    await scene.whole("B")


@fault(
    27,
    how="bits flip on the link between A and B, three times",
    expected="A; the frame is rejected, the link dropped, a partial resync; "
    "bad_mac, an alarm at 3 in 60 s; digests equal",
    proxied="frames",
)
async def bits_flip(scene: Scene) -> None:
    scene.strike("a bit flips")
    for number in (1, 2, 3):
        links = await _links_lost(scene)
        scene.site.frames.fault[ACCEPTOR] = once(DELTAS, flipped)

        async def dropped(before: int = links) -> bool:
            return await _links_lost(scene) > before

        await scene.comes(f"flip {number} costs the link", dropped)
        await scene.whole("A")
    refusals = await _refusals(scene)
    scene.note(f"refused: {refusals}")
    scene.check("bad MACs are counted", refusals.get("bad_mac", 0) >= 3, refusals)
    await scene.alarm("B", "bad_mac")
    await _copied_in_parts(scene)


@fault(
    28,
    how="frames of the link are doubled, swapped, and said again later",
    expected="A; duplicates ignored, gap -> resync, replay fails its MAC; counters; digests equal",
    proxied="frames",
)
async def frames_again(scene: Scene) -> None:
    scene.strike("frames are doubled")
    link = scene.site.frames
    for change in (once(DELTAS, twice), Swap()):
        link.fault[ACCEPTOR] = change
        await scene.acknowledged(20)
        await scene.whole("A")
    before = await _refusals(scene)
    old = [message for message in link.passed[ACCEPTOR] if message.csid == DELTAS]
    if scene.check("there is a frame to say again", old):
        link.send(ACCEPTOR, old[0])

        async def refused() -> bool:
            return await _refusals(scene) != before

        await scene.comes("what is said again is refused", refused)
    await scene.acknowledged(20)
    scene.note(f"refused: {await _refusals(scene)}")
    await scene.whole("A")
    await _copied_in_parts(scene)


class Swap:
    """The first frame with Changes is held back until the second one has passed."""

    def __init__(self) -> None:
        self._held: list[Message] | None = []

    def __call__(self, message: Message) -> list[Message]:
        if self._held is None or message.csid != DELTAS:
            return [message]
        if not self._held:
            self._held.append(message)
            return []
        first, self._held = self._held, None
        return [message, *first]


async def _links_lost(scene: Scene) -> int:
    status = await scene.site.status("A")
    return int(status["replication"]["links_lost"]) if status else 0


async def _refusals(scene: Scene) -> dict[str, int]:
    """Of both nodes."""
    found: dict[str, int] = {}
    for node in ("A", "B"):
        status = await scene.site.status(node)
        for reason, count in (status["replication"]["refusals"] if status else {}).items():
            found[reason] = found.get(reason, 0) + count
    return found


async def _copied_in_parts(scene: Scene) -> None:
    """That B is recorded in sync again says that the digests were compared, and equal."""
    replication = (await scene.site.status("A"))["replication"]
    differing, partial = replication["digest_mismatches"], replication["partial_resyncs"]
    scene.check("digests equal", differing == 0, differing)
    scene.check("a partial resync", partial >= 1, partial)
    scene.note(f"{partial} partial resyncs, {replication['full_resyncs']} full")
