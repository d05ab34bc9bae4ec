"""The deadlines of one connection.

    handshake   from the start to C2 (S2), and again from there to connect
    message     of silence while a message is unfinished
    ping        of silence before a ping, then to any sign of life

Always holds: at most one of them is what `next_deadline` says, the earliest.
"""

from __future__ import annotations

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol.limits import ConnectionLimits

__all__ = ["Timers"]


class Timers:
    """Told what happens with the time it happened at; says when to look again."""

    def __init__(self, now: float, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._last_received = now
        self._opening_since: float | None = now
        self._opening = "handshake"
        self._ping_sent: float | None = None

    def received(self, now: float) -> None:
        """Any bytes at all."""
        self._last_received = now
        self._ping_sent = None

    def handshake_completed(self, now: float) -> None:
        """From here on the connect command has its time."""
        self._opening_since = now
        self._opening = "connect command"

    def connected(self) -> None:
        """From here on there are pings."""
        self._opening_since = None

    def next_deadline(self, partial: bool) -> float | None:
        """partial: whether a message is unfinished. None: nothing is being waited for."""
        limits = self._limits
        deadline: float | None = None
        if self._opening_since is not None:
            deadline = self._opening_since + limits.handshake_timeout
        elif self._ping_sent is not None:
            deadline = self._ping_sent + limits.ping_timeout
        elif limits.ping_interval > 0:
            deadline = self._last_received + limits.ping_interval
        if partial:
            message = self._last_received + limits.message_timeout
            return message if deadline is None else min(deadline, message)
        return deadline

    def ping_due(self, now: float, partial: bool) -> bool:
        """Whether to send a ping now. RemoteProtocolError when a deadline has passed."""
        limits = self._limits
        if self._opening_since is not None and now >= self._opening_since + (
            limits.handshake_timeout
        ):
            raise RemoteProtocolError(f"no {self._opening} within {limits.handshake_timeout:g} s")
        if partial and now >= self._last_received + limits.message_timeout:
            raise RemoteProtocolError(
                f"nothing for {limits.message_timeout:g} s in the middle of a message"
            )
        if self._ping_sent is not None and now >= self._ping_sent + limits.ping_timeout:
            raise RemoteProtocolError(f"no answer to a ping within {limits.ping_timeout:g} s")
        if self._opening_since is not None or self._ping_sent is not None:
            return False
        if limits.ping_interval <= 0 or now < self._last_received + limits.ping_interval:
            return False
        self._ping_sent = now
        return True
