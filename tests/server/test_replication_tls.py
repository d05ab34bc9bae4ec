"""The link inside TLS: both sides show a certificate of one authority."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.config import Config
from rtmp_sync.config_tls import LinkTls, link_tls
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.support.certificates import Authority
from tests.support.changes import new_state
from tests.support.nodes import Node, same, until

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Run:
    """Both loops have a TLS of their own."""
    if request.param == "asyncio":
        return asyncio.run
    return pytest.importorskip("uvloop").run


def tls_of(authority: Authority, name: str, ca: Path | None = None) -> LinkTls:
    certificate, key = authority.sign(name)
    files = {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_ca": ca or authority.certificate,
    }
    tls = link_tls(Config(node={"id": name}, replication=files).replication)
    assert tls is not None
    return tls


async def started(a: LinkTls | None, b: LinkTls | None) -> tuple[Node, Node]:
    """A dials and serves, B follows."""
    one, other = Node("A", new_state()), Node("B", ReplicatedState())
    one.state.journal.take_batch()
    await other.start(("127.0.0.1", 1), dials=False, tls=b)
    await one.start(("127.0.0.1", other.replication.port), dials=True, tls=a)
    one.serve(1)
    other.stand_by(1, "A")
    return one, other


async def stopped(*nodes: Node) -> None:
    for node in nodes:
        await node.replication.stop()


def test_a_link_inside_tls_copies_follows_and_returns(run, ours):
    async def scenario() -> None:
        one, other = await started(tls_of(ours, "A"), tls_of(ours, "B"))
        one.write(100, value=bytes(20_000))
        await until(lambda: other.replication.in_sync and one.replication.peer_caught_up)
        secured = one.replication._current._transport
        assert secured.get_extra_info("cipher") is not None
        assert secured.get_extra_info("peercert")
        one.write(3)
        await until(lambda: same(one, other))
        one.replication._current.cut(ConnectionError("a cut"))
        await until(lambda: one.log.links[:2] == [True, False])
        one.write(3)
        await until(lambda: same(one, other) and other.replication.in_sync)
        assert other.replication.partial_copies == 1
        await stopped(one, other)

    run(scenario())


def test_a_certificate_of_another_authority_is_refused_by_both(run, ours, theirs):
    async def scenario() -> None:
        stranger = tls_of(theirs, "A", ca=ours.certificate)
        one, other = await started(stranger, tls_of(ours, "B"))
        await until(lambda: other.replication.refusals["bad_tls"] > 0)
        assert other.log.links == one.log.links == []
        assert other.log.refused == ["bad_tls"]
        await stopped(one, other)

        one, other = await started(tls_of(ours, "A"), stranger)
        await until(lambda: one.replication.refusals["bad_tls"] > 0)
        assert other.log.links == one.log.links == []
        assert "certificate is not good" in one.log.texts[0]
        await stopped(one, other)

    run(scenario())


def test_a_dialer_with_tls_and_an_acceptor_without_both_say_so(run, ours):
    async def scenario() -> None:
        one, other = await started(tls_of(ours, "A"), None)
        for node in (one, other):
            await until(lambda node=node: node.replication.refusals["bad_tls"] > 0)
            assert node.log.refused == ["bad_tls"]
            assert "replication.tls_" in node.log.texts[0]
            assert node.log.links == []
        await stopped(one, other)

    run(scenario())


def test_an_acceptor_with_tls_says_that_the_dialer_has_none_and_the_dialer_guesses_it(run, ours):
    async def scenario() -> None:
        one, other = await started(None, tls_of(ours, "B"))
        await until(lambda: other.replication.refusals["bad_tls"] > 0)
        assert "the other side speaks no TLS" in other.log.texts[0]
        await until(lambda: any("TLS" in why for why in one.replication._reasons))
        assert other.log.links == one.log.links == []
        await stopped(one, other)

    run(scenario())


def test_silence_instead_of_a_tls_handshake_is_not_waited_for(run, ours):
    async def scenario() -> None:
        other = Node("B", ReplicatedState())
        await other.start(("127.0.0.1", 1), dials=False, tls=tls_of(ours, "B"))
        reader, writer = await asyncio.open_connection("127.0.0.1", other.replication.port)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await until(lambda: other.replication.refusals["not_proven"] == 1)
        assert not other.replication._links
        writer.close()
        await stopped(other)

    run(scenario())
