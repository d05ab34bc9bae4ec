"""A client that sends too fast is read later: it loses nothing, and others wait for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.inflow import Inflow, InflowRates
from tests.support.origins import running, until
from tests.support.peer import Peer


class Timer:
    def cancel(self) -> None: ...


class Clock:
    """As much of a loop as is needed: `delay` is for how long the last call was put off."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.delay = 0.0
        self.callback: Callable[[], None]

    def time(self) -> float:
        return self.seconds

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: object) -> Timer:
        self.delay, self.callback = delay, partial(callback, *arguments)
        return Timer()


class Told:
    """What an inflow tells its session. go_on: called when that may read."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self.go_on = go_on
        self.signs = 0

    def show_life(self) -> None:
        self.signs += 1


def inflow_of(clock: Clock, rates: InflowRates, go_on: Callable[[], None]) -> Inflow:
    return Inflow(cast(asyncio.AbstractEventLoop, clock), rates, Told(go_on))


@pytest.mark.parametrize(
    ("rates", "totals", "seconds"),
    [
        (InflowRates(), (10**9, 10**6), 0.0),
        (InflowRates(bytes=1000), (1000, 10**6), 0.0),
        (InflowRates(bytes=1000), (3500, 1), 2.5),
        (InflowRates(messages=10), (10**9, 15), 0.5),
        (InflowRates(bytes=1000, messages=10), (2000, 40), 3.0),
        (InflowRates(bytes=1000, messages=10), (5000, 20), 4.0),
    ],
)
def test_what_is_above_a_seconds_worth_is_waited_for(
    rates: InflowRates, totals: tuple[int, int], seconds: float
) -> None:
    clock = Clock()
    inflow = inflow_of(clock, rates, lambda: None)
    assert inflow.take(*totals) is (seconds > 0)
    if seconds:
        assert clock.delay == pytest.approx(seconds)


def test_after_the_wait_as_much_may_come_as_in_that_time() -> None:
    clock = Clock()
    told: list[bool] = []
    inflow = inflow_of(clock, InflowRates(bytes=1000), lambda: told.append(inflow.held))
    assert inflow.take(2000, 0)
    clock.seconds += clock.delay
    clock.callback()
    assert told == [False]
    assert inflow.take(2001, 0)  # the debt is paid, and nothing is left over
    clock.callback()
    clock.seconds += 1.0
    assert not inflow.take(2500, 0)


def test_of_two_limits_the_tighter_one_counts_and_what_came_before_counts_for_nothing() -> None:
    clock = Clock()
    inflow = inflow_of(clock, InflowRates(bytes=1000), lambda: None)
    inflow.limit(2000, 0)
    assert inflow.take(3000, 0)
    assert clock.delay == pytest.approx(2.0)

    alone = inflow_of(clock, InflowRates(), lambda: None)
    assert not alone.take(10**6, 0)
    alone.limit(500, 10**6 + 7)
    assert not alone.take(10**6 + 507, 0)
    assert alone.take(10**6 + 757, 0)
    assert clock.delay == pytest.approx(0.5)


def test_another_limit_ends_or_changes_a_wait() -> None:
    clock = Clock()
    told: list[bool] = []
    inflow = inflow_of(clock, InflowRates(), lambda: told.append(inflow.held))
    inflow.limit(1000, 0)
    assert inflow.take(5000, 0)
    clock.seconds += 1
    inflow.limit(500, 5000)  # as long as it had to wait, so that nobody waits for ever
    assert inflow.held
    assert clock.delay == pytest.approx(3.0)
    inflow.limit(1500, 5000)
    assert clock.delay == pytest.approx(1.0)
    inflow.limit(None, 5000)
    assert (inflow.held, told) == (False, [False])
    assert not inflow.take(10**6, 10**6)


def test_who_waits_for_long_is_shown_now_and_then_that_this_end_lives() -> None:
    clock = Clock()
    reader = Told(lambda: ends.append(clock.seconds))
    ends: list[float] = []
    inflow = Inflow(cast(asyncio.AbstractEventLoop, clock), InflowRates(bytes=1000), reader)
    assert inflow.take(13_000, 0)
    while not ends:
        assert inflow.held
        clock.seconds += clock.delay
        clock.callback()
    assert (ends, reader.signs) == ([12.0], 2)


async def test_all_calls_of_one_that_is_slowed_down_are_answered_and_others_are_at_once(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, rtmp={"max_message_rate": 20}) as origin:
        fast, other = Peer(), Peer()
        await fast.join(origin.rtmp_port, "probe", "fast")
        await other.join(origin.rtmp_port, "probe")
        (session,) = [one for one in origin.sessions if one.client.user_name == "fast"]
        fast.send(b"".join(fast.rtmp.call("getStreamLength", "none")[1] for _ in range(40)))
        await until(lambda: session.inflow.held)
        fast.send(fast.rtmp.call("getStreamLength", "none")[1])
        other.send(other.rtmp.call("getStreamLength", "none")[1])
        await other.event(CallAnswered)
        assert session.inflow.held
        session.go_on()  # whoever else had held it
        assert not session._reading
        await until(lambda: sum(isinstance(e, CallAnswered) for e in fast.events) == 41)
        fast.close()
        other.close()
