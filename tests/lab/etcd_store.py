"""Three real etcd processes, each on a host of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.support.etcd import EtcdCluster, EtcdMember

from .setup import NODES

if TYPE_CHECKING:
    from .site import Site

PREFIX = "/rtmp_sync/lab"
CLIENT_PORT, PEER_PORT = 2379, 2380


class EtcdStore:
    """`cluster` is where a test hurts it; `hosts` are its members' in their order."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.hosts = [site.network.host(f"etcd{number}") for number in (1, 2, 3)]
        directory = site.directory / "etcd"
        members = [
            EtcdMember(
                host.name,
                directory / host.name,
                host.ipv4,
                CLIENT_PORT,
                PEER_PORT,
                within=tuple(host.command([])),
            )
            for host in self.hosts
        ]
        self.cluster = EtcdCluster(directory, members=members)

    async def start(self) -> None:
        await self.cluster.start()

    def keys(self, node: str) -> Mapping[str, object]:
        return {
            "etcd": [str(address) for address in self.cluster.addresses],
            "etcd_prefix": PREFIX,
            "nodes": list(NODES),
        }

    def cut_off(self, node: str) -> None:
        for host in self.hosts:
            self._site.network.cut(self._site.machines[node].host, host)

    def reach(self, node: str) -> None:
        for host in self.hosts:
            self._site.network.heal(self._site.machines[node].host, host)

    def power_off(self, node: str) -> None:
        """The node's cable is all that it has."""

    def power_on(self, node: str) -> None: ...

    def heal(self) -> None:
        for node in NODES:
            self.reach(node)
        for member in self.cluster.members:
            if member.frozen:
                member.thaw()

    def hang(self) -> None:
        """Two of three stand still: no quorum."""
        for member in self.cluster.members[:2]:
            member.freeze()

    async def fill(self) -> None:
        """No member takes anything any more: as etcd itself says when its quota is spent."""
        await self._alarm("ACTIVATE")

    async def make_room(self) -> None:
        await self._alarm("DEACTIVATE")

    async def _alarm(self, action: str) -> None:
        for member in self.cluster.members:
            answer = await asyncio.to_thread(member.ask, "/maintenance/status", {})
            body = {"action": action, "memberID": answer["header"]["member_id"], "alarm": "NOSPACE"}
            await asyncio.to_thread(member.ask, "/maintenance/alarm", body)

    def close(self) -> None:
        self.cluster.close()
