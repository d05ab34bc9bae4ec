"""What a member of a pair looks at around it: its own copy, and its end of the link."""

from __future__ import annotations

from typing import Protocol

from rtmp_sync.cluster.peer_status import OwnHealth
from rtmp_sync.cluster.view import Position

__all__ = ["LinkFacts", "LinkPeer", "Surroundings"]


class LinkPeer(Protocol):
    """The other node, as it last described itself over the link."""

    @property
    def boot_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def gate_open(self) -> bool: ...
    @property
    def state(self) -> str: ...
    @property
    def position(self) -> Position: ...
    @property
    def health(self) -> OwnHealth: ...
    @property
    def heartbeat_at(self) -> float | None:
        """When it last gave a sign of life on this link; None: not yet."""


class LinkFacts(Protocol):
    """How the replication link stands; `peer` outlives it."""

    @property
    def connected(self) -> bool: ...
    @property
    def peer(self) -> LinkPeer | None: ...
    @property
    def acked(self) -> int: ...
    @property
    def oldest_unacked_at(self) -> float | None: ...
    @property
    def peer_caught_up(self) -> bool: ...
    @property
    def in_sync(self) -> bool: ...
    @property
    def lag_changes(self) -> int: ...


class Surroundings(Protocol):
    """Read anew at each turn."""

    @property
    def replication(self) -> LinkFacts | None:
        """None for a single origin, and until the pair's names are known."""

    @property
    def position(self) -> Position:
        """(epoch of the last Change, seq) of this node's copy."""
