"""How often one address may ask: a token bucket for each.

Of IPv6 a /64 counts as one address (`networks.address_group`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rtmp_sync.server.networks import address_group

__all__ = ["ADDRESSES", "Allowance", "RateLimit"]

ADDRESSES = 1024  # remembered at once; the one seen longest ago is forgotten


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one address may ask: `per_second`, after `burst` at once."""

    per_second: float
    burst: float


class RateLimit:
    """Times are seconds of one monotonic clock."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """Let a request pass, and give 0; or the seconds after which one will."""
        rate, burst = self._allowance.per_second, self._allowance.burst
        group = address_group(address)
        tokens, since = self._buckets.pop(group, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        wait = max(0.0, (1.0 - tokens) / rate)
        self._buckets[group] = (tokens if wait else tokens - 1.0, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return wait

    def charge(self, address: str, cost: float) -> None:
        """Take tokens afterwards; the address may then have to wait."""
        group = address_group(address)
        if group in self._buckets:
            tokens, since = self._buckets[group]
            self._buckets[group] = (tokens - cost, since)
