"""The real `Turn` of an origin without a loop: its end comes right after the present event."""

from __future__ import annotations

from collections.abc import Callable

from rtmp_sync.server.authority import Authority
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.replicated_state import ReplicatedState

__all__ = ["SimulatedTurn"]


class SimulatedTurn(Turn):
    def __init__(
        self,
        state: ReplicatedState,
        authority: Authority,
        commit: CommitPoint,
        after: Callable[..., None],
    ) -> None:
        super().__init__(state, authority, commit)
        self._after = after

    def schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._after(0.0, self._end)
