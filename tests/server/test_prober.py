"""Rounds of probes, with doubles of the paths."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Author, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import Identity, Policy
from rtmp_sync.server.prober import Prober
from tests.server.watchdog_doubles import LinkDouble, OriginDouble, until

A_HOLDS = first_record(("A", "B"), Author("A", "a1", "n1", ""))


class PathDouble:
    """Answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.asked = self.under_way = self.most = 0
        self.answer: bool | None = True
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> bool | None:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        return self.answer


class Bench:
    """B, whose peer A holds the record."""

    def __init__(self) -> None:
        self.origin = OriginDouble("b1")
        self.link: LinkDouble = self.origin.link
        around = SimpleNamespace(replication=None, position=(0, 0))
        self.member = Member(
            Identity("B", "b1", 0.0),
            DEFAULT,
            Policy(),
            around,
            nonce=lambda: "",
            wall=lambda: "",
            now=0.0,
        )
        self.member.saw(Sighting(0.0, 0.0, A_HOLDS), 0.0)
        self.admin, self.rtmp = PathDouble(), PathDouble()
        self.rounds = 0
        self.prober = Prober(
            self.origin, self.member, self, interval_seconds=0.001, wake=self._round_over
        )

    def _round_over(self) -> None:
        self.rounds += 1

    async def close(self) -> None:
        """It has nothing to close."""


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.ensure_future(bench.prober.run())
    yield bench
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def more_rounds(bench: Bench) -> None:
    rounds = bench.rounds
    await until(lambda: bench.rounds > rounds + 1)


async def test_probes_of_one_path_never_overlap(bench: Bench) -> None:
    await more_rounds(bench)
    bench.admin.go.clear()
    await until(lambda: bench.admin.under_way == 1)
    asked = bench.admin.asked
    for _ in range(50):
        await asyncio.sleep(0.001)  # many intervals
    assert bench.admin.asked == asked
    bench.admin.go.set()
    await more_rounds(bench)
    assert bench.admin.most == 1


async def test_every_path_that_fails_counts(bench: Bench) -> None:
    bench.admin.answer = bench.rtmp.answer = False
    await until(lambda: bench.member.observer.dead)
    bench.rtmp.answer = True  # its port answers: it lives
    await until(lambda: not bench.member.observer.dead)
    assert bench.member.observer.misses > 0


async def test_the_peers_port_counts_only_while_the_peer_should_be_open(bench: Bench) -> None:
    await until(lambda: bench.rtmp.asked > 0)
    bench.rtmp.answer = False
    released = A_HOLDS.let_go(Author("A", "a1", "n2", ""), 0, "stopped")
    bench.member.saw(Sighting(1.0, 1.0, released), 1.0)
    await more_rounds(bench)
    asked = bench.rtmp.asked
    await more_rounds(bench)
    assert bench.rtmp.asked == asked


async def test_while_the_link_works_the_peers_port_is_its_own_business(bench: Bench) -> None:
    await until(lambda: bench.rtmp.asked > 0)
    bench.link.connected = True
    bench.rtmp.answer = False
    await more_rounds(bench)
    asked = bench.rtmp.asked
    await more_rounds(bench)
    assert bench.rtmp.asked == asked
    assert bench.member.observer.misses == 0


async def test_what_a_node_finds_of_itself_goes_to_its_member_and_to_the_peer(
    bench: Bench,
) -> None:
    bench.origin.test.reason = "self_probe_rtmp"
    bench.origin.test.loop_lag = 0.25
    await until(lambda: bench.member.view(0.0).self_test_fails >= 3)
    assert bench.member.view(0.0).self_test_reason == "self_probe_rtmp"
    assert bench.link.reported == {"healthy": False, "lb_checks_age": -1.0, "loop_lag": 0.25}
    bench.origin.lb_age = 1.5
    bench.origin.test.reason = ""
    await more_rounds(bench)
    assert bench.member.view(0.0).self_test_fails == 0
    assert bench.member.view(0.0).lb_checks_age == 1.5
    assert bench.link.reported["lb_checks_age"] == 1.5
