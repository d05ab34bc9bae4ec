"""The hosts that other tests run on."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .namespaces import FOLDER, Host, Namespaces

PORT = 1935
SECONDS = 0.3

pytestmark = pytest.mark.e2e


@pytest.fixture
def net() -> Iterator[Namespaces]:
    with Namespaces() as net:
        yield net


def listen(host: Host) -> socket.socket:
    """Listens on both of its addresses."""
    with host.entered():
        return socket.create_server(
            ("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16
        )


def reaches(host: Host, address: str) -> bool:
    try:
        with host.entered():
            socket.create_connection((address, PORT), timeout=SECONDS).close()
    except TimeoutError:
        return False
    return True


def test_hosts_reach_each_other_by_both_protocols(net: Namespaces) -> None:
    a, b = net.host("a"), net.host("b")
    with listen(a):
        assert reaches(b, a.ipv4)
        assert reaches(b, a.ipv6)
        assert reaches(a, "127.0.0.1")


def test_a_cut_way_is_silent_until_it_is_healed(net: Namespaces) -> None:
    a, b, c = net.host("a"), net.host("b"), net.host("c")
    with listen(a), listen(b):
        net.cut(a, b)
        assert not reaches(b, a.ipv4)
        assert not reaches(b, a.ipv6)
        assert not reaches(a, b.ipv4)
        assert reaches(c, a.ipv4)
        assert reaches(c, b.ipv4)
        net.heal(b, a)
        assert reaches(b, a.ipv4)
        assert reaches(a, b.ipv6)


def test_one_direction_can_be_cut(net: Namespaces) -> None:
    a, b = net.host("a"), net.host("b")
    with b.entered():
        heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with heard:
        heard.bind((b.ipv4, PORT))
        heard.settimeout(SECONDS)
        net.cut(b, a, one_way=True)
        assert not reaches(b, a.ipv4)
        with a.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            speaker.sendto(b"hello", (b.ipv4, PORT))
        assert heard.recv(16) == b"hello"
        net.heal_all()
        with listen(a):
            assert reaches(b, a.ipv4)


def test_an_unplugged_host_is_alone(net: Namespaces) -> None:
    a, b = net.host("a"), net.host("b")
    with listen(a):
        net.unplug(a)
        assert not reaches(b, a.ipv4)
        net.plug(a)
        assert any(reaches(b, a.ipv4) for _ in range(20))  # it asks for a's address anew


def test_processes_run_on_their_host_and_end_with_it(net: Namespaces) -> None:
    a = net.host("a")
    process = a.start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert a.ipv4 in a.output("ip", "-o", "-4", "addr")
    assert a.call(lambda: Path("/proc/thread-self/net/if_inet6").read_text()).count("eth0") == 2
    net.close()
    assert process.returncode == -9
    assert not list(FOLDER.glob(f"{a.namespace}*"))


def test_what_a_killed_run_left_is_removed_by_the_next() -> None:
    code = (
        "import os; from tests.support.namespaces import Namespaces\n"
        "net = Namespaces(); net.host('a').start(['sleep', '600'], stdout=-3)\n"
        "print(os.getpid(), flush=True); os.kill(os.getpid(), 9)"
    )
    Namespaces().close()  # or it says why there are none here
    run = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    pid = run.stdout.strip()
    assert list(FOLDER.glob(f"rtmpsync-{pid}-*"))
    with Namespaces():
        assert not list(FOLDER.glob(f"rtmpsync-{pid}-*"))
