"""Real origins that die: what was acknowledged is on their disks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from pathlib import Path

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.errors import ConnectionLost
from tests.support.disk_site import DiskSite
from tests.support.fuse_disk import FuseDisk
from tests.support.load import Load
from tests.support.pair import Pair, within

ROUNDS = int(os.environ.get("RTMP_SYNC_KILLS", "3"))
WRITES = 600
LONG_AGO = 60.0  # seconds: beyond [replication] reconnect_grace


def kill(pair: Pair) -> None:
    """Every origin and every guard of both nodes, guards first: nobody may react."""
    for node in pair.nodes():
        pair.signal(node, signal.SIGKILL, guard=True)


def make_old(state: Path) -> None:
    """As if the node had last lived a minute ago."""
    at = time.time() - LONG_AGO
    for file in state.iterdir():
        os.utime(file, (at, at))


async def test_both_origins_killed_at_once_lose_nothing_that_was_acknowledged(pair: Pair) -> None:
    async with Load(pair.url("proof/both")) as load:
        for round_number in range(ROUNDS):
            await load.acknowledged(WRITES)
            await pair.settled()
            kill(pair)
            await load.full_read(f"reader-{round_number}", seconds=60)
            await pair.settled()
        await load.acknowledged(WRITES)
        await load.rest()
        await load.full_read("last-reader")
    print(load.history.figures())
    assert load.history.problems() == []


async def test_after_a_long_time_persistent_objects_are_there_and_temporary_ones_are_not(
    own_pair: Pair,
) -> None:
    pair = own_pair.start()
    async with Load(pair.url("proof/night"), writers=4) as load:
        await load.acknowledged(WRITES)
        await load.rest()
        values = await load.full_read("evening")
    persistent = {writer.object_name for writer in load.writers if writer.persistent}
    assert pair.process is not None
    pair.process.kill()
    kill(pair)
    pair.process.wait()
    await within(10, "every process has ended", lambda: ended(pair))
    for name in ("A", "B"):
        make_old(pair.directory / name / "state")
    pair.start()
    await pair.settled()
    connection = NetConnection(reconnect=False)
    await connection.connect(pair.url("proof/night"), "morning", "Reader")
    found: dict[tuple[str, str], int] = {}
    for writer in load.writers:
        shared = await connection.shared_object(writer.object_name, persistent=writer.persistent)
        found |= {(writer.object_name, key): int(value) for key, value in shared.items()}
    await connection.close()
    assert found == {slot: value for slot, value in values.items() if slot[0] in persistent}
    assert {name for name, _ in found} == persistent


async def ended(pair: Pair) -> bool:
    return not list(pair.processes())


@pytest.mark.parametrize(("mode", "survive"), [("fsync", True), ("journal", False)])
async def test_without_power_only_fsync_keeps_what_was_acknowledged(
    fuse: FuseDisk, mode: str, survive: bool
) -> None:
    site = DiskSite(fuse.path / "state", mode)
    try:
        await site.start()
        for _ in range(3):
            writing = asyncio.create_task(site.write(10_000))
            count = len(site.acknowledged) + 50
            await within(20, "some writes", functools.partial(wrote, site, count))
            await site.kill()
            with contextlib.suppress(ConnectionLost):
                await writing
            fuse.lose_power()
            await site.single.start()
            found = await site.newcomer()
            assert (site.acknowledged.items() <= found.items()) == survive
            assert all(value == float(key[1:]) for key, value in found.items())
            site.acknowledged = found
            await site.connect()
    finally:
        site.close()


async def wrote(site: DiskSite, count: int) -> bool:
    return len(site.acknowledged) >= count
