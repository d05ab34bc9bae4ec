"""One origin: everything that runs in one serving process, put together.

config ─► state + journal file ─► turn (authority, commit point) ─► instances, sessions
       ─► gate                    who may come in is the gate's and the authority's
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import signal

import structlog

from rtmp_sync.config import Config
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.plugins import load_applications
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.instances import Instances
from rtmp_sync.server.loop_lag import LoopLag
from rtmp_sync.server.sessions import Sessions
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.replicated_state import ReplicatedState

__all__ = ["Origin"]

GUARD_VARIABLE = "RTMP_SYNC_GUARD_FD"


class Origin:
    """`start`, then `stop`; or `run`, which ends on SIGTERM. Raises ConfigError."""

    sessions: Sessions
    instances: Instances
    gate: ListenerGate

    def __init__(self, config: Config) -> None:
        self.config = config
        self.node_id = config.node.id
        self.boot_id = secrets.token_hex(8)
        self.state = ReplicatedState()
        self.authority = Authority()
        self.commit = CommitPoint()
        self.turn = Turn(self.state, self.authority, self.commit)
        self.tasks = Tasks()
        self.loop_lag = LoopLag()
        self._log = structlog.get_logger("rtmp_sync.origin").bind(node=self.node_id)
        self._stopping = asyncio.Event()

    # Life

    async def start(self) -> None:
        """Load applications and state, then serve or stand by."""
        applications = load_applications(self.config.apps.directory)
        self.instances = Instances(self.turn, self.tasks, self.config, applications)
        self.sessions = Sessions(self.turn, self.tasks, self.instances, self.config)
        host, port = self.config.rtmp.listen
        self.gate = ListenerGate(host, port, self.sessions)
        self.loop_lag.start()
        await self._serve_alone()

    async def stop(self) -> None:
        """Close the gate, end every connection, and everything that runs."""
        await self.close_gate()
        self.instances.demote()
        self.tasks.cancel()
        await self.tasks.idle()
        self.loop_lag.stop()

    async def run(self) -> None:
        """Serve until SIGTERM, or `request_stop`."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows has no signals for loops
            loop.add_signal_handler(signal.SIGTERM, self.request_stop)
            if GUARD_VARIABLE in os.environ:  # Ctrl-C reaches the guard, which stops us
                loop.add_signal_handler(signal.SIGINT, lambda: None)
            else:
                loop.add_signal_handler(signal.SIGINT, self.request_stop)
        await self.start()
        await self._stopping.wait()
        await self.stop()

    def request_stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    async def _serve_alone(self) -> None:
        epoch = self.state.journal.epoch + 1
        self.authority.grant(epoch, math.inf)
        await self.promote(epoch, f"{epoch}-{secrets.token_hex(8)}", lossy=False)
        if not await self.open_gate(epoch):
            raise ConfigError("rtmp.listen", str(self.config.rtmp.listen), "could not be opened")

    # What the watchdog has done

    async def open_gate(self, epoch: int) -> bool:
        """Let clients in, in this epoch; whether the gate was read back as open."""
        if self.authority.epoch != epoch or not self.turn.authorised:
            return False
        try:
            await self.gate.open()
        except OSError as error:
            fix = f"cannot be listened on ({error.strerror or error}); free the port or change it"
            raise ConfigError("rtmp.listen", str(self.config.rtmp.listen), fix) from None
        self.authority.gate_open = await self.gate.verify() == "open"
        self._log.info("gate_opened", epoch=epoch, address=str(self.gate.address))
        return self.authority.gate_open

    async def close_gate(self) -> bool:
        """Let nobody in and everybody go, from this instant; whether the gate reads closed."""
        self.authority.revoke()
        self.authority.gate_open = False
        self.cut_sessions("the gate was closed")
        await self.gate.close()
        return await self.gate.verify() == "closed"

    def cut_sessions(self, reason: str) -> None:
        """End every client's connection now."""
        self.sessions.cut(reason)

    def hold_writes(self, on: bool) -> None:
        """Read nothing of any client, so that no write is applied, or go on."""
        self.sessions.hold(on)

    async def promote(self, epoch: int, history_id: str, lossy: bool) -> None:
        """The promotion point: from here on this copy is the pair's."""
        self.commit.reset(self.state.journal.head)
        self.state.start_epoch(epoch, self.boot_id, history_id, lossy=lossy)
        self.turn.commit_journal()
        self.instances.promote()

    async def demote(self) -> None:
        """Serve no longer: let go of every instance and of what applications have running."""
        self.instances.demote()
        self.tasks.cancel()
