"""How often one address may ask: a token bucket for each.

Of IPv6 a /64 counts as one address (`networks.address_group`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rtmp_sync.server.bucket import Bucket
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
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """Let a request pass, and give 0; or the seconds after which one will."""
        group = address_group(address)
        bucket = self._buckets.pop(group, None)
        if bucket is None:
            bucket = Bucket(self._allowance.per_second, now, self._allowance.burst)
        self._buckets[group] = bucket
        if not (wait := bucket.wait(now, 1.0)):
            bucket.take(1.0, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return wait

    def charge(self, address: str, cost: float, now: float) -> None:
        """Take tokens afterwards; the address may then have to wait."""
        bucket = self._buckets.get(address_group(address))
        if bucket is not None:
            bucket.take(cost, now)
