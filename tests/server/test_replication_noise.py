"""Bits flip anywhere in the stream, RTMP's own bytes and handshakes too: nothing wrong is ever
applied or acknowledged, and the pair finds together again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.support.changes import change_something, new_state
from tests.support.chaos import ChaosProxy
from tests.support.nodes import Node, same, until

FLIPS = 12


class Noise(ChaosProxy):
    """Flips a random bit of every so many pieces that pass, `FLIPS` times."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.flips = 0
        self._rng = rng
        self._pieces = rng.randrange(1, 20)

    def changed(self, data, end):
        self._pieces -= 1
        if self._pieces > 0 or self.flips == FLIPS or not data:
            return super().changed(data, end)
        self._pieces = self._rng.randrange(1, 40)
        self.flips += 1
        flipped = bytearray(data)
        flipped[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        return super().changed(bytes(flipped), end)


@pytest.fixture
async def nodes() -> AsyncIterator[list[Node]]:
    """What is put in here is stopped."""
    started: list[Node] = []
    yield started
    for node in started:
        await node.replication.stop()


@pytest.mark.parametrize("seed", range(3))
async def test_noise_on_the_wire_never_gets_into_a_copy(nodes, seed):
    rng = random.Random(seed)
    a, b, proxy = Node("A", new_state()), Node("B", ReplicatedState()), Noise(rng)
    a.state.journal.take_batch()
    timing = replace(DEFAULT, ack_timeout=0.4)
    await b.start(("127.0.0.1", 1), dials=False, timing=timing)
    nodes.append(b)
    await proxy.start(("127.0.0.1", b.replication.port))
    await a.start(proxy.address, dials=True, timing=timing)
    nodes.append(a)
    a.serve(1)
    b.stand_by(1, "A")
    digests: dict[int, bytes] = {}
    while proxy.flips < FLIPS:
        change_something(a.state, rng)
        a.turn()
        digests[a.state.journal.head] = a.state.digest()
        await asyncio.sleep(0.002)
        assert a.log.acked <= a.state.journal.head
        if (head := b.state.journal.head) in digests and b.state.journal.epoch == 1:
            assert b.state.digest() == digests[head]
    await until(lambda: same(a, b) and a.replication.acked == a.state.journal.head, 20.0)
    assert a.state.recompute_digest() == b.state.recompute_digest()
    await proxy.stop()
