"""Gates that filter packets, each on a host of its own, with clients on other hosts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.gates import PORT, ROOT, RemoteGate, client, connects, knock
from tests.support.namespaces import Namespaces
from tests.support.pair import now
from tests.support.programs import require

SECONDS = 30.0
TICK_SECONDS = 0.05


class Site:
    """An origin's host, the load balancer's and somebody else's."""

    def __init__(self, net: Namespaces) -> None:
        self.net = net
        self.origin = net.host("origin")
        self.balancer = net.host("balancer")
        self.stranger = net.host("stranger")

    @property
    def allow(self) -> list[str]:
        return [self.balancer.ipv4, f"{self.balancer.ipv6}/128"]

    def gate(self, driver: str, **options: str) -> RemoteGate:
        return RemoteGate(self.origin, driver=driver, allow=self.allow, **options)

    def nft(self, text: str) -> str:
        return self.origin.output("nft", "-f", "-", text=text)

    def ruleset(self) -> str:
        return self.origin.output("nft", "list", "ruleset")


@pytest.fixture
def site() -> Iterator[Site]:
    require("iptables")
    with Namespaces() as net:
        yield Site(net)


both = pytest.mark.parametrize("driver", ["nftables", "iptables"])


def until(condition: Callable[[], bool]) -> None:
    deadline = now() + SECONDS
    while not condition():
        assert now() < deadline
        time.sleep(TICK_SECONDS)


def is_cut(session: socket.socket) -> bool:
    """The other end resets the session when something is said on it."""
    try:
        session.sendall(b"?")
        return session.recv(1) != b"?"
    except ConnectionError:
        return True


def close_by_hand(gate: RemoteGate) -> str:
    """What the guard does: another process closes the gate and reads it back."""
    return closer(gate, "await closer.close(); print(await closer.verify())")


def closer(gate: RemoteGate, code: str) -> str:
    program = (
        "import asyncio, json, sys\n"
        "from rtmp_sync.config import Config\n"
        "from rtmp_sync.firewalls import make_closer\n"
        "async def main():\n"
        "    closer = make_closer(Config(**json.loads(sys.argv[1])))\n"
        f"    {code}\n"
        "asyncio.run(main())"
    )
    text = json.dumps(gate.config)
    return gate.host.output("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", program, text)


@both
def test_while_it_is_open_only_those_that_are_allowed_come_in(site: Site, driver: str) -> None:
    gate = site.gate(driver)
    assert knock(site.balancer, site.origin.ipv4) == "refused"
    gate.open()
    assert knock(site.balancer, site.origin.ipv4) == "open"
    assert knock(site.stranger, site.origin.ipv4) == "refused"
    assert knock(site.origin, "127.0.0.1") == "open"
    assert gate.state == "open"
    gate.close()
    assert knock(site.balancer, site.origin.ipv4) == "refused"
    assert gate.state == "closed"
    assert gate.events() == []


@both
def test_it_is_the_same_with_ipv6(site: Site, driver: str) -> None:
    gate = site.gate(driver, listen=f"[::]:{PORT}")
    gate.open()
    assert knock(site.balancer, site.origin.ipv6) == "open"
    assert knock(site.stranger, site.origin.ipv6) == "refused"
    assert knock(site.origin, "::1") == "open"
    gate.close()
    assert knock(site.balancer, site.origin.ipv6) == "refused"


@both
def test_without_a_list_everybody_comes_in_while_it_is_open(site: Site, driver: str) -> None:
    gate = RemoteGate(site.origin, driver=driver)
    gate.open()
    assert knock(site.stranger, site.origin.ipv4) == "open"
    gate.close()
    assert knock(site.stranger, site.origin.ipv4) == "refused"


