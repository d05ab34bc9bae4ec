"""[strict] Calls whose outcome the other origin has not confirmed in time.

    answered, and the answer waits     it is taken back; "outcome unknown" is the answer
    running, and what it did waits     the same; when it ends, this client is not answered again

In `strict` nothing is acknowledged alone, so while the standby is away everything waits. What
a call did stays held, seen by nobody, until the standby has it; its result goes to whoever
repeats the call under its session key and number.

"Outcome unknown" says nothing about the state, so it may pass what waits. It may also pass it
within its message stream: an answer is matched by its transaction id, and nothing that the
client was shown before or is shown later can contradict it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from rtmp_sync.protocol import replies
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.server.clock import now
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire.constants import CALL_FAILED, LEVEL_ERROR

__all__ = ["Overdue", "Receiver", "Waiter"]

_LOOKS: Final = 4  # in one time-out: an answer is late by at most a quarter of it
_TEXT: Final = "outcome unknown: the other origin has not confirmed the call"


class Receiver(Protocol):
    """The part of a session that is answered."""

    connection: Connection
    outbox: Outbox

    @property
    def closing(self) -> bool: ...

    def end(self, reason: str) -> None: ...


class Waiter:
    """Somebody who waits for a call's answer. transaction 0: for none."""

    __slots__ = ("answer", "barrier", "receiver", "since", "transaction")

    def __init__(self, receiver: Receiver, transaction: float) -> None:
        self.receiver = receiver
        self.transaction = transaction
        self.answer = b""  # once it was given to the turn
        self.barrier = 0  # what is waited for since `since`, while there is no answer
        self.since = 0.0


class Overdue:
    """timeout: seconds until an outcome counts as unknown; None outside of `strict`."""

    def __init__(self, turn: Turn, timeout: float | None) -> None:
        self._turn = turn
        self._timeout = timeout
        self._open: dict[Waiter, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiter: Waiter) -> None:
        """A call runs, or was answered just now: count its time from here."""
        if self._timeout is None or not waiter.transaction:
            return
        waiter.barrier = self._turn.barrier
        waiter.since = now()
        self._open[waiter] = None
        self._arm(self._timeout)

    def clear(self) -> None:
        """Nobody is served any more."""
        self._open.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, timeout: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(timeout / _LOOKS, self._look, timeout)

    def _look(self, timeout: float) -> None:
        self._timer = None
        at = now()
        for waiter in [one for one in self._open if at - one.since >= timeout]:
            if waiter.answer:
                del self._open[waiter]
                if waiter.receiver.outbox.withdraw(waiter.answer):
                    self._tell(waiter)
            elif waiter.barrier > self._turn.commit.level:
                del self._open[waiter]
                self._tell(waiter)
            else:  # it runs on, and may have done more
                waiter.barrier, waiter.since = self._turn.barrier, at
        if self._open:
            self._arm(timeout)

    def _tell(self, waiter: Waiter) -> None:
        connection = waiter.receiver.connection
        values = connection.encode_values(*replies.status(LEVEL_ERROR, CALL_FAILED, _TEXT))
        data = connection.raw_command("_error", waiter.transaction, values)
        waiter.transaction = 0
        waiter.receiver.outbox.put_at_once(data)
        self._turn.schedule()
