"""Addresses and networks that the configuration lists, as of load balancers, and who is in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

__all__ = ["Networks", "address_group", "address_of", "endpoint"]

_GROUP_BITS = 64  # of an IPv6 address: what one customer has
_MAPPED_BITS = 96  # those before an IPv4 address


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address of a connection. An IPv4 client of a load balancer that listens for both is told
    as `::ffff:192.0.2.1`: it is 192.0.2.1. None: no address, as of a socket that was reset before
    we looked."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def endpoint(host: str, port: int) -> str:
    """As people and `Client.address` have it: "192.0.2.1:50000", "[2001:db8::1]:50000"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_group(host: str) -> str:
    """Whom a limit per address counts: an IPv4 address, or an IPv6 /64."""
    if ":" not in host:
        return host
    address = address_of(host.partition("%")[0])
    if not isinstance(address, ipaddress.IPv6Address):
        return host if address is None else str(address)
    return str(ipaddress.ip_network((address, _GROUP_BITS), strict=False))


class Networks:
    """`host in networks`, for the address of a connection. networks: as the configuration has
    them."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [_network_of(network) for network in networks]

    def __bool__(self) -> bool:
        """Whether any is listed."""
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        address = address_of(host)
        return address is not None and any(address in network for network in self._networks)


def _network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """As `address_of` has its addresses: `::ffff:192.0.2.0/120` is 192.0.2.0/24."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
