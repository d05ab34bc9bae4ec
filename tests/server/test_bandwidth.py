"""How much a client can take: what is asked of it, and what it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.errors import CallError, ConnectionLost
from rtmp_sync.protocol.events import CallAnswered, CommandReceived
from rtmp_sync.server import bandwidth
from rtmp_sync.server.bandwidth import FMS, OLD, Bandwidth, BandwidthCheck
from tests.support.origins import running
from tests.support.peer import Peer


class Way:
    """To a client and back, without a net: `seconds` a KB, in the clock of the check."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, latency: float, seconds: float) -> None:
        self.clock = 0.0
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self._latency, self._seconds = latency, seconds
        monkeypatch.setattr(bandwidth, "now", lambda: self.clock)

    async def call(self, name: str, arguments: tuple[object, ...]) -> object:
        self.asked.append((name, arguments))
        if self.gate is not None:
            await self.gate.wait()
        self.clock += self._latency + len(str(arguments[0])) / 1000 * self._seconds
        if self.error is not None:
            raise self.error
        return None

    @property
    def sizes(self) -> list[int]:
        return [len(str(arguments[0])) for _, arguments in self.asked]


async def test_the_data_doubles_and_the_rate_is_told_without_the_latency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.001)  # 8 Mbit/s
    found = await BandwidthCheck(way.call, 1 << 20).measure(FMS)
    assert way.sizes == [0, 16384, 32768, 65536, 131072]
    assert found is not None
    assert found.latency_ms == 50
    assert found.kbit_per_second == 8000
    assert FMS.told(found) == (8000, found.kbit, found.seconds, 50)
    assert OLD.told(found) == (50, 8000)


async def test_a_slow_client_gets_little_and_so_does_one_with_a_small_outbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.2)
    await BandwidthCheck(way.call, 1 << 20).measure(FMS)
    assert way.sizes == [0, 16384]
    fast = Way(monkeypatch, latency=0.05, seconds=0.001)
    await BandwidthCheck(fast.call, 50_000).measure(FMS)
    assert fast.sizes == [0, 16384, 32768]


async def test_a_client_without_the_method_has_received_the_data_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.001)
    way.error = CallError("NetConnection.Call.Failed")
    found = await BandwidthCheck(way.call, 1 << 20).measure(FMS)
    assert found is not None
    assert found.kbit_per_second == 8000


async def test_a_client_that_answers_nothing_gets_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.001)
    way.gate = asyncio.Event()
    monkeypatch.setattr(bandwidth, "_ROUND_SECONDS", 0.01)
    assert await BandwidthCheck(way.call, 1 << 20).measure(OLD) == Bandwidth()
    assert way.asked == [("_onbwcheck", ("", 0.0))]


async def test_one_at_a_time_and_who_asks_again_soon_gets_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.001)
    way.gate = asyncio.Event()
    check = BandwidthCheck(way.call, 1 << 20)
    first = asyncio.ensure_future(check.measure(FMS))
    await asyncio.sleep(0)
    assert await check.measure(FMS) is None
    way.gate.set()
    found, asked = await first, len(way.asked)
    assert await check.measure(OLD) is found
    assert len(way.asked) == asked
    way.clock += 31
    await check.measure(FMS)
    assert len(way.asked) == 2 * asked


async def test_a_client_that_goes_ends_it_and_may_ask_again_under_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(monkeypatch, latency=0.05, seconds=0.001)
    way.error = ConnectionLost("gone")
    check = BandwidthCheck(way.call, 1 << 20)
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await check.measure(FMS)


# -- over real sockets


async def answer_rounds(peer: Peer, name: str, done: str) -> tuple[list[int], list[object]]:
    """Answer as a player does until the figures come; the data's sizes, and the figures."""
    sizes: list[int] = []
    while True:
        event = await peer.event(CommandReceived)
        peer.events.remove(event)
        arguments = event.command_object_and_arguments(peer.rtmp.limits.values)[1]
        if event.name == name:
            sizes.append(len(str(arguments[0])))
            peer.send(peer.rtmp.command("_result", event.transaction, None, 0))
        elif arguments:  # without any it is the onBWDone that follows connect
            assert event.name == done
            return sizes, arguments


@pytest.mark.parametrize(
    ("asked", "round", "done", "rounds", "figures"),
    [
        ("checkBandwidth", "onBWCheck", "onBWDone", [0, 16384, 32768, 65536, 131072], 4),
        ("_checkbw", "_onbwcheck", "_onbwdone", [0, 16384, 32768], 2),
    ],
)
async def test_a_client_that_asks_is_answered_at_once_measured_and_told(
    origin: Origin, asked: str, round: str, done: str, rounds: list[int], figures: int
) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/live", "")
    peer.send(peer.rtmp.call(asked)[1])
    assert (await peer.event(CallAnswered)).ok
    sizes, told = await answer_rounds(peer, round, done)
    assert sizes == rounds
    assert len(told) == figures
    assert all(isinstance(one, float) and one > 0 for one in told)
    peer.close()


async def test_a_small_outbox_is_not_filled_by_it(tmp_path: Path) -> None:
    async with running(tmp_path / "state", rtmp={"outbox_bytes": 200_000}) as origin:
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe/live", "")
        peer.send(peer.rtmp.command("checkBandwidth", 0, None))
        sizes, _ = await answer_rounds(peer, "onBWCheck", "onBWDone")
        assert sizes == [0, 16384]
        peer.close()
