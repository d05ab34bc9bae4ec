"""Disks against real processes: what was acknowledged is there again after both died, and a
disk that is full, read-only, broken, hung or slow stops nobody."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.errors import ConnectionLost
from tests.support.fuse_disk import FuseDisk
from tests.support.load import Load
from tests.support.pair import PROOF_APPS, Node, Pair, get, within
from tests.support.single import Single
from tests.support.tmpfs_disk import TmpfsDisk

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


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def ended(pair: Pair) -> bool:
    return not list(pair.processes())


class Disk(Protocol):
    path: Path

    def heal(self) -> None: ...


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[FuseDisk]:
    disk = FuseDisk(tmp_path / "disk", tmp_path / "beneath")
    yield disk
    disk.close()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[TmpfsDisk]:
    disk = TmpfsDisk(tmp_path / "small")
    yield disk
    disk.close()


class Site:
    """A single origin whose state is on a disk, and a client of it."""

    def __init__(self, state: Path, mode: str = "journal") -> None:
        storage = {"state": state, "disk": mode}
        self.single = Single(storage=storage, apps={"directory": PROOF_APPS})
        self.acknowledged: dict[str, float] = {}

    async def start(self) -> None:
        await self.single.start()
        await self.connect()

    async def connect(self) -> None:
        self.pid = self.single.origin_pid()
        self.connection = NetConnection(reconnect=False)
        url = f"rtmp://{self.single.address}/proof/disk"
        await self.connection.connect(url, "c00", "Writer")
        self.board = await self.connection.shared_object("board", persistent=True)

    async def write(self, count: int) -> None:
        """Sets that are acknowledged, one after the other."""
        async with asyncio.timeout(30):
            for _ in range(count):
                number = len(self.acknowledged)
                await self.board.set(f"s{number}", float(number))
                self.acknowledged[f"s{number}"] = float(number)

    async def alarms(self) -> dict[str, str]:
        """What /status says; that it answers at all shows that the loop is free."""
        status, body = await get(f"http://{self.single.admin}/status")
        assert status == 200, body
        alarms: dict[str, str] = json.loads(body)["alarms"]
        return alarms

    async def failed(self) -> bool:
        return "persist_failed" in await self.alarms()

    async def well(self) -> bool:
        return not await self.failed()

    async def newcomer(self) -> dict[str, float]:
        """What a client that connects now is shown."""
        connection = NetConnection(reconnect=False)
        async with asyncio.timeout(30):
            await connection.connect(f"rtmp://{self.single.address}/proof/disk", "n", "Reader")
            board = await connection.shared_object("board", persistent=True)
        await connection.close()
        return dict(board)

    async def restart(self) -> None:
        """Guard and origin are killed and started again."""
        await self.kill()
        await self.single.start()

    async def kill(self) -> None:
        """Guard and origin."""
        assert self.single.process is not None
        os.kill(self.single.process.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        await self.connection.close()
        self.single.process.wait()
        await within(10, "the origin has ended", self._ended)

    async def _ended(self) -> bool:
        return not runs(self.pid)

    def close(self) -> None:
        self.single.clean_up()


async def survives(site: Site, disk: Disk) -> None:
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


async def look_on(site: Site) -> None:
    """Others are served all the time."""
    while True:
        await site.alarms()
        await asyncio.sleep(0.05)


async def test_an_origin_that_starts_on_a_full_disk_serves_what_is_there(fuse: FuseDisk) -> None:
    site = Site(fuse.path / "state")
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
    site = Site(fuse.path / "state", mode)
    try:
        await site.start()
        await site.write(20)
        getattr(fuse, trouble)()
        await survives(site, fuse)
    finally:
        fuse.heal()
        site.close()


async def test_a_really_full_disk_stops_nobody_and_is_used_again(tmpfs: TmpfsDisk) -> None:
    site = Site(tmpfs.path / "state")
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
    site = Site(tmp_path / "state")
    try:
        await site.start()
        await site.write(20)
        await survives(site, FileSizeLimit(site.pid, tmp_path))
    finally:
        site.close()


async def test_a_slow_disk_is_waited_for(fuse: FuseDisk) -> None:
    """Each write takes a third of a second: slow for clients, no reason to go on without."""
    site = Site(fuse.path / "state", "fsync")
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


@pytest.mark.parametrize(("mode", "survive"), [("fsync", True), ("journal", False)])
async def test_without_power_only_fsync_keeps_what_was_acknowledged(
    fuse: FuseDisk, mode: str, survive: bool
) -> None:
    site = Site(fuse.path / "state", mode)
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


async def wrote(site: Site, count: int) -> bool:
    return len(site.acknowledged) >= count


async def refused(state: Path) -> str:
    """The words of an origin that cannot start there, which ends with code 2."""
    single = Single(node={"id": "A"}, storage={"state": state})
    try:
        single.launch()
        assert single.process is not None
        assert await asyncio.to_thread(single.process.wait, 20) == 2
        lines = single.logs().splitlines()
    finally:
        single.clean_up()
    line = next(line for line in lines if "storage.state" in line)
    assert str(state) in line
    return line


async def test_a_read_only_state_directory_is_refused_at_the_start(fuse: FuseDisk) -> None:
    state = fuse.beneath / "state"
    state.mkdir()
    fuse.make_readonly()
    line = await refused(fuse.path / "state")
    assert "Read-only file system" in line


async def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = await refused(tmp_path / "file" / "state")
    assert "Not a directory" in line


async def test_another_nodes_state_directory_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    try:
        await site.start()
        await site.connection.close()
        assert site.single.stop() == 0
    finally:
        site.close()
    line = await refused(tmp_path / "state")
    assert "it belongs to node 'solo'" in line


async def test_two_processes_never_use_one_state_directory(tmp_path: Path) -> None:
    first = Single(node={"id": "A"}, storage={"state": tmp_path / "state"})
    try:
        await first.start()
        line = await refused(tmp_path / "state")
        assert "another process uses it" in line
        assert (await get(f"http://{first.health}/health/active"))[0] == 200
    finally:
        first.clean_up()
