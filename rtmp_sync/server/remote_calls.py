"""Calls of a client that wait for their answer, and what makes them run exactly once.

With a session key each call has a number; the server runs a number once and repeats its
result, so after a reconnect every unanswered call is simply sent again. A number may be at
most 63 above the lowest one that is open: the server keeps results only that far back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from rtmp_sync.errors import CallError, ConnectionLost, LocalProtocolError
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.client_link import ClientLink
from rtmp_sync.wire.constants import CALL_FAILED

__all__ = ["RemoteCall", "RemoteCalls", "call_error"]

MAX_OPEN_CALLS: Final = 64


class RemoteCall:
    """One call; `answer` is its result or its error."""

    __slots__ = ("answer", "arguments", "name", "number", "transaction")

    def __init__(
        self, number: int, name: str, arguments: tuple[object, ...], answer: asyncio.Future[object]
    ) -> None:
        self.number = number  # 0: not numbered
        self.name = name
        self.arguments = arguments
        self.answer = answer
        self.transaction = 0  # on the present link; 0: not sent on it


class RemoteCalls:
    """All open calls of one NetConnection, over all its links."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._next_number = 1
        self._open: dict[int, RemoteCall] = {}  # by number, ascending
        self._sent: dict[int, RemoteCall] = {}  # by transaction id on the present link
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._open) + sum(call.number == 0 for call in self._sent.values())

    @property
    def _lowest_open(self) -> int:
        return next(iter(self._open), self._next_number)

    async def begin(self, name: str, arguments: tuple[object, ...]) -> RemoteCall:
        """A new call, as soon as it may be open beside the others."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if not self._numbered:
            return RemoteCall(0, name, arguments, answer)
        while self._next_number - self._lowest_open >= MAX_OPEN_CALLS:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._let_in()  # if it had its turn, that is somebody else's now
                raise
        call = RemoteCall(self._next_number, name, arguments, answer)
        self._next_number += 1
        self._open[call.number] = call
        return call

    @staticmethod
    def unnumbered(name: str, arguments: tuple[object, ...]) -> RemoteCall:
        """A call that makes sense on one link only."""
        return RemoteCall(0, name, arguments, asyncio.get_running_loop().create_future())

    def send(self, link: ClientLink, call: RemoteCall) -> None:
        """Send it on this link. LocalProtocolError if an argument has no AMF form."""
        numbers: object = None
        if call.number:
            numbers = {"callNumber": float(call.number), "lowestOpen": float(self._lowest_open)}
        call.transaction, data = link.connection.call(
            call.name, *call.arguments, command_object=numbers
        )
        self._sent[call.transaction] = call
        link.write(data)

    def send_again(self, link: ClientLink) -> None:
        """On a new link: all that is unanswered, in order."""
        self._sent.clear()
        for call in list(self._open.values()):
            try:
                self.send(link, call)
            except LocalProtocolError as error:  # its arguments were changed meanwhile
                if not call.answer.done():
                    call.answer.set_exception(error)

    def receive(self, event: CallAnswered) -> None:
        """An answer came."""
        call = self._sent.pop(event.transaction, None)
        if call is None or call.answer.done():
            return
        if event.ok:
            call.answer.set_result(event.result)
        else:
            call.answer.set_exception(call_error(event.result))

    def end(self, call: RemoteCall, link: ClientLink | None) -> None:
        """Its caller has the answer, or waits no longer."""
        if call.number:
            self._open.pop(call.number, None)
        if self._sent.pop(call.transaction, None) is not None and link is not None:
            link.connection.forget_call(call.transaction)
        self._let_in()

    def link_lost(self, reason: str, *, for_good: bool) -> None:
        """Fail the calls that cannot be sent again; all of them if there is no next link."""
        lost = [call for call in self._sent.values() if not call.number or for_good]
        if for_good:
            lost += self._open.values()
        for call in self._sent.values():
            call.transaction = 0
        self._sent.clear()
        for call in lost:
            if not call.answer.done():
                call.answer.set_exception(ConnectionLost(reason))

    def _let_in(self) -> None:
        room = MAX_OPEN_CALLS - (self._next_number - self._lowest_open)
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller did not give up
                turn.set_result(None)
                room -= 1


def call_error(info: object) -> CallError:
    """The error in an `_error` answer or a status."""
    if not isinstance(info, dict):
        return CallError(CALL_FAILED, "" if info is None else str(info), info)
    return CallError(str(info.get("code", CALL_FAILED)), str(info.get("description", "")), info)
