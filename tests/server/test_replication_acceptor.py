"""Who may come in to the replication port before anything is proved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.cluster.link import Link, LinkIdentity
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.server.clock import now
from rtmp_sync.server.replication_acceptor import (
    BAD_SECRET_SECONDS,
    BAD_SECRETS,
    UNPROVEN_MAX,
    FailedProofs,
)
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.constants import REPLICATION
from tests.support.nodes import Node, until


@pytest.fixture
async def acceptor() -> AsyncIterator[Node]:
    node = Node("B", ReplicatedState())
    await node.start(("192.0.2.1", 1), dials=False)
    yield node
    await node.replication.stop()


class Stranger:
    """Somebody who connects, and says as much as asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(cls, node: Node, source: str = "127.0.0.1") -> Stranger:
        address = ("127.0.0.1", node.replication.port)
        return cls(*await asyncio.open_connection(*address, local_addr=(source, 0)))

    async def _read(self) -> None:
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    async def leave(self) -> None:
        self.writer.close()
        await self.gone

    def say_something(self) -> None:
        self.writer.write(b"\x03")


async def say_hello(node: Node, secret: bytes) -> None:
    """Dial as the peer would, with this secret; returns when the other side has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.replication.port)
    rtmp = Connection(Role.CLIENT, now=now(), random_bytes=bytes)
    me = LinkIdentity("A+B", "A", "boot-a")
    link = Link(me, [secret], dials=True, nonce=b"n" * 32)
    writer.write(rtmp.data_to_send())
    [(lane, hello)] = link.messages_to_send()
    rtmp.receive_data(await reader.readexactly(3073), now())
    writer.write(rtmp.data_to_send() + rtmp.connect({"app": "_origin"}, "A", "Origin"))
    writer.write(rtmp.message(REPLICATION, hello, csid=lane))
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    writer.close()


async def test_of_many_silent_strangers_only_a_few_are_kept(acceptor):
    strangers = [await Stranger.connect(acceptor) for _ in range(3 * UNPROVEN_MAX)]
    await until(lambda: acceptor.replication.refusals["crowded"] == 2 * UNPROVEN_MAX)
    assert [one.gone.done() for one in strangers[-UNPROVEN_MAX:]] == [False] * UNPROVEN_MAX
    for one in strangers:
        await one.leave()


async def test_who_speaks_is_not_displaced_by_who_is_silent(acceptor):
    peer = await Stranger.connect(acceptor)
    peer.say_something()
    await until(lambda: any(link.heard for link in acceptor.replication._links))
    crowd = [await Stranger.connect(acceptor) for _ in range(2 * UNPROVEN_MAX)]
    await until(lambda: acceptor.replication.refusals["crowded"] == UNPROVEN_MAX + 1)
    assert not peer.gone.done()
    for one in (peer, *crowd):
        await one.leave()


async def test_a_stranger_is_not_kept_instead_of_the_peers_address():
    node = Node("B", ReplicatedState())
    await node.start(("127.0.0.2", 1), dials=False)
    peer = await Stranger.connect(node, source="127.0.0.2")
    crowd = [await Stranger.connect(node) for _ in range(2 * UNPROVEN_MAX)]
    await until(lambda: node.replication.refusals["crowded"] == UNPROVEN_MAX + 1)
    assert not peer.gone.done()
    for one in (peer, *crowd):
        await one.leave()
    await node.replication.stop()


async def test_who_speaks_slowly_has_no_more_time_than_others(acceptor):
    loris = await Stranger.connect(acceptor)
    while not loris.gone.done():
        loris.writer.write(b"\x03")
        await asyncio.wait([loris.gone], timeout=0.02)
    assert acceptor.replication.refusals["not_proven"] == 1
    await loris.leave()


async def test_a_stranger_may_say_nothing_that_is_not_of_the_proof(acceptor):
    reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.replication.port)
    rtmp = Connection(Role.CLIENT, now=now(), random_bytes=bytes)
    writer.write(rtmp.data_to_send())
    rtmp.receive_data(await reader.readexactly(3073), now())
    writer.write(rtmp.data_to_send() + rtmp.connect({"app": "_origin"}, "A", "Origin"))
    writer.write(rtmp.command("createStream", 2, None))
    await until(lambda: acceptor.replication.refusals["other_message"] == 1)
    writer.close()


async def test_an_address_with_three_wrong_secrets_is_turned_away(acceptor):
    for _ in range(BAD_SECRETS):
        await say_hello(acceptor, b"a guess")
    assert acceptor.replication.refusals["bad_secret"] == BAD_SECRETS
    stranger = await Stranger.connect(acceptor)
    await stranger.gone
    assert acceptor.replication.refusals["waiting"] == 1
    other = await Stranger.connect(acceptor, source="127.0.0.3")
    other.say_something()
    await until(lambda: any(link.heard for link in acceptor.replication._links))
    await stranger.leave()
    await other.leave()


async def test_what_strangers_say_is_neither_remembered_nor_logged_without_bound(acceptor):
    for number in range(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.replication.port)
        rtmp = Connection(Role.CLIENT, now=now(), random_bytes=bytes)
        writer.write(rtmp.data_to_send())
        rtmp.receive_data(await reader.readexactly(3073), now())
        writer.write(rtmp.data_to_send() + rtmp.connect({"app": f"{number}" * 5000}))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
    await until(lambda: acceptor.replication.refusals["other_message"] == 60)
    assert len(acceptor.replication._reasons) <= 32
    assert max(map(len, acceptor.log.texts)) <= 200


def test_a_wait_ends_with_time_or_with_the_right_secret():
    proofs = FailedProofs()
    for _ in range(BAD_SECRETS):
        assert not proofs.must_wait("10.0.0.1", 100.0)
        proofs.failed("10.0.0.1", 100.0)
    assert proofs.must_wait("10.0.0.1", 100.0)
    assert not proofs.must_wait("10.0.0.2", 100.0)
    assert not proofs.must_wait("10.0.0.1", 100.0 + BAD_SECRET_SECONDS)
    proofs.failed("10.0.0.1", 103.0)
    assert proofs.must_wait("10.0.0.1", 103.0)
    proofs.proved("10.0.0.1")
    assert not proofs.must_wait("10.0.0.1", 103.0)


def test_an_ipv6_host_is_its_network():
    proofs = FailedProofs()
    for number in range(BAD_SECRETS):
        proofs.failed(f"2001:db8::{number}", 0.0)
    assert proofs.must_wait("2001:db8::ffff", 0.0)
    assert not proofs.must_wait("2001:db8:0:1::1", 0.0)


def test_what_is_remembered_of_strangers_is_bounded():
    proofs = FailedProofs()
    for number in range(5000):
        proofs.failed(f"10.0.{number >> 8}.{number & 255}", 0.0)
    assert len(proofs._failures) == 1024
