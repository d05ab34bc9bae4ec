"""How long an address has to wait that gives wrong passwords, one after the other.

The first few are free (somebody mistyped); then the time doubles with each, up to a limit that
an operator on the same host can wait for. A right one ends it. Bounded, and by address, like
`rate_limit`.
"""

from __future__ import annotations

from collections import OrderedDict

from rtmp_sync.server.networks import address_group
from rtmp_sync.server.rate_limit import ADDRESSES

__all__ = ["BackOff"]

FREE = 3
FIRST_SECONDS = 1.0
MOST_SECONDS = 30.0
FORGOTTEN_SECONDS = 600.0  # without another one


class BackOff:
    """Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until a password of this address is looked at; 0: now."""
        count, at = self._failures.get(address_group(address), (0, now))
        if count <= FREE or now - at >= FORGOTTEN_SECONDS:
            return 0.0
        # no larger exponent is needed, and a float has room for no much larger one
        pause = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(count - FREE - 1, 16))
        return max(0.0, at + pause - now)

    def failed(self, address: str, now: float) -> None:
        """It gave a wrong password."""
        group = address_group(address)
        count, at = self._failures.pop(group, (0, now))
        if now - at >= FORGOTTEN_SECONDS:
            count = 0
        self._failures[group] = (count + 1, now)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """It gave a right one."""
        self._failures.pop(address_group(address), None)
