"""How often one address may ask: enough for everything of a pair, too little to hurt it.

Health checks have an allowance of their own, so that nothing else that comes from a load
balancer's address (on one machine everything has one address) can make it see a dead origin.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["API", "CHECKS", "WRONG_CREDENTIALS_COST", "Allowance", "RateLimit"]

ADDRESSES = 1024  # remembered at once; the one seen longest ago is forgotten


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one address may ask: `per_second`, after `burst` at once."""

    per_second: float
    burst: float


# A check costs a tenth of a millisecond. A load balancer asks ten times a second at most, and
# a site may have dozens of processes that check from one address.
CHECKS = Allowance(1000.0, 2000.0)
# The peer pings 2 to 4 times a second; `status --watch`, dashboards and scripts come on top.
API = Allowance(100.0, 200.0)

WRONG_CREDENTIALS_COST = 10.0  # requests: so ten guesses a second


class RateLimit:
    """A token bucket for each address. Times are seconds of one monotonic clock."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """Let a request pass, and give 0; or the seconds after which one will."""
        rate, burst = self._allowance.per_second, self._allowance.burst
        tokens, since = self._buckets.pop(address, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        wait = max(0.0, (1.0 - tokens) / rate)
        self._buckets[address] = (tokens if wait else tokens - 1.0, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return wait

    def charge(self, address: str, cost: float) -> None:
        """Take tokens afterwards; the address may then have to wait."""
        if address in self._buckets:
            tokens, since = self._buckets[address]
            self._buckets[address] = (tokens - cost, since)
