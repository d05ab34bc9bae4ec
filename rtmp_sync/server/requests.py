"""What operators ask of the watchdog: by command, or by an edit of the pair file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rtmp_sync.cluster.view import HAND_EDIT, Request
from rtmp_sync.server.clock import now

__all__ = ["Requests", "Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to an operator."""

    done: bool
    text: str


class Requests:
    """One command at a time; an edit of the line stays a wish until the line says otherwise."""

    def __init__(self) -> None:
        self._command: Request | None = None
        self._answer: asyncio.Future[Result] | None = None
        self._edit: Request | None = None

    @property
    def current(self) -> Request | None:
        """What the failover table looks at."""
        return self._command or self._edit

    async def command(self, kind: str, by: str, *, patience_seconds: float) -> Result:
        """Have it in `current` until it is answered."""
        if self._command is not None:
            return Result(False, f"another request is under way: {self._command.kind}")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._command, self._answer = Request(kind, by, now()), answer
        try:
            async with asyncio.timeout(patience_seconds):
                return await answer
        except TimeoutError:
            return Result(False, f"{kind} was not possible within {patience_seconds:.0f} s")
        finally:
            self._command = self._answer = None

    def answer(self, done: bool, text: str) -> None:
        """The table settled what was asked."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Result(done, text))
            self._command = None

    def note_edit(self, wished: bool) -> bool:
        """Whether the line wishes another holder; True when that is news."""
        news = wished and self._edit is None
        if not wished:
            self._edit = None
        elif self._edit is None:
            self._edit = Request("switchover", HAND_EDIT, now())
        return news
