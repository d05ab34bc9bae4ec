"""A gate of a listener and a filter: the filter is a double, the listener is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.firewalls import packet_filter
from rtmp_sync.firewalls.base import GateState
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.packet_filter import FilterGate
from rtmp_sync.server.clock import now
from tests.support.nodes import until


class Filter:
    """Does what it is told, unless the test says otherwise."""

    def __init__(self) -> None:
        self.fresh_seconds = 1.0
        self.lapses = True
        self.state: GateState = "unknown"
        self.calls: list[str] = []
        self.held: list[float] = []
        self.refuses = ""
        self.stuck = False  # what it is told has no effect
        self.answers = asyncio.Event()
        self.answers.set()

    async def open(self, epoch: int, until: float) -> None:
        assert until > now()
        await self._do(f"open {epoch}", "open")

    async def close(self) -> None:
        await self._do("close", "closed")

    async def verify(self) -> GateState:
        await self.answers.wait()
        return self.state

    async def remove(self) -> None:
        await self._do("remove", "unknown")

    def hold(self, until: float) -> None:
        self.held.append(until)

    async def _do(self, call: str, state: GateState) -> None:
        self.calls.append(call)
        await self.answers.wait()
        if self.refuses:
            raise OSError(self.refuses)
        if not self.stuck:
            self.state = state


class Parts:
    def __init__(self) -> None:
        self.filter = Filter()
        self.listener = ListenerGate("127.0.0.1", 0, asyncio.Protocol)
        self.events: list[object] = []
        self.gate = FilterGate(self.listener, self.filter, self._report)

    def _report(self, event: str, /, **fields: object) -> None:
        assert event == "gate_mismatch"
        self.events.append(fields["error"])

    async def sees(self, state: GateState) -> None:
        """The gate verifies as `state` before long."""
        async with asyncio.timeout(10):
            while await self.gate.verify() != state:  # noqa: ASYNC110 - it is asked, it never tells
                await asyncio.sleep(0.01)

    async def repaired(self, state: GateState) -> None:
        """The filter is again as the gate wants it."""
        async with asyncio.timeout(10):
            while self.filter.state != state:
                assert await self.gate.verify() in (state, "unknown")
                await asyncio.sleep(0.01)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    parts = Parts()
    yield parts
    parts.filter.answers.set()
    await parts.gate.stop()


async def test_it_is_closed_from_the_start(parts: Parts) -> None:
    await parts.gate.start()
    assert await parts.gate.verify() == "closed"
    assert parts.filter.calls == ["close"]


async def test_open_means_that_both_leaves_are(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.open(7)
    assert await parts.gate.verify() == "open"
    assert await parts.listener.verify() == "open"
    assert parts.filter.calls == ["close", "open 7"]
    await parts.gate.close()
    assert await parts.gate.verify() == "closed"
    assert await parts.listener.verify() == "closed"
    assert parts.events == []


async def test_one_leaf_alone_proves_nothing(parts: Parts) -> None:
    await parts.gate.start()
    await parts.listener.open()
    assert await parts.gate.verify() == "unknown"


async def test_a_filter_that_refuses_keeps_the_gate_from_opening(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.refuses = "no rights"
    with pytest.raises(OSError, match="no rights"):
        await parts.gate.open(1)
    assert await parts.gate.verify() == "unknown"
    assert parts.events == ["no rights"]
    await parts.gate.close()
    assert await parts.listener.verify() == "closed"
    assert await parts.gate.verify() == "unknown"
    parts.filter.refuses = ""
    await parts.sees("closed")


async def test_a_filter_that_does_not_do_what_it_says_keeps_it_from_opening(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.stuck = True
    with pytest.raises(OSError, match="set to open, reads closed"):
        await parts.gate.open(1)


async def test_a_filter_that_hangs_does_not_keep_the_listener_open(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.open(1)
    parts.filter.answers.clear()
    await parts.gate.close()
    assert await parts.listener.verify() == "closed"
    assert await parts.gate.verify() == "unknown"
    parts.filter.answers.set()
    await parts.sees("closed")


async def test_closing_wins_over_an_opening_that_hangs(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.answers.clear()
    opening = asyncio.ensure_future(parts.gate.open(1))
    await until(lambda: "open 1" in parts.filter.calls)
    closing = asyncio.ensure_future(parts.gate.close())
    with pytest.raises(OSError, match="closed meanwhile"):
        await opening
    parts.filter.answers.set()
    await closing
    await parts.sees("closed")
    assert parts.filter.calls == ["close", "open 1", "close"]


async def test_closing_wins_over_an_opening_that_still_listens(parts: Parts) -> None:
    await parts.gate.start()
    opening = asyncio.ensure_future(parts.gate.open(1))
    await asyncio.sleep(0)
    await parts.gate.close()
    with pytest.raises(OSError, match="closed meanwhile"):
        await opening
    assert await parts.gate.verify() != "open"
    await parts.gate.close()
    await parts.sees("closed")


async def test_closing_again_and_again_lets_a_slow_filter_come_to_its_end(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.open(1)
    parts.filter.answers.clear()
    for _ in range(3):
        await parts.gate.close()
    parts.filter.answers.set()
    await parts.sees("closed")
    assert parts.filter.calls == ["close", "open 1", "close"]


async def test_closing_again_what_fails_to_close_does_not_hammer_it(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.open(1)
    parts.filter.refuses = "not now"
    before = len(parts.filter.calls)
    for _ in range(100):
        await parts.gate.close()
    assert len(parts.filter.calls) - before < 10
    parts.filter.refuses = ""
    await parts.sees("closed")


@pytest.mark.parametrize("found", ["closed", "unknown"])
async def test_an_open_gate_that_others_altered_is_reported_and_repaired(
    parts: Parts, found: GateState
) -> None:
    await parts.gate.start()
    parts.gate.hold(now() + 100)
    await parts.gate.open(1)
    parts.filter.state = found
    await parts.repaired("open")
    await parts.sees("open")
    assert parts.events == [
        f"wanted open, found {'closed' if found == 'closed' else 'altered by others'}"
    ]


async def test_a_closed_gate_that_others_opened_is_closed_again(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.state = "open"
    await parts.repaired("closed")
    assert parts.events == ["wanted closed, found open"]


async def test_what_cannot_be_repaired_is_unknown_and_fills_no_history(parts: Parts) -> None:
    await parts.gate.start()
    parts.gate.hold(now() + 100)
    await parts.gate.open(1)
    parts.filter.state, parts.filter.stuck = "unknown", True
    await parts.sees("unknown")
    tried = len(parts.filter.calls)
    async with asyncio.timeout(10):
        while len(parts.filter.calls) < tried + 2:
            assert await parts.gate.verify() == "unknown"
            await asyncio.sleep(0.01)
    assert len(parts.events) == 1


async def test_what_is_wrong_for_hours_is_told_now_and_then(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history holds a thousand events."""
    hours = 0.0
    monkeypatch.setattr(packet_filter, "now", lambda: now() + hours * 3600)
    await parts.gate.start()
    parts.filter.refuses = "no such program"
    parts.filter.state = "unknown"
    for _ in range(500):
        hours += 0.01
        await parts.gate.verify()
    assert 30 <= len(parts.events) <= 100


