"""The pair's secret is replaced while the pair works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from rtmp_sync.state.replicated_state import ReplicatedState
from tests.support.changes import new_state
from tests.support.envelopes import EnvelopeProxy
from tests.support.nodes import Node, same, until

OLD, NEW = b"the secret until now", b"the secret from now on"


class Pair:
    """A dials B; both can be restarted with other secrets, and keep their copies."""

    def __init__(self) -> None:
        self.a = Node("A", new_state())
        self.b = Node("B", ReplicatedState())
        self.proxy = EnvelopeProxy()

    async def start(self) -> None:
        self.a.state.journal.take_batch()
        await self.b.start(("127.0.0.1", 1), dials=False, secret=[OLD])
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True, secret=[OLD])
        await self.in_sync()

    async def restart(self, name: str, secrets: Sequence[bytes]) -> None:
        node = self.a if name == "A" else self.b
        await node.replication.stop()
        peer = self.proxy.address if name == "A" else ("127.0.0.1", 1)
        node.boot_id += "'"
        await node.start(peer, dials=name == "A", secret=secrets)
        if name == "B":
            self.proxy.aim(("127.0.0.1", node.replication.port))

    async def in_sync(self) -> None:
        self.a.serve(1)
        self.b.stand_by(1, "A")
        await until(lambda: self.b.replication.in_sync and self.a.replication.peer_caught_up)
        self.a.write(2)
        await until(lambda: same(self.a, self.b))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    both = Pair()
    await both.start()
    yield both
    await both.a.replication.stop()
    await both.b.replication.stop()
    await both.proxy.stop()


@pytest.mark.parametrize("order", ["AB", "BA"], ids=["dialer first", "acceptor first"])
async def test_a_secret_is_replaced_node_by_node_and_the_pair_is_in_sync_after_each_step(
    pair, order
):
    for secrets in ([NEW, OLD], [NEW]):
        for name in order:
            await pair.restart(name, secrets)
            await pair.in_sync()
    assert pair.b.replication.refusals["waiting"] == pair.a.replication.refusals["waiting"] == 0


async def test_a_dialer_whose_first_secret_is_refused_offers_the_other_and_remembers(pair):
    await pair.restart("A", [NEW, OLD])
    await pair.in_sync()
    assert pair.b.replication.refusals["bad_secret"] == 1
    pair.proxy.cut()
    await until(lambda: not pair.b.replication.connected)
    await pair.in_sync()
    assert pair.b.replication.refusals["bad_secret"] == 1


async def test_a_dialer_that_remembers_the_old_secret_finds_the_new_one_again(pair):
    await pair.restart("A", [NEW, OLD])
    await pair.in_sync()
    await pair.restart("B", [NEW])
    await pair.in_sync()
    assert pair.b.replication.refusals["bad_secret"] == 1


async def test_the_old_secret_alone_is_refused_in_the_end(pair):
    await pair.restart("A", [NEW])
    await until(lambda: pair.b.replication.refusals["bad_secret"] > 0)
    assert not pair.b.replication.connected
