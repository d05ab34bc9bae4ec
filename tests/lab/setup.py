"""How a pair of the lab is configured: everything that two faults must have in common to be
done to the same pair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RTMP, REPLICATION, ADMIN, HEALTH = 1935, 1936, 1111, 1112
USER = "admin"
NODES = ("A", "B")

Tables = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Setup:
    """tables: configuration keys on top of what every pair of the lab is told. proxied: the
    link goes through a proxy of the lab, which knows "bytes" or "frames". clocked: each origin
    has a wall clock of its own."""

    coordinator: str
    gate: str
    tables: Tables = field(default_factory=dict)
    proxied: str = ""
    clocked: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """Where one node finds everything. Addresses are "host:port"."""

    node: str
    peer_replication: str
    peer_health: str
    peer: str  # addresses that a packet filter lets in
    balancer: str
    store: Mapping[str, object]  # of [failover]
    folder: Path  # of the pair: secrets, and the node's own folder in it
    apps: Path


def configuration(setup: Setup, at: Places) -> str:
    """The node's TOML file."""
    tables: dict[str, dict[str, object]] = {
        "node": {"id": at.node},
        "rtmp": {"listen": f"0.0.0.0:{RTMP}", "proxy_protocol_from": [at.balancer]},
        "replication": {
            "listen": f"0.0.0.0:{REPLICATION}",
            "peer": at.peer_replication,
            "secret_file": at.folder / "secret",
        },
        "failover": {**at.store, "peer_admin": at.peer_health},
        "firewall": {"driver": setup.gate},
        "admin": {
            "listen": f"0.0.0.0:{ADMIN}",
            "user": USER,
            "password_file": at.folder / f"{at.node}.password",
        },
        "health": {"listen": f"0.0.0.0:{HEALTH}"},
        "apps": {"directory": at.apps},
        "storage": {"state": at.folder / at.node / "state"},
    }
    if setup.gate != "listener":
        tables["firewall"]["allow"] = [at.peer, at.balancer]
    for name, keys in setup.tables.items():
        tables.setdefault(name, {}).update(keys)
    return "\n".join(
        line
        for name, keys in tables.items()
        for line in (f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items()), "")
    )


def _toml(value: object) -> str:
    """JSON's text, numbers, booleans and lists are TOML's."""
    return json.dumps(str(value) if isinstance(value, Path) else value)
