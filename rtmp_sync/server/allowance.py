"""So much a second: a second's worth may pass at once, and more than that has to be waited for."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Of one rate, in whatever units. now: seconds of any clock that goes evenly."""

    __slots__ = ("_at", "_credit", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._credit = float(rate)  # below nothing: what has passed too early
        self._at = now

    @property
    def rate(self) -> float:
        return self._rate

    def credit(self, now: float) -> float:
        """What may pass now; nothing or less while something has to be waited for."""
        self._credit = min(self._rate, self._credit + (now - self._at) * self._rate)
        self._at = now
        return self._credit

    def take(self, amount: float, now: float) -> None:
        """So much passes, at once or too early."""
        self._credit = self.credit(now) - amount

    def wait(self, now: float) -> float:
        """The seconds until more may pass."""
        return max(0.0, -self.credit(now) / self._rate)

    def change(self, rate: float, now: float) -> None:
        """From now on another rate. What is waited for takes no longer than it did: at a higher
        rate less, and at a lower one as long, for nobody could wait for all of it."""
        credit = self.credit(now)
        self._credit = max(credit, credit * rate / self._rate)
        self._rate = rate
