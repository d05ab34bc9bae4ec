"""Operators at the watchdog's door: a command, and the wait for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rtmp_sync.cluster.member import Member
from rtmp_sync.server.clock import now

__all__ = ["Requests", "Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to an operator."""

    done: bool
    text: str


class Requests:
    """`wake` is called when the member has something new to look at."""

    def __init__(self, member: Member, wake: Callable[[], None]) -> None:
        self._member = member
        self._wake = wake
        self._answer: asyncio.Future[Result] | None = None

    async def command(self, kind: str, by: str, *, patience_seconds: float) -> Result:
        """Have the member see to it, and say what came of it."""
        if not self._member.ask(kind, by, now()):
            return Result(False, "another request is under way")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._wake()
        try:
            async with asyncio.timeout(patience_seconds):
                return await answer
        except TimeoutError:
            return Result(False, f"{kind} was not possible within {patience_seconds:.0f} s")
        finally:
            if self._answer is answer:
                self._answer = None
                self._member.withdraw()

    def answer(self, done: bool, text: str) -> None:
        """The member settled what was asked."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Result(done, text))
            self._answer = None
