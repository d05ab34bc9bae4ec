"""Addresses and networks that the configuration lists, as of load balancers, and who is in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

__all__ = ["Networks"]


class Networks:
    """`host in networks`, for the address of a connection. networks: as the configuration has
    them."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __bool__(self) -> bool:
        """Whether any is listed."""
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # a socket without a peer: it was reset before we looked
            return False
        return any(address in network for network in self._networks)
