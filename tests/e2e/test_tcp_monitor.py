"""The article's load balancer: round-robin over both origins, and a monitor that only connects.

That is right with a packet filter as the gate, which the kernel closes by itself. It is wrong with
a listener: the kernel completes handshakes for a frozen process.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import PORT, RemoteGate, client, connects, knock
from tests.support.haproxy import servers
from tests.support.namespaces import Host, Namespaces
from tests.support.pair import within
from tests.support.programs import require

CONFIGURATION = """
global
    stats socket {socket} mode 600
defaults
    mode tcp
    timeout connect 1s
    timeout client 1m
    timeout server 1m
frontend rtmp
    bind :{port}
    default_backend origins
backend origins
    balance roundrobin
    default-server check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
    server A {a}:{port}
    server B {b}:{port}
"""


@pytest.fixture
def network() -> Iterator[Namespaces]:
    with Namespaces() as network:
        yield network


def start_balancer(host: Host, a: Host, b: Host, folder: Path) -> Path:
    """Its statistics socket."""
    stats = folder / "stats.sock"
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(socket=stats, port=PORT, a=a.ipv4, b=b.ipv4))
    with (folder / "haproxy.txt").open("wb") as output:
        program = require("haproxy")
        host.start([program, "-db", "-f", file], stdout=output, stderr=subprocess.STDOUT)
    return stats


async def leads_to(stats: Path, *names: str) -> None:
    async def only_these() -> bool:
        try:
            found = await servers(stats)
        except OSError:  # it has just been started
            return False
        return [name for name, server in found.items() if server.up] == [*names]

    await within(20, f"the load balancer leads to {names} only", only_these)


async def closes(session: socket.socket) -> None:
    """Wait until the other end has ended the session."""

    async def ended() -> bool:
        try:
            return session.recv(1) == b""
        except ConnectionError:
            return True
        except BlockingIOError:
            return False

    session.setblocking(False)
    await within(10, "the session has ended", ended)


async def test_the_kernel_closes_the_port_of_a_frozen_origin_for_a_monitor_that_only_connects(
    network: Namespaces, tmp_path: Path
) -> None:
    a, b, balancer, clients = (network.host(name) for name in ("a", "b", "lb", "clients"))
    gates = [RemoteGate(host, node=node, driver="nftables") for host, node in ((a, "A"), (b, "B"))]
    gates[0].open()
    stats = start_balancer(balancer, a, b, tmp_path)
    await leads_to(stats, "A")
    assert knock(clients, balancer.ipv4) == "open"
    with client(clients, balancer.ipv4) as session:
        session.sendall(b"?")
        assert session.recv(1) == b"?"
        gates[0].freeze()
        await leads_to(stats)
        await closes(session)
    gates[1].open(2)
    await leads_to(stats, "B")
    assert knock(clients, balancer.ipv4) == "open"


async def test_a_monitor_that_only_connects_takes_a_frozen_listener_for_well(
    network: Namespaces,
) -> None:
    a, balancer = network.host("a"), network.host("lb")
    gate = RemoteGate(a, driver="listener")
    gate.open()
    assert knock(balancer, a.ipv4) == "open"
    gate.freeze()
    assert connects(balancer, a.ipv4) == "open"
    assert knock(balancer, a.ipv4) == "silent"
