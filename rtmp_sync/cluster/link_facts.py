"""What a node reads of its replication link, whoever keeps the connection: the exchange that is
in use, if there is one, or what is left when there is none."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.peer_status import PeerStatus
from rtmp_sync.state.replicated_state import ReplicatedState

__all__ = ["LinkFacts"]


class LinkFacts(ABC):
    """`peer` is the last that was heard, also after the link went."""

    def __init__(self, state: ReplicatedState) -> None:
        self.peer: PeerStatus | None = None
        self._state = state

    @property
    @abstractmethod
    def exchange(self) -> Exchange | None:
        """The conversation on the link that is in use."""

    @property
    def connected(self) -> bool:
        """A link works, and the peer has said on it who it is."""
        exchange = self.exchange
        return exchange is not None and self.peer is exchange.peer

    @property
    def acked(self) -> int:
        """[source] The peer's copy has everything up to this seq."""
        exchange = self.exchange
        return exchange.source.acked if exchange is not None else 0

    @property
    def oldest_unacked_at(self) -> float | None:
        """[source] When the oldest Changes that the peer has not acknowledged were sent."""
        exchange = self.exchange
        return exchange.source.oldest_unacked_at if exchange is not None else None

    @property
    def peer_caught_up(self) -> bool:
        """[source] The peer's copy is complete and follows turn by turn."""
        exchange = self.exchange
        return exchange is not None and exchange.source.caught_up

    @property
    def in_sync(self) -> bool:
        """[sink] The copy is complete and lacks nothing that is known of."""
        exchange = self.exchange
        return exchange is not None and exchange.sink.in_sync

    @property
    def lag_changes(self) -> int:
        """[sink] Changes that the active is known to have and this copy has not."""
        heard = self.peer.head_seq if self.peer is not None else 0
        exchange = self.exchange
        lag = exchange.sink.lag_changes if exchange is not None else 0
        return max(lag, heard - self._state.journal.head)