@both
def test_closing_resets_the_sessions_that_are_open(site: Site, driver: str) -> None:
    gate = site.gate(driver)
    gate.open()
    with client(site.balancer, site.origin.ipv4) as session:
        assert not is_cut(session)
        gate.freeze()  # else it cuts its sessions itself, and opens again what others closed
        assert close_by_hand(gate) == "closed\n"
        assert is_cut(session)
        assert connects(site.balancer, site.origin.ipv4) == "refused"


@both
def test_a_clean_stop_leaves_nothing_behind(site: Site, driver: str) -> None:
    before = site.ruleset()
    gate = site.gate(driver)
    gate.open()
    assert "1935" in site.ruleset()
    gate.stop()
    assert "1935" not in site.ruleset()
    if driver == "nftables":
        assert site.ruleset() == before


@both
def test_what_a_killed_origin_left_is_closed_and_removed_by_its_closer(
    site: Site, driver: str
) -> None:
    gate = site.gate(driver)
    gate.open()
    gate.kill()
    assert close_by_hand(gate) == "closed\n"
    with site.origin.entered():
        other = socket.create_server(("0.0.0.0", PORT))
    with other:
        assert connects(site.balancer, site.origin.ipv4) == "refused"
        closer(gate, "await closer.remove()")
        assert connects(site.balancer, site.origin.ipv4) == "open"
    assert "1935" not in site.ruleset()


@both
def test_a_new_origin_replaces_what_a_killed_one_left(site: Site, driver: str) -> None:
    former = site.gate(driver)
    former.open()
    former.kill()
    gate = site.gate(driver)
    assert gate.state == "closed"
    assert connects(site.balancer, site.origin.ipv4) == "refused"
    gate.open(2)
    assert knock(site.balancer, site.origin.ipv4) == "open"
    assert knock(site.stranger, site.origin.ipv4) == "refused"
    gate.stop()
    assert "1935" not in site.ruleset()


@both
def test_rules_that_others_flush_are_put_back(site: Site, driver: str) -> None:
    gate = site.gate(driver)
    gate.open()
    flush = ["nft", "flush", "ruleset"] if driver == "nftables" else ["iptables", "-F"]
    site.origin.output(*flush)
    until(lambda: knock(site.stranger, site.origin.ipv4) == "refused")
    until(lambda: gate.state == "open")
    assert knock(site.balancer, site.origin.ipv4) == "open"
    assert [event["event"] for event in gate.events()] == ["gate_mismatch"]


@both
def test_two_nodes_on_a_host_do_not_touch_each_other(site: Site, driver: str) -> None:
    a = RemoteGate(site.origin, node="A", driver=driver, allow=[site.balancer.ipv4])
    b = RemoteGate(
        site.origin, node="B", listen="0.0.0.0:1945", driver=driver, allow=[site.stranger.ipv4]
    )
    a.open()
    b.open()
    assert knock(site.balancer, site.origin.ipv4) == "open"
    assert knock(site.balancer, site.origin.ipv4, 1945) == "refused"
    assert knock(site.stranger, site.origin.ipv4, 1945) == "open"
    a.stop()
    assert knock(site.stranger, site.origin.ipv4, 1945) == "open"
    assert b.state == "open"
    assert b.events() == []


@both
def test_other_ports_are_left_alone(site: Site, driver: str) -> None:
    gate = site.gate(driver)
    with site.origin.entered():
        other = socket.create_server(("0.0.0.0", PORT + 1))
    with other:
        assert connects(site.stranger, site.origin.ipv4, PORT + 1) == "open"
    gate.stop()


def test_the_same_port_on_another_address_is_left_alone(site: Site) -> None:
    gate = site.gate("nftables", listen=f"{site.origin.ipv4}:{PORT}")
    site.origin.output("ip", "addr", "add", "10.77.0.100/24", "dev", "eth0")
    with site.origin.entered():
        other = socket.create_server(("10.77.0.100", PORT))
    with other:
        assert connects(site.stranger, "10.77.0.100") == "open"
        assert connects(site.stranger, site.origin.ipv4) == "refused"
    gate.open()
    assert knock(site.balancer, site.origin.ipv4) == "open"


