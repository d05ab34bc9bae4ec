"""A whole origin behind a packet filter: `serve` on a host of its own, clients on others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import NetConnection
from tests.support.gates import PORT, ROOT, client, connects
from tests.support.namespaces import Host, Namespaces
from tests.support.pair import within
from tests.support.programs import require
from tests.support.single import free_ports, toml

SECONDS = 60.0  # what takes one on an idle machine


class Site:
    """An origin with a gate, the load balancer's host and somebody else's."""

    def __init__(self, net: Namespaces, folder: Path) -> None:
        self.origin = net.host("origin")
        self.balancer = net.host("balancer")
        self.stranger = net.host("stranger")
        self._folder = folder
        self.config = folder / "origin.toml"
        self.process: subprocess.Popen[str]

    def configure(self, driver: str) -> None:
        tables: dict[str, dict[str, object]] = {
            "node": {"id": "solo"},
            "rtmp": {"listen": f"0.0.0.0:{PORT}"},
            "apps": {"directory": ROOT / "apps"},
            "storage": {"state": self._folder / "state"},
            "firewall": {"driver": driver},
        }
        text = toml(tables)
        if driver != "listener":
            text += f'allow = ["{self.balancer.ipv4}"]\n'
        self.config.write_text(text)

    async def serve(self, driver: str) -> None:
        """Until it is active."""
        self.configure(driver)
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "rtmp_sync",
            "serve",
            "--config",
            self.config,
        ]
        with (self._folder / "output").open("w") as output:
            self.process = self.origin.start(command, cwd=ROOT, stdout=output, stderr=output)
        await self.active()

    async def active(self) -> None:
        async def active() -> bool:
            return bool(self.status().get("gate") == "open")

        await within(SECONDS, "the origin is active", active)

    def status(self) -> dict[str, Any]:
        """Empty while it does not answer."""

        def get() -> bytes:
            with urllib.request.urlopen("http://127.0.0.1:1111/status", timeout=2) as answer:
                return bytes(answer.read())

        try:
            status: dict[str, Any] = json.loads(self.origin.call(get))
        except OSError:
            return {}
        return status

    def pids(self) -> list[int]:
        """The guard's and the origin's."""
        guard = self.process.pid
        children = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
        return [guard, int(children[0])]

    def signal(self, number: int) -> None:
        for pid in self.pids():
            os.kill(pid, number)

    def rules(self) -> str:
        return self.origin.output("nft", "list", "ruleset")

    def watch(self, host: Host) -> bool:
        """A client connects to an application there and calls it."""

        async def call() -> bool:
            connection = NetConnection(reconnect=False)
            await connection.connect(f"rtmp://{self.origin.ipv4}:{PORT}/text")
            await connection.close()
            return True

        return host.call(lambda: asyncio.run(call()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Namespaces() as net:
        yield Site(net, tmp_path)


def refused(site: Site) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return connects(site.balancer, site.origin.ipv4) == "refused"

    return check


def is_reset(session: socket.socket) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        try:
            session.sendall(b"?")
        except ConnectionError:
            return True
        return False

    return check


def opened(site: Site) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return connects(site.balancer, site.origin.ipv4) == "open"

    return check


@pytest.mark.parametrize("driver", ["nftables", "iptables"])
async def test_only_those_that_are_allowed_reach_an_active_origin(site: Site, driver: str) -> None:
    require("iptables")
    await site.serve(driver)
    assert site.watch(site.balancer)
    assert site.watch(site.origin)
    assert connects(site.stranger, site.origin.ipv4) == "refused"
    assert not site.status()["alarms"]
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(SECONDS) == 0, (site.config.parent / "output").read_text()
    assert str(PORT) not in site.rules()


async def test_a_killed_origin_is_closed_by_its_guard_and_opens_again(site: Site) -> None:
    await site.serve("nftables")
    os.kill(site.pids()[1], signal.SIGKILL)
    await within(SECONDS, "the port is closed", refused(site), every=0.005)
    await within(SECONDS, "the port is open again", opened(site))
    await site.active()
    assert site.watch(site.balancer)


async def test_a_frozen_host_is_closed_by_its_kernel_and_its_sessions_are_reset(
    site: Site,
) -> None:
    await site.serve("nftables")
    with client(site.balancer, site.origin.ipv4) as session:
        session.sendall(b"\3")
        site.signal(signal.SIGSTOP)
        await within(SECONDS, "the port is closed", refused(site))
        await within(SECONDS, "the kernel resets the session", is_reset(session))
    site.signal(signal.SIGCONT)
    await within(SECONDS, "the port is open again", opened(site))
    await site.active()
    assert site.watch(site.balancer)


async def test_a_listener_keeps_the_port_of_a_frozen_host_open(site: Site) -> None:
    await site.serve("listener")
    site.signal(signal.SIGSTOP)
    assert connects(site.balancer, site.origin.ipv4) == "open"
    site.signal(signal.SIGCONT)


async def test_an_origin_that_is_flushed_stays_active_and_tells_its_history(site: Site) -> None:
    await site.serve("nftables")
    site.origin.output("nft", "flush", "ruleset")

    async def closed_to_strangers() -> bool:
        return connects(site.stranger, site.origin.ipv4) == "refused"

    await within(SECONDS, "the rules are back", closed_to_strangers)
    await site.active()
    epoch = site.status()["epoch"]
    assert site.watch(site.balancer)
    assert site.status()["epoch"] == epoch == 1
    assert "gate_mismatch" in (site.config.parent / "output").read_text()


@pytest.mark.parametrize("command", ["serve", "config check"])
@pytest.mark.parametrize("driver", ["nftables", "iptables"])
def test_without_rights_an_origin_says_so_in_one_line(
    site: Site, driver: str, command: str
) -> None:
    require("iptables")
    site.configure(driver)
    said = without_rights(command, site.config)
    assert said.returncode == 2
    assert said.stdout + said.stderr == (
        f"firewall.driver = '{driver}': needs root or CAP_NET_ADMIN "
        '(systemd: AmbientCapabilities=CAP_NET_ADMIN); give it, or use driver = "listener"\n'
    )


def test_an_origin_whose_gate_does_not_open_says_why_in_one_line(tmp_path: Path) -> None:
    rtmp, admin, health = (f"127.0.0.1:{port}" for port in free_ports(3))
    tables: dict[str, dict[str, object]] = {
        "node": {"id": "solo"},
        "rtmp": {"listen": rtmp},
        "admin": {"listen": admin},
        "health": {"listen": health},
        "apps": {"directory": ROOT / "apps"},
        "storage": {"state": tmp_path / "state"},
        "firewall": {"driver": "command"},
    }
    config = tmp_path / "origin.toml"
    config.write_text(
        toml(tables)
        + 'open_command = ["sh", "-c", "echo the cloud says no; exit 3"]\n'
        + 'close_command = ["true"]\nverify_command = ["false"]\n'
    )
    said = subprocess.run(
        [sys.executable, "-m", "rtmp_sync", "serve", "--no-guard", "--config", config],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "firewall.driver = 'command': does not open (open_command: the cloud says no); "
        'correct it, or use driver = "listener"'
    )


def test_without_rights_a_listener_will_do(site: Site) -> None:
    site.configure("listener")
    assert without_rights("config check", site.config).returncode == 0


def without_rights(command: str, config: Path) -> subprocess.CompletedProcess[str]:
    without = [require("setpriv"), "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    arguments = [*command.split(), "--config", str(config)]
    return subprocess.run(
        [*without, sys.executable, "-m", "rtmp_sync", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
