"""The nftables driver's dead man's switch, with an nft that only keeps what it is told.

What the kernel does with it is seen in tests/e2e/test_gates.py.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import TypeVar

import pytest

from rtmp_sync.firewalls import nftables
from rtmp_sync.firewalls.nft_library import Nft, NftError
from rtmp_sync.firewalls.nft_table import Table
from rtmp_sync.firewalls.nftables import NftablesFilter

T = TypeVar("T")

TABLE = Table("A", [("0.0.0.0", 1935)])
TIMEOUT = re.compile(r"1935 timeout (\d+)ms")


class KeptNft(Nft):
    """Runs nothing. timeouts: in ms, of the elements that it was given; 0 for "closed"."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.timeouts: list[int] = []
        self.answer = ""
        self.refuses = ""
        self.takes_seconds = 0.0
        self.free = asyncio.Event()
        self.free.set()

    async def call(self, work: Callable[[], T]) -> T:
        await self.free.wait()
        return work()

    def run(self, commands: str, *, as_json: bool = False) -> str:
        self._clock.now += self.takes_seconds
        if self.refuses:
            raise NftError(self.refuses)
        if as_json:
            return self.answer or self._listing()
        found = TIMEOUT.search(commands)
        self.timeouts.append(int(found[1]) if found else 0)
        return ""

    def _listing(self) -> str:
        if not self.timeouts:
            raise NftError("No such file or directory")
        switch = {"name": "open", "elem": [1935]} if self.timeouts[-1] else {"name": "open"}
        rules = [{"rule": {"handle": number}} for number in range(4)]
        hook = {"chain": {"name": "input", "hook": "input"}}
        return json.dumps({"nftables": [{"set": switch}, hook, *rules]})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(nftables, "now", clock)
    return clock


@pytest.fixture
async def nft(clock: Clock) -> KeptNft:
    return KeptNft(clock)


@pytest.fixture
async def gate(nft: KeptNft) -> NftablesFilter:
    return NftablesFilter(TABLE, nft)


async def idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_open_for_a_second_at_most_and_never_beyond_the_authority(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 100.4)
    assert await gate.verify() == "open"
    clock.now = 100.3
    gate.hold(100.7)
    await idle()
    gate.hold(math.inf)
    await idle()
    assert nft.timeouts == [400, 400, 1000]


async def test_an_authority_that_is_over_opens_nothing(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 99.0)
    assert await gate.verify() == "closed"
    gate.hold(100.0)
    await idle()
    assert set(nft.timeouts) == {0}


async def test_a_machine_that_slept_inside_of_a_refresh_closes_again(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 103.0)
    clock.now, nft.takes_seconds = 100.5, 60.0
    gate.hold(103.5)
    await idle()
    assert nft.timeouts == [1000, 1000, 0]


async def test_refreshes_never_overlap_and_tiny_ones_are_left_out(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 200.0)
    clock.now = 100.05
    gate.hold(200.0)
    await idle()
    assert nft.timeouts == [1000]
    nft.free.clear()
    clock.now = 100.25
    for _ in range(10):
        gate.hold(200.0)
    await idle()
    clock.now = 100.5
    gate.hold(200.0)
    nft.free.set()
    await idle()
    assert nft.timeouts == [1000, 1000]


async def test_a_refresh_that_comes_after_the_close_opens_nothing(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 200.0)
    clock.now = 100.5
    nft.free.clear()
    gate.hold(200.0)
    closing = asyncio.ensure_future(gate.close())
    await idle()
    nft.free.set()
    await closing
    await idle()
    assert nft.timeouts == [1000, 0]
    assert await gate.verify() == "closed"


async def test_a_refresh_that_fails_is_tried_again(
    gate: NftablesFilter, nft: KeptNft, clock: Clock
) -> None:
    await gate.open(1, 200.0)
    nft.refuses, clock.now = "No such file or directory", 100.25
    gate.hold(200.0)
    await idle()
    nft.refuses, clock.now = "", 100.5
    gate.hold(200.0)
    await idle()
    assert nft.timeouts == [1000, 1000]


@pytest.mark.parametrize("answer", ["table inet x {", "[]", '{"nftables": []}', '{"nftables": 1}'])
async def test_an_answer_that_is_not_understood_proves_nothing(
    gate: NftablesFilter, nft: KeptNft, answer: str
) -> None:
    await gate.close()
    nft.answer = answer
    assert await gate.verify() == "unknown"
    with pytest.raises(OSError, match="nft's answer is not understood"):
        await gate.close()


async def test_a_table_that_cannot_be_read_proves_nothing(
    gate: NftablesFilter, nft: KeptNft
) -> None:
    assert await gate.verify() == "unknown"
    await gate.close()
    nft.refuses = "No such file or directory"
    assert await gate.verify() == "unknown"
