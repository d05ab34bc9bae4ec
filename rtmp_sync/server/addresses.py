"""Which addresses may connect, and how often at once: `rtmp.allow`, `rtmp.deny`,
`rtmp.max_connections_per_address`.

A network that is denied stays out, whatever is allowed. Of IPv6 a /64 counts as one address: it is
what one customer has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rtmp_sync.server.networks import Networks, address_group

__all__ = ["Addresses"]


class Addresses:
    """per_address: connections at once; None for any number. An empty `allow` allows all."""

    def __init__(
        self, allow: Iterable[str], deny: Iterable[str], per_address: int | None = None
    ) -> None:
        self._allow = Networks(allow)
        self._deny = Networks(deny)
        self._per_address = per_address
        self._counts: Counter[str] = Counter()

    def refusal(self, host: str) -> str:
        """Why a client from there may not come in; "" when it may."""
        if host in self._deny:
            return f"{host} is in rtmp.deny"
        if self._allow and host not in self._allow:
            return f"{host} is not in rtmp.allow"
        return ""

    def enter(self, host: str) -> str:
        """The same; one that may come in is counted until `leave`."""
        if reason := self.refusal(host):
            return reason
        if self._per_address is not None:
            place = address_group(host)
            if self._counts[place] >= self._per_address:
                return f"{place} has {self._per_address} connections (max_connections_per_address)"
            self._counts[place] += 1
        return ""

    def leave(self, host: str) -> None:
        """A connection that had entered is gone."""
        if self._per_address is not None:
            place = address_group(host)
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]
