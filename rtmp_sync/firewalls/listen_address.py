"""The address that a packet filter can match in `rtmp.listen`."""

from __future__ import annotations

import ipaddress

__all__ = ["literal"]


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The one address that is listened on; None for all of them, and for a name, which may be
    several."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if address.is_unspecified else address
