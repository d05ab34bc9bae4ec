"""Two nodes test whether each sees what the other writes, on stores that are doubles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.none import NoneCoordinator
from rtmp_sync.errors import StoreError
from rtmp_sync.server import store_coherence
from rtmp_sync.server.store_coherence import NonceStore, StoreCoherence
from tests.support.origins import until


class Stale:
    """A mount that shows again what it has shown before; `away` when it does not answer."""

    def __init__(self, store: NonceStore) -> None:
        self.store = store
        self.caches = self.away = False
        self._cache: dict[str, str | None] = {}

    async def write_nonce(self) -> str | None:
        if self.away:
            raise StoreError("away")
        return await self.store.write_nonce()

    async def read_nonce(self, node: str) -> str | None:
        if self.away:
            raise StoreError("away")
        fresh = await self.store.read_nonce(node)
        if not self.caches:
            self._cache[node] = fresh
        return self._cache.setdefault(node, fresh)


class Node:
    def __init__(self, node: str, store: NonceStore) -> None:
        self.node = node
        self.mount = Stale(store)
        self.other: Node
        self.named = 0
        self.verdicts: list[bool] = []
        self.test = StoreCoherence(self.mount, name=self.name, judged=self.verdicts.append)
        self.running = asyncio.ensure_future(self.test.run())

    def name(self, nonce: str, stale: bool) -> None:
        self.named += 1
        self.other.test.named(self.node, nonce, stale=stale)


@pytest.fixture
async def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Node]]:
    monkeypatch.setattr(store_coherence, "SOON_SECONDS", 0.01)
    monkeypatch.setattr(store_coherence, "LATER_SECONDS", 0.05)
    pair_file = tmp_path / "pair.txt"
    pair_file.write_bytes(b"A\\B")
    stores = [FileCoordinator(pair_file, node, deadline_seconds=10) for node in ("A", "B")]
    nodes = [Node(node, store) for node, store in zip(("A", "B"), stores, strict=True)]
    nodes[0].other, nodes[1].other = nodes[1], nodes[0]
    yield nodes
    for node in nodes:
        node.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await node.running
        await node.test.stop()
    for store in stores:
        await store.stop()


def link(nodes: list[Node], up: bool) -> None:
    for node in nodes:
        node.test.link_changed(up)


async def test_a_store_that_shows_what_was_written_is_coherent(nodes: list[Node]) -> None:
    a, b = nodes
    assert a.test.coherent is None
    link(nodes, True)
    await until(lambda: a.named > 3 and b.named > 3)
    await until(lambda: a.test.coherent is b.test.coherent is True)
    assert a.verdicts == b.verdicts == []


async def test_a_mount_that_caches_is_found_out_and_believed_again_when_it_is_mended(
    nodes: list[Node],
) -> None:
    """The first look at a file is never a cached one."""
    a, b = nodes
    b.mount.caches = True
    link(nodes, True)
    await until(lambda: b.test.seen is False)
    await until(lambda: a.test.coherent is False)  # by the word of the other one
    await until(lambda: a.test.seen is True)
    b.mount.caches = False
    await until(lambda: a.test.coherent is b.test.coherent is True)
    assert a.verdicts == b.verdicts == [False, True]


async def test_a_cache_that_runs_out_now_and_then_is_not_taken_for_a_good_mount(
    nodes: list[Node],
) -> None:
    a, b = nodes
    b.mount.caches = True
    link(nodes, True)
    await until(lambda: a.test.coherent is b.test.coherent is False)
    read = b.mount.read_nonce
    reads = 0

    async def runs_out(node: str) -> str | None:
        nonlocal reads
        reads += 1
        b.mount.caches = reads % 3 > 0  # one look in three is a fresh one
        return await read(node)

    b.mount.read_nonce = runs_out  # type: ignore[method-assign]  # the double's own
    await until(lambda: reads > 30)  # which takes more than the pauses between tests that pass
    assert a.verdicts == b.verdicts == [False]


async def test_a_store_that_does_not_answer_is_not_taken_for_a_stale_one(
    nodes: list[Node],
) -> None:
    a, b = nodes
    b.mount.away = True
    link(nodes, True)
    await until(lambda: a.named > 3)
    assert b.named == 0
    assert a.test.coherent is b.test.coherent is None
    b.mount.away = False
    await until(lambda: a.test.coherent is b.test.coherent is True)


async def test_without_a_link_nothing_is_written(nodes: list[Node]) -> None:
    a = nodes[0]
    link(nodes, True)
    await until(lambda: a.named > 1)
    link(nodes, False)
    named = a.named
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert a.named <= named + 1  # what was under way
    link(nodes, True)
    await until(lambda: a.named > named + 2)


async def test_a_store_that_needs_no_test_is_not_tested() -> None:
    store = NoneCoordinator("S", "s1", last_epoch=0)
    test = StoreCoherence(store, name=lambda *_: None, judged=lambda _: None)
    test.link_changed(True)
    await test.run()  # it ends by itself
    assert test.coherent is None
