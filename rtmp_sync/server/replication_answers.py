"""What was asked of the peer and is waited for; the end of the link answers all of it with no."""

from __future__ import annotations

import asyncio
from functools import partial

__all__ = ["Answers"]


class Answers:
    """Promises, each with its request's number, and comparisons of the two copies."""

    def __init__(self) -> None:
        self._promises: dict[int, asyncio.Future[bool]] = {}
        self._last_request = 0
        self._comparisons: list[asyncio.Future[bool]] = []

    def await_promise(self) -> tuple[int, asyncio.Future[bool]]:
        """The number to ask with, and whether it was promised."""
        self._last_request += 1
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._promises[self._last_request] = answer
        answer.add_done_callback(partial(self._forget, self._last_request))
        return self._last_request, answer

    def promised(self, request_id: int, valid_seconds: float) -> None:
        """0 seconds: refused."""
        answer = self._promises.get(request_id)
        if answer is not None and not answer.done():
            answer.set_result(valid_seconds > 0)

    def await_comparison(self) -> tuple[bool, asyncio.Future[bool]]:
        """Whether it has to be asked for, and whether the copies agree."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._comparisons.append(answer)
        return len(self._comparisons) == 1, answer

    def compared(self, agrees: bool) -> None:
        answers, self._comparisons = self._comparisons, []
        for answer in answers:
            if not answer.done():
                answer.set_result(agrees)

    def link_lost(self) -> None:
        for number in list(self._promises):
            self.promised(number, 0.0)
        self.compared(False)

    def _forget(self, request_id: int, _: asyncio.Future[bool]) -> None:
        del self._promises[request_id]
