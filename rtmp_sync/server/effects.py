"""What the watchdog needs of its neighbours, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtmp_sync.cluster.surroundings import LinkFacts
from rtmp_sync.firewalls.base import GateState
from rtmp_sync.server.authority import Authority

__all__ = ["Chronicle", "Commit", "Effects", "GateReader", "Link", "SelfTest"]


class Chronicle(Protocol):
    def record(self, event: str, /, **fields: object) -> None: ...


class Commit(Protocol):
    def set_require_peer(self, required: bool) -> None: ...
    def peer_acked(self, seq: int) -> None: ...


class GateReader(Protocol):
    async def verify(self) -> GateState: ...
    def hold(self, until: float) -> None: ...


class SelfTest(Protocol):
    """The origin's own checks: loop lag, disk, RTMP handshake with itself. `reason` names the
    one that fails."""

    @property
    def ok(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def loop_lag(self) -> float: ...


class Link(LinkFacts, Protocol):
    """The replication link, moved by the watchdog."""

    def set_role(
        self, *, epoch: int, holder: str, gate_open: bool, state: str, serving: bool
    ) -> None: ...

    async def promise(self, epoch: int) -> float | None:
        """Send time of the request that the peer answered with a promise."""

    async def digest_agrees(self) -> bool:
        """Whether the peer's copy is mine; False also when the link ends meanwhile."""

    def repair(self) -> None: ...

    def name_nonce(self, nonce: str, *, stale: bool) -> None:
        """Tell the peer what this node has just put into the store, and whether it sees late
        what the peer puts there."""

    def report(self, *, healthy: bool, lb_checks_age: float, loop_lag: float) -> None:
        """What the next heartbeats say; seconds, -1 for "never"."""

    def switchover(
        self,
        kind: str,
        *,
        switch_id: str = "",
        final_seq: int = 0,
        deadline_seconds: float = 0.0,
        epoch: int = 0,
    ) -> None:
        """Send a step: "prepare", "ready", "abort" or "done"."""


class Effects(Protocol):
    """One origin, as its watchdog moves it."""

    @property
    def authority(self) -> Authority: ...
    @property
    def commit(self) -> Commit: ...
    @property
    def gate(self) -> GateReader: ...
    @property
    def history(self) -> Chronicle: ...
    @property
    def replication(self) -> Link | None:
        """None for a single origin, and until `nodes_known`."""

    @property
    def position(self) -> tuple[int, int]:
        """(epoch of the last Change, seq) of this node's copy."""

    async def nodes_known(self, nodes: tuple[str, str]) -> None:
        """The pair's names, in slot order: the link can be made now. Called once."""

    async def open_gate(self, epoch: int) -> bool:
        """True when the gate was read back as open."""

    async def close_gate(self) -> bool:
        """Cut every session too; True when the gate was read back as closed."""

    async def promote(self, epoch: int, history_id: str, *, lossy: bool) -> None: ...

    async def demote(self) -> None: ...

    def hold_writes(self, on: bool) -> int:
        """Apply no client's write while on; the journal's head."""

    def drain(self, on: bool) -> int | None:
        """While on, clients were asked to leave, and nobody new is let in; how many are still
        here, None when nobody was asked."""

    async def check_self(self, *, port_open: Callable[[], bool]) -> SelfTest:
        """port_open: whether the own public port should answer."""

    def lb_checks_age(self, now: float) -> float | None:
        """Seconds since the load balancer looked at this origin, as if it looked every second;
        None: it does not, or has just begun."""
