"""How often one address may ask: enough for every probe of a pair, too little to hurt it."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["WRONG_CREDENTIALS_COST", "RateLimit"]

# A load balancer and a peer ask about 25 times a second together; on one machine they, the
# front door, `status --watch` and test samplers all share one address.
REQUESTS_PER_SECOND = 200.0
BURST = 400.0
ADDRESSES = 1024  # remembered at once; the one seen longest ago is forgotten

WRONG_CREDENTIALS_COST = 20.0  # requests: so ten guesses a second


class RateLimit:
    """A token bucket for each address. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str, now: float, cost: float = 1.0) -> bool:
        """Take `cost` tokens; False when they are not there (and none is taken)."""
        tokens, since = self._buckets.pop(address, (BURST, now))
        tokens = min(BURST, tokens + (now - since) * REQUESTS_PER_SECOND)
        allowed = tokens >= cost
        self._buckets[address] = (tokens - cost if allowed else tokens, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed

    def charge(self, address: str, cost: float) -> None:
        """Take tokens afterwards; the address may then have to wait."""
        if address in self._buckets:
            tokens, since = self._buckets[address]
            self._buckets[address] = (tokens - cost, since)
