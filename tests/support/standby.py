"""An active origin of a pair, and a standby that is only a real replication link and its copy.

The standby does what it is told: it follows, it stops taking anything, it goes away.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtmp_sync import Config, Origin
from rtmp_sync.cluster.peer_status import PeerStatus, ReplicationHooks
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.plugins import load_applications
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.instances import Instances
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.replication import Replication
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.support.chaos import ChaosProxy
from tests.support.origins import config_of, until

__all__ = ["Standby", "paired"]

SECRET = b"a secret of a test"
PATIENCE_SECONDS = 50.0  # with which each waits for the other: longer than a test takes


class Standby:
    """Node B: slot 1, dialled by A through `proxy`."""

    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.proxy = ChaosProxy()
        self.tasks = Tasks()
        self.instances: Instances
        self.applications: dict[str, Any]
        self.authority = Authority()
        self.turn = Turn(self.state, self.authority, CommitPoint())
        self._replication: Replication
        self._port = 0
        self._there = False

    async def start(self, origin_config: Config) -> None:
        applications = load_applications(origin_config.apps.directory)
        self.applications = {name: one.application for name, one in applications.items()}
        self.instances = Instances(
            self.turn,
            self.tasks,
            origin_config,
            applications,
            Recordings(origin_config, epoch=lambda: self.authority.epoch),
        )
        await self.come_back()
        await self.proxy.start(("127.0.0.1", self._port))

    async def come_back(self) -> None:
        """Be there, with what it had before."""
        if self._there:
            return
        self._there = True
        self._replication = Replication(
            self.state,
            node_id="B",
            pair_id="A+B",
            boot_id="boot-of-B",
            secret=SECRET,
            listen=("127.0.0.1", self._port),
            peer=("127.0.0.1", 1),
            dials=False,
            timing=replace(DEFAULT, ack_timeout=PATIENCE_SECONDS),
            hooks=ReplicationHooks(
                on_role=self._follow,
                on_replay=self.instances.replays.begin,
                on_media=self.instances.warm.receive,
            ),
        )
        await self._replication.start()
        self._port = self._replication.port

    async def go_away(self) -> None:
        if self._there:
            self._there = False
            await self._replication.stop()

    def application(self, scope: str) -> Any:
        """The application object of an instance that replayed a call; None if none did."""
        standing_by = self.instances._standing_by.get(scope)
        return standing_by.application if standing_by is not None else None

    async def promote(self) -> None:
        """Take over, as far as instances go."""
        self.instances.demote()
        epoch = self.state.journal.epoch + 1
        self.authority.grant(epoch, math.inf)
        self.state.start_epoch(epoch, "boot-of-B", f"history-{epoch}", lossy=False)
        self.turn.commit_journal()
        self.instances.promote()

    def hold_back(self) -> None:
        """Take nothing more of the link, so that nothing is acknowledged."""
        self.proxy.stall()

    def take_all(self) -> None:
        """Take what was held back, and acknowledge it."""
        self.proxy.resume()

    def _follow(self, peer: PeerStatus) -> None:
        if peer.serving:
            state = "READY" if self._replication.in_sync else "SYNCING"
            self._replication.set_role(
                epoch=peer.epoch, holder="A", gate_open=False, state=state, serving=False
            )


@asynccontextmanager
async def paired(
    tmp_path: Path, *, mode: str = "semi", **sections: dict[str, Any]
) -> AsyncIterator[tuple[Origin, Standby]]:
    """Origin A, active, with its standby in sync; A waits for it for as long as a test likes."""
    standby = Standby()
    if "replication" in sections:  # it knows that it is one of a pair
        secret = tmp_path / "standby-secret"
        secret.write_bytes(SECRET)
        sections["replication"] = {"secret_file": secret, **sections["replication"]}
    await standby.start(config_of(tmp_path / "state", **sections))
    origin = Origin(_pair_config(tmp_path, standby, mode, sections))
    await origin.start()
    try:
        await until(lambda: origin.authority.gate_open)
        await until(lambda: origin.commit.require_peer and _listed(origin))
        yield origin, standby
    finally:
        standby.take_all()
        await origin.stop()
        await standby.go_away()
        await standby.proxy.stop()


def _pair_config(
    folder: Path, standby: Standby, mode: str, sections: dict[str, dict[str, Any]]
) -> Config:
    folder.mkdir(exist_ok=True)
    pair_file = folder / "pair.txt"
    pair_file.write_text("A\\B")
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    replication = {
        **sections.get("replication", {}),
        "listen": "127.0.0.1:0",
        "peer": "{}:{}".format(*standby.proxy.address),
        "secret_file": secret,
        "mode": mode,
        "ack_timeout": PATIENCE_SECONDS,
    }
    failover = {
        "pair_file": pair_file,
        "peer_admin": "127.0.0.1:1",
        "t_conf": 2 * PATIENCE_SECONDS,
    }
    return config_of(
        folder / "state", **{**sections, "replication": replication, "failover": failover}
    )


def _listed(origin: Origin) -> bool:
    record = origin.watchdog.record
    return record is not None and bool(record.sync)
