"""Asks both nodes of a pair for `/health/active`, over and over, while something else happens."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import aiohttp

from .gate_log import Nodes
from .pair import now


@dataclass(slots=True)
class HealthSampler:
    """Samples every 50 ms; `both` holds the moments at which both answered 200.

    The two answers of a sample are never of one instant: the node asked first may have let go
    and the other have opened in between. So a sample counts only if the node that answered 200
    first does so again after the other one did.
    """

    pair: Nodes
    every: float = 0.05
    samples: int = 0
    open_samples: int = 0
    both: list[float] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HealthSampler:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        urls = [f"http://{node.health}/health/active" for node in self.pair.nodes()]
        limit = aiohttp.ClientTimeout(total=0.3)
        async with aiohttp.ClientSession(timeout=limit) as session:
            while True:
                await self._sample(session, urls)
                await asyncio.sleep(self.every)

    async def _sample(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        answers = await asyncio.gather(*(self._active(session, url) for url in urls))
        self.samples += 1
        self.open_samples += any(ok for ok, _ in answers)
        if all(ok for ok, _ in answers):
            first = min(range(len(urls)), key=lambda index: answers[index][1])
            again, _ = await self._active(session, urls[first])
            if again:
                self.both.append(now())

    @staticmethod
    async def _active(session: aiohttp.ClientSession, url: str) -> tuple[bool, float]:
        try:
            async with session.get(url) as answer:
                return answer.status == 200, now()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False, now()
