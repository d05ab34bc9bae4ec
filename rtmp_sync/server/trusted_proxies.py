"""Who tells us clients' addresses in a PROXY header: `rtmp.proxy_protocol_from`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

__all__ = ["TrustedProxies"]


class TrustedProxies:
    """`host in proxies`: a connection from there begins with a PROXY header, and from anywhere
    else it does not. networks: as the configuration has them."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # a socket without a peer: it was reset before we looked
            return False
        return any(address in network for network in self._networks)
