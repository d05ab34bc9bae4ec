"""Stores for the conformance suite: the same troubles of each, and its coordinators."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rtmp_sync.cluster.record import Record, encode
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.coordinators.etcd import EtcdCoordinator
from rtmp_sync.coordinators.etcd_client import Compare, HasValue, TxnAnswer, Write
from rtmp_sync.coordinators.etcd_gateway import GatewayClient
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.file_helper import FileHelper
from rtmp_sync.errors import StoreTimeout
from tests.support.etcd import EtcdCluster
from tests.support.fuse_disk import FuseDisk

NODES = ("A", "B")


class Store(Protocol):
    """Where a pair's record lives, and what can go wrong with it."""

    def node(self, name: str, boot_id: str = "", *, patient: bool = True) -> Coordinator:
        """A node's coordinator; boot_id "" for a guard's. patient: its deadline is long."""

    def deaf(self, name: str, boot_id: str) -> Coordinator:
        """One whose writes reach the store, and whose answers never come."""

    async def damage(self) -> None:
        """What is stored is no record any more."""

    async def close(self) -> None: ...


class TroubledStore(Store, Protocol):
    """A store of the test's own."""

    async def hang(self) -> None:
        """It takes everything and answers nothing."""

    async def fill(self) -> None:
        """There is no space for anything new."""

    async def leave(self) -> None:
        """It is not there at all."""

    async def hold_writes(self) -> None:
        """What is written is under way until `heal`."""

    async def take_place(self, record: Record) -> None:
        """Put a record in its place although writes are held."""

    async def heal(self) -> None:
        """What was held is done now."""


class FileStore:
    """A folder; on a disk of the test's own if `disk` is given."""

    def __init__(self, folder: Path, disk: FuseDisk | None = None) -> None:
        self.pair_file = folder / "MainOriginConfig.txt"
        self.pair_file.write_bytes(b"A\\B\r\n")
        self.disk = disk
        self._coordinators: list[FileCoordinator] = []

    def node(self, name: str, boot_id: str = "", *, patient: bool = True) -> FileCoordinator:
        owner = f"{name}-{boot_id or 'guard'}-{len(self._coordinators)}"
        deadline = 10.0 if patient else 0.5
        made = FileCoordinator(self.pair_file, name, deadline_seconds=deadline, owner=owner)
        self._coordinators.append(made)
        return made

    def deaf(self, name: str, boot_id: str) -> FileCoordinator:
        made = self.node(name, boot_id)
        made._helper = DeafHelper(self.pair_file, f"{name}-deaf", 10.0)
        return made

    async def damage(self) -> None:
        newest = max(self.pair_file.with_name(self.pair_file.name + ".d").glob("rec.*"))
        newest.write_bytes(b"{}")

    async def hang(self) -> None:
        await self._trouble(FuseDisk.hang)

    async def fill(self) -> None:
        await self._trouble(FuseDisk.fill)

    async def leave(self) -> None:
        await self._trouble(FuseDisk.break_all)

    async def hold_writes(self) -> None:
        await self._trouble(FuseDisk.hold_links)

    async def take_place(self, record: Record) -> None:
        """By the way beneath the disk."""
        assert self.disk is not None
        folder = self.disk.beneath / (self.pair_file.name + ".d")
        (folder / f"rec.{record.rev}").write_bytes(encode(record))

    async def heal(self) -> None:
        await self._trouble(FuseDisk.heal)

    async def close(self) -> None:
        if self.disk is not None:
            await self.heal()
        for coordinator in self._coordinators:
            await coordinator.stop()

    async def _trouble(self, change: Callable[[FuseDisk], None]) -> None:
        assert self.disk is not None
        await asyncio.to_thread(change, self.disk)


class DeafHelper(FileHelper):
    """Its process does what it is told, and nobody hears that it did."""

    async def _exchange(self, body: bytes) -> dict[str, Any]:
        answer = await super()._exchange(body)
        if b'"cas"' in body:
            raise TimeoutError
        return answer


class EtcdStore:
    """A prefix in an etcd."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self.cluster = cluster
        self.prefix = f"/test/{secrets.token_hex(4)}"
        self.held: list[Callable[[], Awaitable[object]]] | None = None  # writes under way
        self._coordinators: list[EtcdCoordinator] = []

    def node(self, name: str, boot_id: str = "", *, patient: bool = True) -> EtcdCoordinator:
        return self.coordinator(self.client(patient=patient), name, boot_id)

    def deaf(self, name: str, boot_id: str) -> EtcdCoordinator:
        addresses = self.cluster.addresses
        return self.coordinator(DeafClient(addresses, deadline_seconds=10), name, boot_id)

    def client(self, *, patient: bool = True) -> GatewayClient:
        deadline = 10.0 if patient else 0.5
        return HeldClient(self, deadline_seconds=deadline)

    def coordinator(
        self, client: GatewayClient, name: str, boot_id: str, *, ttl: float = 60.0
    ) -> EtcdCoordinator:
        made = EtcdCoordinator(
            client,
            name,
            boot_id,
            nodes=NODES,
            prefix=self.prefix,
            ttl=ttl,
            renew_interval=ttl / 4,
        )
        self._coordinators.append(made)
        return made

    async def damage(self) -> None:
        await self.cluster.put(f"{self.prefix}/record", b"{}")

    async def hang(self) -> None:
        self.cluster.members[0].freeze()

    async def leave(self) -> None:
        self.cluster.members[0].kill()

    async def hold_writes(self) -> None:
        self.held = []

    async def take_place(self, record: Record) -> None:
        held, self.held = self.held, None
        attempt = await self.node(record.by, "x").cas(record)
        assert attempt.result.outcome is Outcome.LANDED
        self.held = held

    async def fill(self) -> None:
        """Beyond the quota with which this member was started."""
        async with asyncio.timeout(60):
            number = 0
            while True:
                try:
                    await self.cluster.put(f"/ballast/{number}", bytes(1_000_000))
                except OSError:
                    return
                number += 1

    async def heal(self) -> None:
        held, self.held = self.held or [], None
        for write in held:
            await write()
        member = self.cluster.members[0]
        if member.frozen:
            member.thaw()
        elif member.process is None:
            await self.cluster.restart(member)
        await self.cluster.until_well()

    async def close(self) -> None:
        for coordinator in self._coordinators:
            await coordinator.stop()


class DeafClient(GatewayClient):
    """Writes, and never hears what came of it."""

    async def txn(
        self,
        compares: Sequence[Compare | HasValue] = (),
        writes: Sequence[Write] = (),
        *,
        read: Sequence[str] = (),
    ) -> TxnAnswer:
        answer = await super().txn(compares, writes, read=read)
        if writes:
            raise StoreTimeout("nobody heard it")
        return answer


class HeldClient(GatewayClient):
    """Its writes are under way for as long as the store says so."""

    def __init__(self, store: EtcdStore, *, deadline_seconds: float) -> None:
        super().__init__(store.cluster.addresses, deadline_seconds=deadline_seconds)
        self._store = store

    async def txn(
        self,
        compares: Sequence[Compare | HasValue] = (),
        writes: Sequence[Write] = (),
        *,
        read: Sequence[str] = (),
    ) -> TxnAnswer:
        send = partial(super().txn, compares, writes, read=read)
        if writes and self._store.held is not None:
            self._store.held.append(send)
            raise StoreTimeout("it is under way")
        return await send()
