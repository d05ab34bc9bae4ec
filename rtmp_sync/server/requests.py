"""Operators at the watchdog's door: a command, and the wait for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.view import State
from rtmp_sync.server.clock import now

__all__ = ["Requests", "Result"]

# Commands that only the node which serves can carry out, and those for one that does not.
FOR_THE_ACTIVE = ("switchover", "resync")
FOR_A_CLOSED_ONE = ("force", "force_fenced")


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to an operator. report: what it took and what it came to, by name."""

    done: bool
    text: str
    report: Mapping[str, object] = field(default_factory=dict)


class Requests:
    """`wake` is called when the member has something new to look at."""

    def __init__(self, member: Member, wake: Callable[[], None]) -> None:
        self._member = member
        self._wake = wake
        self._answer: asyncio.Future[Result] | None = None

    async def command(
        self,
        kind: str,
        by: str,
        *,
        patience_seconds: float,
        reason: str = "",
        drain_seconds: float | None = None,
    ) -> Result:
        """Have the member see to it, and say what came of it."""
        if wrong := self._wrong_node(kind):
            return Result(False, wrong)
        asked = self._member.ask(kind, by, now(), reason=reason, drain_seconds=drain_seconds)
        if not asked:
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

    def answer(self, done: bool, text: str, report: Mapping[str, object]) -> None:
        """The member settled what was asked."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Result(done, text, report))
            self._answer = None

    def _wrong_node(self, kind: str) -> str:
        """Why this is not the node to ask; "" when it is."""
        member = self._member
        me, record = member.observer.identity.node_id, member.record
        if kind in FOR_A_CLOSED_ONE and member.serving:
            return f"{me} serves already"
        if kind not in FOR_THE_ACTIVE or member.state is State.ACTIVE:
            return ""
        if record is None or record.holder == me:
            return f"{me} does not serve: it is {member.state}"
        return f"{me} does not serve, it is {member.state}: ask {record.holder}, the holder"