def test_the_kernel_closes_the_port_of_a_frozen_origin(site: Site) -> None:
    gate = site.gate("nftables")
    gate.open()
    with client(site.balancer, site.origin.ipv4) as session:
        assert not is_cut(session)
        gate.freeze()
        until(lambda: connects(site.balancer, site.origin.ipv4) == "refused")
        assert is_cut(session)
    gate.thaw()
    until(lambda: knock(site.balancer, site.origin.ipv4) == "open")
    assert gate.state == "open"


def test_the_kernel_closes_the_port_when_nobody_extends_the_authority(site: Site) -> None:
    gate = site.gate("nftables")
    gate.open()
    assert gate.say("lapse") == "done"
    until(lambda: connects(site.balancer, site.origin.ipv4) == "refused")


def test_a_listener_alone_answers_for_a_frozen_origin(site: Site) -> None:
    gate = RemoteGate(site.origin, driver="listener")
    gate.open()
    gate.freeze()
    assert connects(site.balancer, site.origin.ipv4) == "open"
    gate.thaw()


@pytest.mark.parametrize(
    "change",
    [
        "flush chain inet {table} gate",
        "delete table inet {table}",
        "insert rule inet {table} gate accept",
        "add table inet {table} {{ flags dormant; }}",
        "add element inet {table} allow4 {{ 10.77.0.0/24 }}",
    ],
)
def test_whatever_others_change_in_the_table_is_noticed_and_repaired(
    site: Site, change: str
) -> None:
    gate = site.gate("nftables")
    gate.open()
    before = site.ruleset().partition("chain gate")[2]
    site.nft(change.format(table="rtmp_sync_A_1935"))
    until(lambda: gate.events() != [] and gate.state == "open")
    assert gate.events()[0]["error"] == "wanted open, found altered by others"
    assert site.ruleset().partition("chain gate")[2] == before
    assert knock(site.stranger, site.origin.ipv4) == "refused"


def test_a_closed_gate_that_others_open_is_closed_again(site: Site) -> None:
    gate = site.gate("nftables")
    site.nft("add element inet rtmp_sync_A_1935 open { 1935 }")
    until(lambda: gate.state == "closed" and gate.events() != [])
    assert gate.events()[0]["error"] == "wanted closed, found open"


def test_a_chain_of_others_before_the_gate_gives_way(site: Site) -> None:
    gate = site.gate("iptables")
    gate.open()
    site.origin.output("iptables", "-I", "INPUT", "-j", "ACCEPT")
    until(lambda: knock(site.stranger, site.origin.ipv4) == "refused")
    assert gate.events()[0]["event"] == "gate_mismatch"


def test_other_rules_of_the_machine_still_count(site: Site) -> None:
    site.nft(
        "table inet site { chain input { type filter hook input priority filter; policy drop;\n"
        f'iifname "lo" accept\nip saddr {site.stranger.ipv4} accept\n}}\n}}'
    )
    gate = site.gate("nftables")
    gate.open()
    assert connects(site.balancer, site.origin.ipv4) == "silent"
    assert connects(site.stranger, site.origin.ipv4) == "refused"


@both
def test_without_rights_it_is_said_in_one_line(driver: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving up a capability needs it first: root")
    program = (
        "import json, sys\n"
        "from rtmp_sync.config import Config\n"
        "from rtmp_sync.firewalls import check\n"
        "print(*check(Config(**json.loads(sys.argv[1]))), sep='\\n')"
    )
    text = json.dumps({"node": {"id": "A"}, "firewall": {"driver": driver}})
    without = [require("setpriv"), "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    command = [*without, sys.executable, "-c", program, text]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == (
        f"firewall.driver = '{driver}': needs root or CAP_NET_ADMIN "
        '(systemd: AmbientCapabilities=CAP_NET_ADMIN); give it, or use driver = "listener"\n'
    )
