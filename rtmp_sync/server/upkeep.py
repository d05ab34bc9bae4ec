"""What a node of a pair does to its copy beside its work, in slices that no client notices.

Every minute it reads its whole copy and counts it again: memory that was changed behind the
digest's back (a bad module, a bug) is found, the digest becomes that of what is really there,
and the next comparison with the other node finds that the copies differ. What a copy held
before another took its place is let go bit by bit: to free 100 MB at once takes 30 ms.

Always holds: a slice ends within a piece of a snapshot after SLICE_SECONDS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from rtmp_sync.server.clock import now
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import Snapshot

__all__ = ["Upkeep"]

AUDIT_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 0.002
_AUDIT_PAUSE: Final = 0.04  # 5 % of a core while it goes on: 100,000 slots take about 5 s
_FREEING_PAUSE: Final = 0.004
_LOOK_SECONDS: Final = 0.5


class Upkeep:
    """found(entries): memory that was changed; `entries` name objects, clients, sessions."""

    def __init__(
        self,
        state: ReplicatedState,
        found: Callable[[list[str]], None],
        *,
        audit_seconds: float | None = None,
    ) -> None:
        self.audits = 0
        self._state = state
        self._found = found
        self._audit_seconds = AUDIT_SECONDS if audit_seconds is None else audit_seconds
        self._audit_at = 0.0
        self._snapshot: Snapshot | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """On a running loop."""
        self._audit_at = now() + self._audit_seconds
        self._again(_LOOK_SECONDS)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end_audit()

    def _turn(self) -> None:
        until = now() + SLICE_SECONDS
        while now() < until:
            if not self._step():
                pause = min(_LOOK_SECONDS, max(0.0, self._audit_at - now()))
                break
        else:
            pause = _FREEING_PAUSE if self._state.leftovers else _AUDIT_PAUSE
        self._again(pause)

    def _step(self) -> bool:
        """One small piece of work; False: there is none now."""
        leftovers = self._state.leftovers
        if leftovers:
            leftovers.let_go()
            return True
        if self._snapshot is None:
            if now() < self._audit_at:
                return False
            self._snapshot = self._state.snapshot()
            self._chunks = self._snapshot.chunks()
            return True
        if self._snapshot.closed:  # another copy took this one's place: begin anew, soon
            self._snapshot = None
        elif next(self._chunks, None) is None:
            self._finish(self._snapshot)
        return True

    def _finish(self, snapshot: Snapshot) -> None:
        self._end_audit()
        self._audit_at = now() + self._audit_seconds
        self.audits += 1
        if snapshot.digest != snapshot.header.digest:
            self._found(self._state.correct(snapshot))

    def _end_audit(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None
        self._chunks = iter(())

    def _again(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._turn)
