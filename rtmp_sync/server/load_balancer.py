"""What this origin sees of the load balancer: when it last checked.

Evidence is a GET of /health/active, and a connection to the RTMP port that ends before the
client said a byte (a plain TCP monitor). The other origin and this machine itself ask, too;
they are no load balancer and do not count. In a pair on one machine everybody has the
loopback's address, so there everybody counts.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterable

__all__ = ["LoadBalancerChecks"]

# The looks of a load balancer come a second apart, or a few seconds: BIG-IP's are 5 by default.
# The longest of the last gaps is what it may take, however many processes of it look.
KNOWN_GAPS, LEAST_GAPS = 8, 3
USUAL_SECONDS = 1.0

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class LoadBalancerChecks:
    """peer_hosts: where the configuration has the other origin; names in it are learned from
    the link, by `peer_is`."""

    def __init__(self, peer_hosts: Iterable[str] = ()) -> None:
        self._peers: set[_Ip] = set()
        self._last: float | None = None
        self._gaps: deque[float] = deque(maxlen=KNOWN_GAPS)
        for host in peer_hosts:
            self.peer_is(host)

    def peer_is(self, host: str) -> None:
        """The other origin has this address; a host name tells nothing."""
        address = _parse(host)
        if address is not None and not address.is_loopback:
            self._peers.add(address)

    def seen(self, host: str, now: float) -> None:
        """`host` has checked whether this origin serves."""
        address = _parse(host)
        if address is None or self._is_of_the_pair(address):
            return
        if self._last is not None:
            self._gaps.append(now - self._last)
        self._last = now

    def age(self, now: float) -> float | None:
        """Seconds since the last check; None: there was never one."""
        return None if self._last is None else now - self._last

    def missed_for(self, now: float) -> float | None:
        """As `age`, as if it looked every second: less by what it takes longer than that. None
        while too few checks were seen to tell, and so of somebody who looked by hand."""
        if self._last is None or len(self._gaps) < LEAST_GAPS:
            return None
        slower = max(0.0, max(self._gaps) - USUAL_SECONDS)
        return max(0.0, now - self._last - slower)

    def _is_of_the_pair(self, address: _Ip) -> bool:
        return bool(self._peers) and (address.is_loopback or address in self._peers)


def _parse(host: str) -> _Ip | None:
    """An address, IPv4 also where a socket of both families shows it as IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
