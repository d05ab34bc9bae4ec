"""Coroutines of applications: the first step now, the rest, if there is any, in a task.

Most application methods never wait. Run at once, they take effect in the order in which the
client sent its commands, inside the turn that received them. `asyncio.Task` has `eager_start`
for this from Python 3.12 on; this works on 3.11 too.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from rtmp_sync.server.blocked_loop import Steps
from rtmp_sync.server.clock import now

__all__ = ["RUNNERS", "Done", "Tasks", "watched"]

T = TypeVar("T")

Done = Callable[[Any, BaseException | None], None]
"""Called once with (value, None) or (None, what was raised)."""


class Tasks:
    """Everything that applications have running on this origin."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> int:
        """How many wait for something."""
        return len(self._running)

    def start(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> asyncio.Task[Any] | None:
        """Run `coroutine` as far as it goes; `done` gets its outcome, now or later. Returns the
        task in which it goes on, unless it has ended.

        What it awaits first sees the task that will go on with it as the current one, so
        `asyncio.timeout` and its like work from the first line on.
        """
        loop = asyncio.get_running_loop()
        waits_for: list[Any] = []
        context = copy_context()
        task = loop.create_task(_go_on(coroutine, waits_for, self.steps), context=context)
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio._leave_task(loop, outer)
        asyncio._enter_task(loop, task)
        was = self.steps.begin()
        try:
            waits_for.append(context.run(coroutine.send, None))
        except StopIteration as stop:
            value, error = stop.value, None
        except (Exception, asyncio.CancelledError) as raised:
            # an application's error is its caller's answer; so is that what it waits for was
            # cancelled before
            value, error = None, raised
        finally:
            self.steps.end(was)
            asyncio._leave_task(loop, task)
            if outer is not None:
                asyncio._enter_task(loop, outer)
        if waits_for:
            self._running.add(task)
            task.add_done_callback(lambda task: self._finished(task, done))
            return task
        done(value, error)
        return None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a plain function of an application; its value, and its errors."""
        was = self.steps.begin()
        try:
            return function(*arguments)
        finally:
            self.steps.end(was)

    def cancel(self) -> None:
        """Stop everything that still runs."""
        for task in list(self._running):
            steps = cast(Generator[Any, Any, Any], task.get_coro())  # `_go_on`
            if inspect.getgeneratorstate(steps) == inspect.GEN_CREATED:
                # its coroutine would not hear of it before the task has begun, which is next
                task.get_loop().call_soon(task.cancel)
            else:
                task.cancel()

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing runs any more; False when something still does after `seconds`."""
        until = now() + seconds
        while self._running and (left := until - now()) > 0:
            await asyncio.wait(self._running, timeout=left)
        return not self._running

    def _finished(self, task: asyncio.Task[Any], done: Done) -> None:
        self._running.discard(task)
        if task.cancelled():
            done(None, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            done(None, error)
        else:
            done(task.result(), None)


@types.coroutine
def _go_on(
    coroutine: Coroutine[Any, Any, Any], waits_for: list[Any], steps: Steps
) -> Generator[Any, Any, Any]:
    """A coroutine whose first step has run, from what that step waits for; nothing if it ended."""
    if not waits_for:
        return None
    waiting = waits_for[0]
    while True:
        try:
            value = yield waiting
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # a cancellation is the coroutine's to handle
            raised: BaseException | None = error
        else:
            raised = None
        was = steps.begin()
        try:
            waiting = coroutine.send(value) if raised is None else coroutine.throw(raised)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.end(was)


@types.coroutine
def watched(coroutine: Coroutine[Any, Any, T], steps: Steps) -> Generator[Any, Any, T]:
    """To be awaited instead of `coroutine`, in a task of whoever does: each step is told."""
    was = steps.begin()
    try:
        waits_for = [coroutine.send(None)]
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        steps.end(was)
    return cast(T, (yield from _go_on(coroutine, waits_for, steps)))


RUNNERS: Final = (Tasks.start.__code__, Tasks.call.__code__, _go_on.__code__)
"""For `BlockedLoop`: what runs application code here."""
