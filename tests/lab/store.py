"""Where the pair's record lives, and how it is hurt: a NAS of the lab's own, or etcd."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.support.fuse_disk import FuseDisk

from .setup import NODES

LINE = "MainOriginConfig.txt"


class Store(Protocol):
    """cut_off: the node does not reach it any more; its requests are never answered."""

    async def start(self) -> None: ...

    def keys(self, node: str) -> Mapping[str, object]:
        """Of [failover]."""

    def hang(self) -> None:
        """It answers nobody."""

    def cut_off(self, node: str) -> None: ...

    def reach(self, node: str) -> None: ...

    def power_off(self, node: str) -> None:
        """The node's side of it is gone, and what that had asked for."""

    def power_on(self, node: str) -> None: ...

    def heal(self) -> None: ...

    def close(self) -> None: ...


class Nas:
    """A folder that each node has mounted in a place of its own, while it has power. Hung, full
    or stale for one node or for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "nas"
        self._folder = folder
        self.mounts: dict[str, FuseDisk] = {}

    async def start(self) -> None:
        for node in NODES:
            self.power_on(node)
        self.line.write_text("A\\B")

    @property
    def line(self) -> Path:
        """As an operator reaches it who sits at the NAS."""
        return self.folder / LINE

    @property
    def records(self) -> Path:
        return self.folder / f"{LINE}.d"

    def keys(self, node: str) -> Mapping[str, object]:
        return {"pair_file": self._place(node) / LINE}

    def edit(self, content: bytes) -> None:
        """As an editor does it: a new file in the old one's place."""
        edited = self.folder / "edited"
        edited.write_bytes(content)
        edited.replace(self.line)

    def hang(self) -> None:
        for mount in self.mounts.values():
            mount.hang()

    def fill(self) -> None:
        for mount in self.mounts.values():
            mount.fill()

    def cut_off(self, node: str) -> None:
        self.mounts[node].hang()

    def reach(self, node: str) -> None:
        self.mounts[node].heal()

    def power_off(self, node: str) -> None:
        self.mounts.pop(node).close()

    def power_on(self, node: str) -> None:
        server = "tests.lab.fuse_nas"
        self.mounts[node] = FuseDisk(self._place(node), self.folder, server=server)

    def _place(self, node: str) -> Path:
        return self._folder / f"nas-{node}"

    def heal(self) -> None:
        for mount in self.mounts.values():
            mount.heal()

    def close(self) -> None:
        for mount in self.mounts.values():
            mount.close()
