"""Who an address is: for lists of networks, and for limits per address."""

from __future__ import annotations

import pytest

from rtmp_sync import Client
from rtmp_sync.server.networks import Networks, address_group, endpoint


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # told by a load balancer that listens for both
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),  # a socket that was reset before we looked
        ("a:b", "a:b"),
    ],
)
def test_a_limit_counts_an_ipv4_address_or_an_ipv6_64(host: str, group: str) -> None:
    assert address_group(host) == group


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::1"])
def test_an_address_with_its_port_and_one_without_are_read_for_what_they_are(host: str) -> None:
    """`2001:db8::1:5000` is another address; a reverse proxy tells no port."""
    for address in (host, endpoint(host, 5000), endpoint(host, 50000)):
        assert Client("1-1", address=address).ip == host


def test_an_ipv4_network_has_its_addresses_however_they_are_written() -> None:
    networks = Networks(["192.0.2.0/24", "2001:db8::/32"])
    for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
        assert host in networks
    for host in ("192.0.3.1", "::ffff:192.0.3.1", "2001:db9::1", "", "nobody"):
        assert host not in networks
    assert "192.0.2.1" not in Networks([])


def test_an_ipv4_network_written_as_ipv6_is_that_network() -> None:
    networks = Networks(["::ffff:192.0.2.0/120", "::ffff:198.51.100.7"])
    for host in ("192.0.2.1", "::ffff:192.0.2.1", "198.51.100.7"):
        assert host in networks
    for host in ("192.0.3.1", "::ffff:192.0.3.1", "198.51.100.8", "::1"):
        assert host not in networks
