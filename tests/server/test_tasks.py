"""Application coroutines: the first step at once, the rest in a task."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rtmp_sync.server.tasks import Tasks


class Outcomes:
    def __init__(self) -> None:
        self.all: list[Any] = []

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self.all.append(value if error is None else type(error))


async def test_one_that_never_waits_is_done_when_start_returns() -> None:
    outcomes = Outcomes()

    async def method() -> str:
        return "done"

    Tasks().start(method(), outcomes)
    assert outcomes.all == ["done"]


async def test_an_error_is_its_outcome() -> None:
    outcomes = Outcomes()

    async def method() -> None:
        raise ValueError

    async def later() -> None:
        await asyncio.sleep(0)
        raise KeyError

    tasks = Tasks()
    tasks.start(method(), outcomes)
    tasks.start(later(), outcomes)
    assert await tasks.idle(10)
    assert outcomes.all == [ValueError, KeyError]


async def test_one_that_ends_as_cancelled_in_its_first_step_has_an_outcome_too() -> None:
    """As one that awaits a task of its own which was cancelled before."""
    outcomes = Outcomes()
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()

    async def method() -> None:
        await gone

    tasks = Tasks()
    tasks.start(method(), outcomes)
    assert outcomes.all == [asyncio.CancelledError]
    assert not tasks.running


async def test_one_that_waits_goes_on_with_what_it_waited_for() -> None:
    outcomes = Outcomes()
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def method() -> int:
        first = await answer
        await asyncio.sleep(0)
        return first + sum(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))

    tasks = Tasks()
    tasks.start(method(), outcomes)
    assert outcomes.all == []
    answer.set_result(10)
    assert await tasks.idle(10)
    assert outcomes.all == [13]


async def test_a_timeout_works_from_the_first_line_on() -> None:
    outcomes = Outcomes()

    async def method() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    tasks = Tasks()
    tasks.start(method(), outcomes)
    assert await tasks.idle(10)
    assert outcomes.all == [TimeoutError]


@pytest.mark.parametrize("begun", [False, True])
async def test_cancelling_reaches_what_waits(begun: bool) -> None:
    outcomes = Outcomes()
    cleaned: list[str] = []

    async def method() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.append("up")
            raise

    tasks = Tasks()
    tasks.start(method(), outcomes)
    if begun:
        await asyncio.sleep(0)
    tasks.cancel()
    assert await tasks.idle(10)
    assert cleaned == ["up"]
    assert outcomes.all == [asyncio.CancelledError]


async def test_started_from_within_a_task_it_leaves_that_task_the_current_one() -> None:
    seen: list[object] = []

    async def method() -> None:
        seen.append(asyncio.current_task())

    mine = asyncio.current_task()
    Tasks().start(method(), lambda value, error: None)
    assert asyncio.current_task() is mine
    assert seen[0] not in (None, mine)


async def test_one_that_takes_no_cancellation_is_not_waited_for_without_end() -> None:
    free = asyncio.Event()

    async def method() -> None:
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    tasks = Tasks()
    tasks.start(method(), Outcomes())
    await asyncio.sleep(0)
    tasks.cancel()
    assert not await tasks.idle(0.01)
    assert tasks.running == 1
    free.set()
    assert await tasks.idle(10)