async def test_a_reading_that_does_not_come_is_no_reading(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.fresh_seconds = 0.2
    parts.filter.answers.clear()
    await parts.sees("unknown")
    parts.filter.answers.set()
    await parts.sees("closed")


async def test_one_that_does_not_lapse_stays_open_while_it_cannot_be_read(parts: Parts) -> None:
    parts.filter.lapses = False
    await parts.gate.start()
    await parts.gate.open(1)
    parts.filter.fresh_seconds = 0.05
    parts.filter.answers.clear()
    for _ in range(10):
        assert await parts.gate.verify() == "open"
        await asyncio.sleep(0.02)
    await parts.gate.close()
    assert await parts.gate.verify() == "unknown"  # closed is what it must be seen to be
    parts.filter.answers.set()
    await parts.sees("closed")


async def test_one_that_lapses_is_not_open_while_it_cannot_be_read(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.open(1)
    parts.filter.fresh_seconds = 0.05
    parts.filter.answers.clear()
    await parts.sees("unknown")


async def test_a_dead_mans_switch_is_held_only_while_it_is_open(parts: Parts) -> None:
    await parts.gate.start()
    parts.gate.hold(now() + 100)
    assert parts.filter.held == []
    await parts.gate.open(1)
    parts.gate.hold(1e9)
    await parts.gate.close()
    parts.gate.hold(2e9)
    assert parts.filter.held == [1e9]


async def test_nothing_stays_behind(parts: Parts) -> None:
    await parts.gate.start()
    await parts.gate.stop()
    assert parts.filter.calls == ["close", "remove"]


async def test_what_cannot_be_removed_does_not_keep_an_origin_from_stopping(parts: Parts) -> None:
    await parts.gate.start()
    parts.filter.refuses = "no rights"
    await parts.gate.stop()
    assert parts.filter.calls == ["close", "remove"]
