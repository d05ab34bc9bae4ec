"""A holder and a standby on a real etcd of three members that are killed, frozen and slow.

Default numbers: the lease lives for 5 s, so the authority ends 4 s after a renewal was sent.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rtmp_sync.cluster.observer import Observer
from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import Identity, Outcome
from rtmp_sync.coordinators.etcd import LEASE_MARGIN_SECONDS, EtcdCoordinator
from rtmp_sync.coordinators.etcd_gateway import GatewayClient
from rtmp_sync.errors import StoreError
from rtmp_sync.server.clock import now
from tests.support.etcd import EtcdCluster
from tests.support.fuse_disk import FuseDisk
from tests.support.programs import require

NODES = ("A", "B")
FIRST = first_record(NODES, Author("A", "a1", "first", ""))
IN_SYNC = FIRST.synced(Author("A", "a1", "s", ""), 1, "in_sync", InSync("B", "b1"))


class Reader:
    """Reads as a node does, all the time, and notes what it may do and sees."""

    def __init__(self, cluster: EtcdCluster, prefix: str, node: str, *, beats: bool) -> None:
        self.boot_id = f"{node.lower()}1"
        self.coordinator = EtcdCoordinator(
            GatewayClient(cluster.addresses, deadline_seconds=_deadline()),
            node,
            self.boot_id,
            nodes=NODES,
            prefix=prefix,
            ttl=DEFAULT.ttl,
            renew_interval=DEFAULT.renew_interval,
        )
        self.observer = Observer(Identity(node, self.boot_id, 0.0), DEFAULT)
        self.beats = beats
        self.was_without = False  # authority, at some instant
        self.saw_no_key = False
        self.reads = 0
        self.failures = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.ensure_future(work) for work in (self._read(), self._sample())]
        await until(lambda: self.reads > 0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.coordinator.stop()

    @property
    def may_serve(self) -> bool:
        return self.observer.authority[1] > now()

    @property
    def record(self) -> Record:
        assert self.observer.record is not None
        return self.observer.record

    async def reads_anew(self) -> None:
        since = self.reads
        await until(lambda: self.reads >= since + 3)

    async def cas(self, record: Record) -> Outcome:
        return (await self.coordinator.cas(record)).result.outcome

    def author(self) -> Author:
        return Author(self.coordinator.node_id, self.boot_id, secrets.token_hex(4), "")

    async def _read(self) -> None:
        while True:
            try:
                reading = await self.coordinator.read(beat=self.beats)
            except StoreError:
                self.failures += 1
            else:
                self.observer.saw(reading.sighting)
                self.saw_no_key |= reading.sighting.holder_key is False
                self.reads += 1
            await asyncio.sleep(DEFAULT.probe_interval)

    async def _sample(self) -> None:
        while True:
            self.was_without |= not self.may_serve
            await asyncio.sleep(0.02)


def _deadline() -> float:
    return (DEFAULT.ttl - LEASE_MARGIN_SECONDS) / 3


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.05)


class Scene:
    """A holds, B is in sync, both read."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self.cluster = cluster
        self.prefix = f"/scene/{secrets.token_hex(4)}"
        self.a = Reader(cluster, self.prefix, "A", beats=True)
        self.b = Reader(cluster, self.prefix, "B", beats=False)

    async def start(self) -> None:
        async with asyncio.timeout(60):
            for record in (FIRST, IN_SYNC):  # a new cluster may be slow; twice is as once
                while await self.a.cas(record) is not Outcome.LANDED:
                    pass
        await self.a.start()
        await self.b.start()
        self.a.was_without = False
        self.b.saw_no_key = False

    async def close(self) -> None:
        await self.a.stop()
        await self.b.stop()

    async def reads_anew(self) -> None:
        """Each reads some more."""
        await self.a.reads_anew()
        await self.b.reads_anew()

    def nobody_noticed(self) -> None:
        assert not self.a.was_without
        assert not self.b.saw_no_key
        assert self.a.record == self.b.record == IN_SYNC


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    made = EtcdCluster(tmp_path / "etcd", 3)
    await made.start()
    yield made
    made.close()


