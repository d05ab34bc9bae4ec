"""A disk that is full, read-only, broken, hung or slow stops nobody, and is used again."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.disk_site import DiskSite
from tests.support.fuse_disk import FuseDisk
from tests.support.load import Load
from tests.support.pair import Node, Pair, within
from tests.support.tmpfs_disk import TmpfsDisk

WRITES = 600


class Disk(Protocol):
    path: Path

    def heal(self) -> None: ...


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[TmpfsDisk]:
    disk = TmpfsDisk(tmp_path / "small")
    yield disk
    disk.close()


async def survives(site: DiskSite, disk: Disk) -> None:
    """From trouble on: the alarm, service in memory, recovery, and all of it after a kill."""
    looks = asyncio.create_task(look_on(site))
    async with asyncio.timeout(30):
        while not await site.failed():
            await site.write(20)
    assert await site.newcomer() == site.acknowledged
    await site.write(20)
    disk.heal()
    await within(20, "the disk is used again", site.well)
    await site.write(20)
    looks.cancel()
    assert site.single.origin_pid() == site.pid  # the guard had no reason to do anything
    await site.restart()
    assert await site.newcomer() == site.acknowledged


async def look_on(site: DiskSite) -> None:
    """Others are served all the time."""
    while True:
        await site.alarms()
        await asyncio.sleep(0.05)


async def test_an_origin_that_starts_on_a_full_disk_serves_what_is_there(fuse: FuseDisk) -> None:
    site = DiskSite(fuse.path / "state")
    try:
        await site.start()
        await site.write(20)
        fuse.fill()
        await site.restart()
        assert await site.newcomer() == site.acknowledged
        assert await site.failed()
        fuse.heal()
        await within(20, "the disk is used again", site.well)
    finally:
        fuse.heal()
        site.close()


@pytest.mark.parametrize(
    ("trouble", "mode"),
    [
        ("hang", "journal"),
        ("hang", "fsync"),
        ("fill", "journal"),
        ("make_readonly", "journal"),
        ("break_down", "fsync"),
    ],
)
async def test_a_disk_in_trouble_stops_nobody_and_is_used_again(
    fuse: FuseDisk, trouble: str, mode: str
) -> None:
    site = DiskSite(fuse.path / "state", mode)
    try:
        await site.start()
        await site.write(20)
        getattr(fuse, trouble)()
        await survives(site, fuse)
    finally:
        fuse.heal()
        site.close()


async def test_a_really_full_disk_stops_nobody_and_is_used_again(tmpfs: TmpfsDisk) -> None:
    site = DiskSite(tmpfs.path / "state")
    try:
        await site.start()
        await site.write(20)
        tmpfs.fill()
        await survives(site, tmpfs)
    finally:
        site.close()


class FileSizeLimit:
    """As a quota does it: files may not grow any more."""

    def __init__(self, pid: int, path: Path) -> None:
        self.path = path
        self._pid = pid
        self._before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, self._before[1]))

    def heal(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._before)


async def test_a_limit_of_file_sizes_stops_nobody_and_may_be_raised_again(tmp_path: Path) -> None:
    site = DiskSite(tmp_path / "state")
    try:
        await site.start()
        await site.write(20)
        await survives(site, FileSizeLimit(site.pid, tmp_path))
    finally:
        site.close()


async def test_a_slow_disk_is_waited_for(fuse: FuseDisk) -> None:
    """Each write takes a third of a second: slow for clients, no reason to go on without."""
    site = DiskSite(fuse.path / "state", "fsync")
    try:
        await site.start()
        fuse.slow(0.3)
        looks = asyncio.create_task(look_on(site))
        await site.write(8)
        assert await site.well()
        looks.cancel()
        await site.restart()
        fuse.heal()
        assert await site.newcomer() == site.acknowledged
    finally:
        fuse.heal()
        site.close()


async def test_a_hung_disk_of_the_active_node_stops_nobody_and_its_death_least_of_all(
    own_pair: Pair, tmp_path: Path
) -> None:
    """Killed, it stays in uninterruptible sleep: its guard can't reap it, so nothing is
    released, and the other one claims by the heartbeat."""
    disk = FuseDisk(own_pair.directory / "A" / "state", tmp_path / "beneath")
    try:
        pair = own_pair.start()
        first = pair.node("A")
        async with Load(pair.url("proof/hung")) as load:
            await load.acknowledged(WRITES)
            assert (await pair.settled())[0] == first
            disk.hang()
            await within(20, "the alarm", lambda: persist_failed(pair, first))
            await load.acknowledged(WRITES)
            await load.full_read("reader-of-memory")
            assert (await pair.settled())[0] == first
            load.history.fault(pair.signal(first, signal.SIGKILL), "SIGKILL of A")
            await pair.becomes_active(pair.node("B"), seconds=20)
            await load.acknowledged(WRITES)
            disk.heal()
            await pair.settled()
            await load.rest()
            await load.full_read("last-reader")
        assert load.history.problems() == []
        assert not await persist_failed(pair, pair.node("A"))
    finally:
        disk.heal()
        own_pair.clean_up()
        disk.close()


async def persist_failed(pair: Pair, node: Node) -> bool:
    status = await pair.status(node)
    return status is not None and "persist_failed" in status["alarms"]
