from __future__ import annotations

import socket

from rtmp_sync.config_values import Address
from rtmp_sync.server.ports import can_bind, taken_ports


def test_a_port_in_use_and_a_foreign_address_are_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = taken_ports(
            {
                "a.listen": Address("127.0.0.1", port),
                "b.listen": Address("127.0.0.1", 0),
                "c.listen": Address("192.0.2.1", 0),  # reserved for documentation
            }
        )
    assert [error.key for error in found] == ["a.listen", "c.listen"]
    assert "in use" in found[0].fix
    assert "address of this machine" in found[1].fix


def test_a_host_that_has_no_address_is_named() -> None:
    found = taken_ports({"a.listen": Address("no-such-host.invalid", 0)})
    assert [error.key for error in found] == ["a.listen"]


def test_an_address_is_this_machines_or_not() -> None:
    assert can_bind("127.0.0.1")
    assert not can_bind("192.0.2.1")