@pytest.fixture
async def scene(cluster: EtcdCluster) -> AsyncIterator[Scene]:
    made = Scene(cluster)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_leader_that_is_killed_changes_nothing_for_the_pair(scene: Scene) -> None:
    leader = await scene.cluster.leader()
    leader.kill()
    await scene.cluster.until_well()
    await scene.reads_anew()
    scene.nobody_noticed()
    await scene.cluster.restart(leader)
    alone = IN_SYNC.synced(scene.a.author(), 2, "alone")
    assert await scene.a.cas(alone) is Outcome.LANDED


async def test_a_leader_that_is_frozen_changes_nothing_for_the_pair(scene: Scene) -> None:
    leader = await scene.cluster.leader()
    leader.freeze()
    await scene.cluster.until_well()
    await scene.reads_anew()
    leader.thaw()
    await scene.reads_anew()
    scene.nobody_noticed()


async def test_without_a_quorum_the_holder_ends_and_nobody_claims(scene: Scene) -> None:
    lost = await scene.cluster.followers()
    for member in lost:
        member.kill()
    await until(lambda: not scene.a.may_serve)
    assert scene.a.coordinator.condition == "no_quorum"
    claim = IN_SYNC.claimed(scene.b.author(), 1, "holder_expired")
    assert await scene.b.cas(claim) in (Outcome.UNKNOWN, Outcome.REFUSED)
    for member in lost:
        member.start(scene.cluster.members)
    await scene.cluster.until_well()
    await scene.reads_anew()
    # Whatever became of the attempt: one of the two may serve, or none.
    assert not (scene.a.may_serve and scene.b.may_serve)
    assert scene.a.record == scene.b.record
    assert scene.a.record in (IN_SYNC, claim)
    assert scene.a.coordinator.condition == "ok"


async def test_a_lease_revoked_by_hand_ends_the_holders_epoch(scene: Scene) -> None:
    told = asyncio.Event()
    scene.b.coordinator.on_change(told.set)
    await told.wait()
    told.clear()
    (lease,) = await scene.cluster.leases()
    endpoint = f"http://{scene.cluster.members[0].address}"
    await asyncio.to_thread(
        subprocess.run,
        [require("etcdctl"), "--endpoints", endpoint, "lease", "revoke", f"{lease:x}"],
        check=True,
        env={"ETCDCTL_API": "3"},
        stdout=subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        await told.wait()
    await until(lambda: scene.b.saw_no_key)
    await until(lambda: scene.a.saw_no_key)
    claim = IN_SYNC.claimed(scene.b.author(), 1, "lease_revoked")
    assert await scene.b.cas(claim) is Outcome.LANDED
    scene.b.beats = True
    await until(lambda: scene.b.may_serve)
    await scene.reads_anew()
    assert scene.a.observer.authority[0] == 0


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[FuseDisk]]:
    """One for each member."""
    made: list[FuseDisk] = []
    try:
        made += [FuseDisk(tmp_path / f"disk{n}", tmp_path / f"beneath{n}") for n in range(3)]
        yield made
    finally:
        for disk in made:
            disk.close()


@pytest.fixture
async def scene_on_disks(tmp_path: Path, disks: list[FuseDisk]) -> AsyncIterator[Scene]:
    cluster = EtcdCluster(tmp_path / "etcd", 3)
    for member, disk in zip(cluster.members, disks, strict=True):
        member.directory = disk.path / "data"
    scene = Scene(cluster)
    try:
        await cluster.start()
        await scene.start()
        yield scene
    finally:
        await scene.close()
        for disk in disks:
            disk.heal()
        cluster.close()


async def test_a_leader_with_a_slow_disk_changes_nothing_for_the_pair(
    scene_on_disks: Scene, disks: list[FuseDisk]
) -> None:
    """Each write and flush takes 100 ms, of which a record needs several; a renewal none."""
    scene = scene_on_disks
    leader = scene.cluster.members.index(await scene.cluster.leader())
    disks[leader].slow(0.1)
    since = scene.a.observer.authority[1]
    await until(lambda: scene.a.observer.authority[1] > since + 3 * DEFAULT.renew_interval)
    await scene.reads_anew()
    scene.nobody_noticed()
