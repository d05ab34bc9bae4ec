"""The folder of a `pair`: everything that its two origins are told, made on the first start.

    DIR/MainOriginConfig.txt   the pair file
    DIR/secret                 shared by the origins (0600)
    DIR/admin.password         of the user "admin" (0600)
    DIR/pair.json              where everything is, while the pair runs
    DIR/lock                   locked by the `pair` process
    DIR/media/                 recordings of both, as on a NAS
    DIR/log                    what the `pair` process and its front door say
    DIR/A/ DIR/B/              config.toml (written at each start), log, state/, and `stopped`
                               while the node is kept from running

An existing folder is resumed: only config.toml is written anew, since ports may change.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rtmp_sync.config import Config, load_config
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.ports import can_bind

__all__ = ["ADMIN_USER", "PairDirectory", "PairNode", "kept_stopped", "pair_config"]

ADMIN_USER = "admin"
NODE_IDS = ("A", "B")
# Where the front door's connections to the origins come from: another address than everybody
# else's here, so that they know whose PROXY header to believe. Linux has all of 127.0.0.0/8.
FRONT_DOOR_SOURCE = "127.0.0.2"

# What is added to the front door's port: (first node, second node).
RTMP, REPLICATION, ADMIN, HEALTH = (1, 2), (11, 12), (21, 22), (31, 32)


@dataclass(frozen=True, slots=True)
class PairNode:
    """One origin of the pair: where it listens and keeps its files."""

    id: str
    rtmp: Address
    replication: Address
    admin: Address
    health: Address
    http: Address | None
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def kept_stopped(self) -> Path:
        """While this file is there the node is not started again: somebody maintains it."""
        return kept_stopped(self.folder)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def listeners(self) -> dict[str, Address]:
        """Configuration key -> address, for the check of the ports."""
        listeners = {
            "rtmp.listen": self.rtmp,
            "replication.listen": self.replication,
            "admin.listen": self.admin,
            "health.listen": self.health,
        }
        return listeners if self.http is None else {**listeners, "http.listen": self.http}


class PairDirectory:
    """The folder `path` of a pair whose front door listens on `port`.

    link: where the first node dials the second one; None: straight to it. failover: keys that
    both nodes get besides; with `etcd` among them the record is there, not in the folder.
    replication: the same of that table. own_media: each node keeps its recordings to itself, as
    without a NAS. http_port: of the front door for browsers, and the two ports above it.
    """

    def __init__(
        self,
        path: Path,
        *,
        port: int,
        apps: Path,
        link: Address | None = None,
        failover: Mapping[str, object] = MappingProxyType({}),
        replication: Mapping[str, object] = MappingProxyType({}),
        own_media: bool = False,
        http_port: int | None = None,
    ) -> None:
        self.path = path.absolute()
        self.front = Address("127.0.0.1", port)
        self.front_http = Address("127.0.0.1", http_port) if http_port is not None else None
        self.front_source = FRONT_DOOR_SOURCE if can_bind(FRONT_DOOR_SOURCE) else None
        self.nodes = tuple(self._node(slot) for slot in (0, 1))
        self._apps = apps.absolute()
        self._link = link or self.nodes[1].replication
        self._failover = dict(failover)
        self._replication = dict(replication)
        self._own_media = own_media
        if "etcd" in failover:
            self._failover["nodes"] = list(NODE_IDS)
        else:
            self._failover["pair_file"] = str(self.path / "MainOriginConfig.txt")
        self._lock: int | None = None

    def _node(self, slot: int) -> PairNode:
        rtmp, replication, admin, health = (
            Address("127.0.0.1", self.front.port + offsets[slot])
            for offsets in (RTMP, REPLICATION, ADMIN, HEALTH)
        )
        http = self.front_http
        if http is not None:
            http = http._replace(port=http.port + RTMP[slot])
        node_id = NODE_IDS[slot]
        return PairNode(node_id, rtmp, replication, admin, health, http, self.path / node_id)

    def check_ports(self) -> None:
        """Whether the ports of both options are different ones; raises ConfigError if not."""
        front, http = self.front.port, self.front_http
        if http is None:
            return
        taken = [front, *(front + one for one in (*RTMP, *REPLICATION, *ADMIN, *HEALTH))]
        own = [http.port, *(http.port + one for one in RTMP)]
        if both := sorted(set(taken) & set(own)):
            fix = (
                f"it takes the ports {_ranges(own)}, and --port {front} takes {_ranges(taken)}: "
                f"{_ranges(both)} would be both; give another --http-port or --port"
            )
            raise ConfigError("--http-port", http.port, fix)

    def lock(self) -> None:
        """Take the folder, creating it; raises ConfigError when another pair has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            fix = f"cannot be made ({error.strerror}); give a folder that you may write to"
            raise ConfigError("--dir", str(self.path), fix) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            fix = "a pair already runs there; stop it or give another folder"
            raise ConfigError("--dir", str(self.path), fix) from None
        with contextlib.suppress(FileNotFoundError):  # of a pair that was killed
            (self.path / "pair.json").unlink()

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def prepare(self) -> None:
        """Make what is not there yet."""
        pair_file = self.path / "MainOriginConfig.txt"
        if not pair_file.exists() and not pair_file.with_name(pair_file.name + ".d").exists():
            pair_file.write_text("\\".join(NODE_IDS))
        _create_secret(self.path / "secret", secrets.token_hex(32))
        _create_secret(self.path / "admin.password", secrets.token_urlsafe(18))
        first, second = self.nodes
        for node, peer, dialled in (
            (first, second, self._link),
            (second, first, first.replication),
        ):
            node.folder.mkdir(exist_ok=True)
            self._media(node).mkdir(exist_ok=True)
            node.kept_stopped.unlink(missing_ok=True)  # of maintenance that never ended
            _write_whole(node.config, self._config(node, peer, dialled))

    def _config(self, node: PairNode, peer: PairNode, dialled: Address) -> str:
        # Of text, numbers and lists of them JSON is TOML: no escapes but \u stand in strings.
        text = json.dumps
        proxies = [self.front_source] if self.front_source else []
        failover = {**self._failover, "peer_admin": str(peer.health)}
        return (
            "# Written by `rtmp-sync pair` at each start.\n"
            f"[node]\nid = {text(node.id)}\n\n"
            f"[rtmp]\nlisten = {text(str(node.rtmp))}\n"
            f"proxy_protocol_from = {text(proxies)}\n\n"
            "[replication]\n"
            f"listen = {text(str(node.replication))}\n"
            f"peer = {text(str(dialled))}\n"
            f"secret_file = {text(str(self.path / 'secret'))}\n"
            + "".join(f"{key} = {text(value)}\n" for key, value in self._replication.items())
            + "\n[failover]\n"
            + "".join(f"{key} = {text(value)}\n" for key, value in failover.items())
            + "\n"
            "[admin]\n"
            f"listen = {text(str(node.admin))}\n"
            f"user = {text(ADMIN_USER)}\n"
            f"password_file = {text(str(self.path / 'admin.password'))}\n\n"
            f"[health]\nlisten = {text(str(node.health))}\n\n"
            + (f"[http]\nlisten = {text(str(node.http))}\n\n" if node.http is not None else "")
            + f"[apps]\ndirectory = {text(str(self._apps))}\n\n"
            f"[storage]\nstate = {text(str(node.folder / 'state'))}\n"
            f"media = {text(str(self._media(node)))}\n"
        )

    def _media(self, node: PairNode) -> Path:
        return (node.folder if self._own_media else self.path) / "media"

    def publish(self, pids: dict[str, tuple[int, int]]) -> None:
        """Write pair.json. pids: node id -> (origin's pid, guard's pid), the last ones known."""
        nodes: list[dict[str, Any]] = [
            {
                "id": node.id,
                "rtmp": str(node.rtmp),
                "replication": str(node.replication),
                "admin": str(node.admin),
                "health": str(node.health),
                **({"http": str(node.http)} if node.http is not None else {}),
                "pid": pids[node.id][0],
                "guard_pid": pids[node.id][1],
                "log": str(node.log),
                "config": str(node.config),
            }
            for node in self.nodes
        ]
        content: dict[str, object] = {"front": str(self.front), "pid": os.getpid(), "nodes": nodes}
        if self.front_http is not None:
            content["front_http"] = str(self.front_http)
        _write_whole(self.path / "pair.json", json.dumps(content, indent=1) + "\n")

    def withdraw(self) -> None:
        """Remove pair.json: nothing runs here any more."""
        (self.path / "pair.json").unlink(missing_ok=True)


def pair_config(path: Path) -> Config:
    """A node's configuration. The environment of an operator's shell is of other files: a pair's
    have none. Raises WrongConfig."""
    return load_config(path, variables={})


def kept_stopped(folder: Path) -> Path:
    """The file that keeps the node of this folder stopped."""
    return folder / "stopped"


def _ranges(ports: Iterable[int]) -> str:
    """Ascending ports, for people: "1935-1937, 1946"."""
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][-1] + 1:
            runs[-1].append(port)
        else:
            runs.append([port])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _create_secret(path: Path, content: str) -> None:
    """Write a secret that only its owner may read, unless there is one."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content + "\n")


def _write_whole(path: Path, content: str) -> None:
    """Replace a file so that a reader sees the old content or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(content)
    temporary.replace(path)
