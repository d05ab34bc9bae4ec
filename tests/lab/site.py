"""The whole lab: two machines, a load balancer, a store and the clients' host on one switch.

    clients --- load balancer --- A, B --- NAS (a mount on each) or etcd (three hosts)

Everything is seen from outside: `/status`, `/health/*`, `/history`, the records, the logs.
The lab's own process is on the clients' host: its sockets are theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp

from rtmp_sync import NetConnection
from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.errors import ConnectError, ConnectionLost
from tests.support.chaos import ChaosProxy
from tests.support.envelopes import EnvelopeProxy
from tests.support.namespaces import Host, Namespaces
from tests.support.pair import PROOF_APPS, ROOT, Node, Overdue, get, within
from tests.support.programs import require

from .balancer import Balancer
from .etcd_store import EtcdStore
from .machine import Machine
from .setup import ADMIN, HEALTH, NODES, REPLICATION, RTMP, USER, Places, Setup, configuration
from .store import Nas, Store

CLOCK_SOURCE = Path(__file__).with_name("wall_clock.c")
START_SECONDS = 60.0
COMMAND_SECONDS = 60.0


class Site:
    """`start` and `close` once each. Skips (`pytest.skip`) where there are no namespaces."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.network = network = Namespaces()
        self.directory = Path(tempfile.mkdtemp(prefix="rtmp-sync-lab-"))
        self.balancer = Balancer(network.host("lb"), self.directory)
        self.clients = network.host("clients")
        self.machines = {
            node: Machine(node, network.host(f"host{node}"), self.directory) for node in NODES
        }
        self.link = ChaosProxy()
        self.frames = EnvelopeProxy()
        self.environment: dict[str, dict[str, str]] = {node: {} for node in NODES}
        self._passwords = dict.fromkeys(NODES, secrets.token_hex(12))
        self._squatters: dict[str, socket.socket] = {}
        self._owners: dict[str, subprocess.Popen[str]] = {}
        self._cut: set[tuple[str, str]] = set()
        self._stay = contextlib.ExitStack()
        self.store: Store
        etcd = setup.coordinator == "etcd"
        self.store = EtcdStore(self) if etcd else Nas(self.directory)

    # ---- life ----

    async def start(self) -> None:
        """Until A serves and B is ready."""
        self._stay.enter_context(self.clients.entered())
        # a thread stays on the host where it was started
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        self._write_secret("secret", secrets.token_hex(32))
        for node, password in self._passwords.items():
            self.set_password(node, password)
        await self.store.start()
        if self.setup.proxied:
            target = (self.machines["B"].host.ipv4, REPLICATION)
            await self._proxy.start(target, host=self.clients.ipv4)
        for node in NODES:
            if self.setup.clocked:
                self.environment[node] = self._own_clock(node)
            self.configure(node)
            self.switch_on(node)
        self.balancer.start(self.machines)
        await self.settled("A", seconds=START_SECONDS)

    def _own_clock(self, node: str) -> dict[str, str]:
        """The environment of a node whose wall clock `set_clock` moves, and nothing else."""
        library = self.directory / "wall_clock.so"
        if not library.exists():
            options = ("-shared", "-fPIC", "-O2", "-o", str(library))
            subprocess.run([require("cc"), *options, str(CLOCK_SOURCE), "-ldl"], check=True)
        self._clock(node).write_bytes(struct.pack("d", 0.0))
        return {"LD_PRELOAD": str(library), "RTMP_SYNC_LAB_CLOCK": str(self._clock(node))}

    def set_clock(self, node: str, seconds: float) -> None:
        """Its wall clock is so much ahead of ours, from now on."""
        with self._clock(node).open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def _clock(self, node: str) -> Path:
        return self.directory / f"{node}.clock"

    @property
    def _proxy(self) -> ChaosProxy | EnvelopeProxy:
        return self.frames if self.setup.proxied == "frames" else self.link

    def configure(self, node: str) -> None:
        """Write the node's configuration file."""
        peer = self.machines[self.other(node)]
        dialled = peer.at(REPLICATION)
        if self.setup.proxied and node == "A":  # the first node dials
            host, port = self._proxy.address
            dialled = f"{host}:{port}"
        places = Places(
            node=node,
            peer_replication=dialled,
            peer_health=peer.at(HEALTH),
            peer=peer.host.ipv4,
            balancer=self.balancer.host.ipv4,
            store=self.store.keys(node),
            folder=self.directory,
            apps=self._applications(),
        )
        self.machines[node].config.write_text(configuration(self.setup, places))

    def set_password(self, node: str, password: str) -> None:
        """What admin.user's is from the node's next start on; it should be that of the other."""
        self._passwords[node] = password
        self._write_secret(f"{node}.password", password)

    def password(self, node: str) -> str:
        return self._passwords[node]

    def switch_on(self, node: str) -> None:
        """Start the node's guard, and that its origin."""
        self.machines[node].start(self.environment[node])

    async def close(self, *, keep_logs: bool = False) -> None:
        for machine in self.machines.values():
            machine.power_off()
            machine.close()
        if self.setup.proxied:
            await self._proxy.stop()
        self.store.close()
        self._stay.close()
        self.network.close()
        for squatter in self._squatters.values():
            squatter.close()
        if not keep_logs:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _write_secret(self, name: str, content: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content + "\n")

    def _applications(self) -> Path:
        folder = self.directory / "applications"
        if not folder.exists():
            folder.mkdir()
            for source in (ROOT / "apps", PROOF_APPS):
                for file in source.glob("*.py"):
                    shutil.copy(file, folder / file.name)
        return folder

    def seize_port(self, node: str) -> None:
        """Somebody else listens on the node's RTMP port; its packet filter lets nobody in."""
        with self.machines[node].host.entered():
            self._squatters[node] = socket.create_server(("0.0.0.0", RTMP))

    def release_port(self, node: str) -> None:
        self._squatters.pop(node).close()

    def seize_table(self, node: str) -> None:
        """Somebody else owns the node's firewall table, and it is empty: whatever the node asks
        of it fails from now on."""
        machine = self.machines[node]
        owner = machine.host.start(
            ["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        table = f"table inet rtmp_sync_{node}_{RTMP}"
        assert owner.stdin is not None
        owner.stdin.write(f"add {table}; delete {table}\nadd {table} {{ flags owner; }}\n")
        owner.stdin.flush()
        self._owners[node] = owner

    def release_table(self, node: str) -> None:
        """The kernel removes an owned table with its owner."""
        owner = self._owners.pop(node)
        owner.kill()
        owner.wait()

    # ---- the network ----

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """A, B, lb, store: nothing passes between them any more, or from `one` to `other`."""
        if "store" in (one, other):
            node = one if other == "store" else other
            self.store.cut_off(node)
            return
        self._cut.add((one, other))
        self.network.cut(self._host(one), self._host(other), one_way=one_way)

    def deaf(self, node: str, *, to: str, deaf: bool) -> None:
        """The node hears none of the other's questions on its health port, or does again."""
        host = self.machines[node].host
        host.output("nft", "-f", "-", text="add table inet lab\ndelete table inet lab\n")
        if deaf:
            rule = f"ip saddr {self.machines[to].host.ipv4} tcp dport {HEALTH} drop"
            chain = f"type filter hook input priority -200; policy accept; {rule}"
            host.output(
                "nft", "-f", "-", text=f"table inet lab {{\n chain in {{ {chain}\n }}\n}}\n"
            )

    def heal(self) -> None:
        """Everything reaches everything again."""
        for one, other in self._cut:
            self.network.heal(self._host(one), self._host(other))
        self._cut.clear()
        self.store.heal()

    def _host(self, name: str) -> Host:
        named = {"lb": self.balancer.host, "clients": self.clients}
        return self.machines[name].host if name in self.machines else named[name]

    # ---- what it says ----

    def nodes(self) -> list[Node]:
        return [machine.as_node() for machine in self.machines.values()]

    def other(self, node: str) -> str:
        return NODES[1 - NODES.index(node)]

    def url(self, path: str) -> str:
        return f"rtmp://{self.balancer.address}/{path}"

    async def healthy(self, node: str, what: str) -> bool:
        """Whether `/health/<what>` of the node answers 200 now."""
        status, _ = await get(f"http://{self.machines[node].at(HEALTH)}/health/{what}", timeout=0.5)
        return bool(status == 200)

    async def active(self) -> Node | None:
        for node, machine in self.machines.items():
            if await self.healthy(node, "active"):
                return machine.as_node()
        return None

    async def status(self, node: str) -> dict[str, Any]:
        """`/status`; empty while it does not answer."""
        code, body = await get(f"http://{self._admin(node)}/status", timeout=2.0)
        return json.loads(body) if code == 200 else {}

    async def history(self, node: str) -> list[dict[str, Any]]:
        """`/history`; empty while it does not answer."""
        headers = {"Authorization": basic_header(USER, self._passwords[node])}
        code, body = await get(f"http://{self._admin(node)}/history", headers=headers, timeout=2.0)
        events: list[dict[str, Any]] = json.loads(body)["events"] if code == 200 else []
        return events

    async def metrics(self, node: str) -> str:
        _, body = await get(f"http://{self._admin(node)}/metrics", timeout=2.0)
        return str(body)

    async def post(
        self, node: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """(status, JSON) of a command; (0, reason) without an answer."""
        headers = {"Authorization": basic_header(USER, self._passwords[node])}
        limit = aiohttp.ClientTimeout(total=COMMAND_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=limit) as session,
                session.post(f"http://{self._admin(node)}{path}", json=body or {}) as answer,
            ):
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as reason:
            return 0, repr(reason)

    async def command(self, node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`rtmp-sync …` on the node's machine, as its operator types it."""
        words = [sys.executable, "-m", "rtmp_sync", *arguments]
        return await asyncio.to_thread(
            subprocess.run,
            self.machines[node].host.command(words),
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def _admin(self, node: str) -> str:
        return self.machines[node].at(ADMIN)

    async def settled(self, active: str | None = None, *, seconds: float = START_SECONDS) -> str:
        """Who serves, once one does and the other is ready. active: it must be this one."""

        async def look() -> str:
            for node, machine in self.machines.items():
                if machine.exit_code is not None:
                    raise Overdue(f"{node} ended with exit code {machine.exit_code}")
            for node in NODES if active is None else (active,):
                if await self.healthy(node, "active"):
                    return node if await self.healthy(self.other(node), "standby") else ""
            return ""

        return str(await within(seconds, f"{active or 'a node'} serves, the other is ready", look))

    async def served(self, *, seconds: float = START_SECONDS) -> None:
        """Until a client gets in through the load balancer."""

        async def look() -> bool:
            with contextlib.suppress(ConnectError, ConnectionLost, TimeoutError):
                async with NetConnection(reconnect=False) as client, asyncio.timeout(3):
                    await client.connect(self.url("proof/hello"), "hello", "Reader")
                    return True
            return False

        await within(seconds, "a client gets in through the load balancer", look)
