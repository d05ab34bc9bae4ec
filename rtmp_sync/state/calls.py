"""Calls that run exactly once: which of a session's numbered calls were begun or finished.

A session key is 16 bytes that a client keeps over its reconnects. With each call it names
the lowest number it still waits for; everything below is forgotten. At most 64 calls of a
session are remembered (a client may have no more open) and at most 10,000 sessions, each
for 10 minutes after its last use.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.digest import mark

__all__ = [
    "BEGUN",
    "Begun",
    "CallState",
    "OpenCall",
    "Session",
    "SessionAges",
    "check_numbers",
    "session_mark",
]

MAX_OPEN_CALLS: Final = 64
MAX_SESSIONS: Final = 10_000
SESSION_SECONDS: Final = 600.0
SESSION_BYTES: Final = 16


_MAX_NUMBER: Final = 2**53  # an AMF number holds no larger integer exactly


def check_numbers(number: int, lowest_open: int) -> None:
    """Raise RemoteProtocolError unless 0 <= lowest open <= number, both exact in AMF."""
    if not 0 <= lowest_open <= number <= _MAX_NUMBER:
        raise RemoteProtocolError(f"call {number} with lowest open call {lowest_open}")


class CallState(Enum):
    BEGUN = "begun"


BEGUN: Final = CallState.BEGUN


class Begun(NamedTuple):
    """A call without a result: of which instance, and in which epoch it began."""

    scope: str
    method: str
    epoch: int


class OpenCall(NamedTuple):
    """A begun call and whose it is; session: hex."""

    session: str
    number: int
    begun: Begun


class Session:
    __slots__ = ("calls", "counted", "key", "lowest_open")

    def __init__(self, key: str) -> None:
        self.key = key  # hex
        self.lowest_open = 0
        self.calls: dict[int, bytes | Begun] = {}  # results by number
        self.counted = 0  # its mark as last counted by the state's digest

    def outcome(self, number: int) -> CallState | bytes | None:
        """What is known of a call; raises RemoteProtocolError for one declared closed."""
        if number in self.calls:
            result = self.calls[number]
            return BEGUN if isinstance(result, Begun) else result
        if number < self.lowest_open:
            raise RemoteProtocolError(
                f"call {number} is below the lowest open call {self.lowest_open}"
            )
        return None

    def check_begin(self, number: int, lowest_open: int) -> None:
        """Raise RemoteProtocolError unless the client may open this call now."""
        if self.outcome(number) is not None:
            raise RemoteProtocolError(f"call {number} was begun before")
        still_open = sum(1 for other in self.calls if other >= lowest_open)
        if still_open >= MAX_OPEN_CALLS:
            raise RemoteProtocolError(f"more than {MAX_OPEN_CALLS} calls are open")

    def begin(self, number: int, lowest_open: int, begun: Begun) -> None:
        if lowest_open > self.lowest_open:
            self.lowest_open = lowest_open
            for closed in [other for other in self.calls if other < lowest_open]:
                del self.calls[closed]
        self.calls[number] = begun

    def finish(self, number: int, result: bytes) -> None:
        """Store a result, unless the client closed the call meanwhile."""
        if number in self.calls:
            self.calls[number] = result

    def count(self) -> int:
        return session_mark(self.key, self.lowest_open, self.calls)


class SessionAges:
    """When each session was last used, by this node's clock; not replicated.

    A node that was just promoted has seen none of them: they count from its first look, those
    that were on its disk from when it last lived, `unused_seconds` before.
    """

    __slots__ = ("_last_used", "_used", "unused_seconds")

    def __init__(self, unused_seconds: float = 0.0) -> None:
        self.unused_seconds = unused_seconds
        self._used: set[str] = set()
        self._last_used: dict[str, float] = {}

    def use(self, key: str) -> None:
        self._used.add(key)

    def forget(self, key: str) -> None:
        self._used.discard(key)
        self._last_used.pop(key, None)

    def expired(self, sessions: dict[str, Session], now: float) -> list[str]:
        """The sessions that nobody used for 10 minutes."""
        for key in self._used:
            self._last_used[key] = now
        self._used.clear()
        first_seen = now - self.unused_seconds
        return [
            key
            for key in sessions
            if now - self._last_used.setdefault(key, first_seen) > SESSION_SECONDS
        ]


def session_mark(key: str, lowest_open: int, calls: dict[int, bytes | Begun]) -> int:
    return mark("session", key, lowest_open, sorted(calls.items()))
