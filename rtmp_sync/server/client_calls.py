"""The calls of methods of a client, and pings, that it has not answered yet."""

from __future__ import annotations

import asyncio
from typing import Any

from rtmp_sync.errors import CallError, ConnectionLost
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.protocol.events import CallAnswered, PingAnswered
from rtmp_sync.wire.constants import CALL_FAILED

__all__ = ["ClientCalls"]


class ClientCalls:
    """Of one client. Each ends by its answer, with the connection, or when its caller gives up."""

    __slots__ = ("_answers", "_connection", "_pings")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers: dict[int, asyncio.Future[object]] = {}
        self._pings: list[asyncio.Future[float]] = []  # all wait for the next answer

    def begin(
        self, name: str, arguments: tuple[object, ...]
    ) -> tuple[bytes, asyncio.Future[object]]:
        """What to send, and the answer to come: CallError or ConnectionLost if there is none."""
        transaction, data = self._connection.call(name, *arguments)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._answers[transaction] = answer
        answer.add_done_callback(lambda _: self._forget(transaction))
        return data, answer

    def answered(self, event: CallAnswered) -> None:
        """The client has answered, whether or not anybody waits for it."""
        answer = self._answers.get(event.transaction)
        if answer is None or answer.done():
            return
        if event.ok:
            answer.set_result(event.result)
        else:
            info = event.result if isinstance(event.result, dict) else {}
            code, text = (str(info.get(key, "")) for key in ("code", "description"))
            answer.set_exception(CallError(code or CALL_FAILED, text, event.result))

    def ping(self, now: float) -> asyncio.Future[float]:
        """The round trip in seconds, when the client has answered; then send what the connection
        has to send."""
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not self._pings:
            self._connection.ping(now)
        self._pings.append(answer)
        return answer

    def ping_answered(self, event: PingAnswered) -> None:
        """The client has answered a ping, whoever sent it."""
        pings, self._pings = self._pings, []
        for answer in pings:
            if not answer.done():
                answer.set_result(event.round_trip)

    def lose(self, reason: str) -> None:
        """The connection is gone: nothing more is answered."""
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._pings]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(ConnectionLost(reason))

    def _forget(self, transaction: int) -> None:
        """It was answered, or its caller waits no longer."""
        self._answers.pop(transaction, None)
        self._connection.forget_call(transaction)
