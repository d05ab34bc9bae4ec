"""Runs coroutines of the product without a loop: each waits for one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any

__all__ = ["Wait", "run"]

Resume = Callable[[Any], None]
Fail = Callable[[Exception], None]


class Wait:
    """Awaited by a coroutine that `run` drives. begin(resume, fail): start what takes time, and
    call one of the two when it is over."""

    def __init__(self, begin: Callable[[Resume, Fail], None]) -> None:
        self.begin = begin

    def __await__(self) -> Generator[Wait, Any, Any]:
        return (yield self)


def run(
    work: Coroutine[Wait, Any, Any],
    done: Resume,
    failed: Fail,
    expected: tuple[type[Exception], ...] = (),
) -> None:
    """done(result), or failed(error) for an error of the expected types."""

    def step(value: Any, error: Exception | None) -> None:
        try:
            wait = work.send(value) if error is None else work.throw(error)
        except StopIteration as end:
            done(end.value)
        except expected as refusal:
            failed(refusal)
        else:
            wait.begin(lambda value: step(value, None), lambda error: step(None, error))

    step(None, None)
