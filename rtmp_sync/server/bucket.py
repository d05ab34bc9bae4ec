"""So much a second, and so much at once: a token bucket, of bytes, messages or requests."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """Full at first. rate: in a second. burst: at once; None: a second's worth. now: seconds of any
    clock that goes evenly."""

    __slots__ = ("_at", "_burst", "_credit", "_rate")

    def __init__(self, rate: float, now: float, burst: float | None = None) -> None:
        self._rate = float(rate)
        self._burst = float(rate if burst is None else burst)
        self._credit = self._burst  # below nothing: what has passed too early
        self._at = now

    @property
    def burst(self) -> float:
        return self._burst

    def credit(self, now: float) -> float:
        """What may pass now; nothing or less while something has to be waited for."""
        self._credit = min(self._burst, self._credit + (now - self._at) * self._rate)
        self._at = now
        return self._credit

    def take(self, amount: float, now: float) -> None:
        """So much passes, at once or too early."""
        self._credit = self.credit(now) - amount

    def wait(self, now: float, amount: float = 0.0) -> float:
        """The seconds until so much may pass; 0: until anything may."""
        return max(0.0, (amount - self.credit(now)) / self._rate)

    def change(self, rate: float, now: float) -> None:
        """From now on another rate, and as much more or less at once. What is waited for takes no
        longer than it did: at a higher rate less, and at a lower one as long, for nobody could
        wait for all of it."""
        credit, times = self.credit(now), rate / self._rate
        self._credit = max(credit, credit * times)
        self._burst *= times
        self._rate = float(rate)
