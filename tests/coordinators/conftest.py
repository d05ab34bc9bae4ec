"""The stores that coordinators are tested on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rtmp_sync.coordinators.file import FileCoordinator
from tests.coordinators.stores import EtcdStore, FileStore, Store, TroubledStore
from tests.support.etcd import EtcdCluster
from tests.support.fuse_disk import FuseDisk


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member, for all who leave it well."""
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"))
    with ThreadPoolExecutor() as elsewhere:  # a test's own loop may be running here
        elsewhere.submit(lambda: asyncio.run(cluster.start())).result()
    yield cluster
    cluster.close()


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[FuseDisk]:
    disk = FuseDisk(tmp_path / "disk", tmp_path / "beneath")
    yield disk
    disk.close()


@pytest.fixture(params=["file", "etcd"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Any store that is well."""
    made: Store
    if request.param == "file":
        made = FileStore(tmp_path)
    else:
        made = EtcdStore(request.getfixturevalue("etcd_server"))
    yield made
    await made.close()


@pytest.fixture
async def troubled_etcd(tmp_path: Path) -> AsyncIterator[EtcdStore]:
    """An etcd of the test's own, with little space."""
    quota = ("--quota-backend-bytes", str(16 * 1024 * 1024))
    cluster = EtcdCluster(tmp_path / "etcd", options=quota)
    await cluster.start()
    store = EtcdStore(cluster)
    yield store
    await store.close()
    cluster.close()


@pytest.fixture
async def troubled_file(fuse: FuseDisk) -> AsyncIterator[FileStore]:
    """A folder on a disk of the test's own."""
    store = FileStore(fuse.path, fuse)
    yield store
    await store.close()


@pytest.fixture(params=["file", "etcd"])
def troubled(request: pytest.FixtureRequest) -> TroubledStore:
    """Any store, for a test that gives it trouble."""
    store: TroubledStore = request.getfixturevalue(f"troubled_{request.param}")
    return store


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    path = tmp_path / "MainOriginConfig.txt"
    path.write_bytes(b"A\\B\r\n")
    return path


@pytest.fixture
async def a(pair_file: Path) -> AsyncIterator[FileCoordinator]:
    coordinator = FileCoordinator(pair_file, "A", deadline_seconds=10)
    yield coordinator
    await coordinator.stop()


@pytest.fixture
async def b(pair_file: Path) -> AsyncIterator[FileCoordinator]:
    coordinator = FileCoordinator(pair_file, "B", deadline_seconds=10)
    yield coordinator
    await coordinator.stop()
