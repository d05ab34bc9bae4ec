"""One turn of the loop: one journal batch, one barrier, one write per client.

    a socket is readable, a method goes on, a timer fires
        writable()          the commit guard, then Changes are appended to the journal
    at the end of the turn
        batch -> peer and disk;  fan-out;  replies;  everything below the level leaves

`writable()` is the only way to the mutators of the replicated state, so no Change is made
without authority; `_end` asks again before anything leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from rtmp_sync.server.authority import Authority, Deposed
from rtmp_sync.server.clock import now
from rtmp_sync.server.commit import MAX_WAITING_BYTES, MAX_WAITING_CHANGES, CommitPoint
from rtmp_sync.server.outbox import Outbox, Outlets
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import Replay

__all__ = ["Pending", "Turn"]

_LOG = structlog.get_logger("rtmp_sync.turn")


class Pending(Protocol):
    """Something that collects what a turn did and encodes it once at the turn's end."""

    def finish_turn(self) -> None: ...


class Turn:
    """The rhythm of an origin. Everything that sends or changes state goes through it."""

    def __init__(
        self,
        state: ReplicatedState,
        authority: Authority,
        commit: CommitPoint,
        *,
        media_flush_ms: int = 0,
    ) -> None:
        self.state = state
        self.authority = authority
        self.commit = commit
        self.outlets = Outlets(commit)
        self.on_batch: list[Callable[[Batch], None]] = []
        self.on_replay: Callable[[Replay], None] = lambda record: None
        self.on_relaxed: Callable[[], None] = lambda: None
        self._pending: list[Pending] = []
        self._replies: list[tuple[Outbox, int, bytes]] = []
        self._finishing: list[tuple[Outbox, Callable[[], None]]] = []
        self._scheduled = False
        self._media_flush_seconds = media_flush_ms / 1000
        self._media_timer: asyncio.TimerHandle | None = None  # while media has time to gather
        commit.on_advance = self._advanced

    @property
    def barrier(self) -> int:
        """What a message made now must wait for."""
        return self.state.journal.head

    @property
    def congested(self) -> bool:
        """So much waits for acknowledgement, this turn's Changes too, that nothing more may be
        asked for."""
        commit = self.commit
        return (
            self.state.journal.head - commit.level > MAX_WAITING_CHANGES
            or commit.waiting_bytes > MAX_WAITING_BYTES
        )

    @property
    def authorised(self) -> bool:
        """Whether this origin may change anything and answer anybody now."""
        return self.authority.valid(now())

    def writable(self) -> ReplicatedState:
        """The replicated state, to be changed now; raises Deposed without authority."""
        if not self.authorised:
            raise Deposed("this origin is not the active one")
        if not self._scheduled:
            self.schedule()
        return self.state

    def schedule(self) -> None:
        """Something was put into an outbox: make sure that this turn has an end."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end)

    def schedule_media(self) -> None:
        """Media was gathered: make sure that this turn has an end at which it leaves, or one that
        is `media_flush_ms` later."""
        if not self._media_flush_seconds:
            self.schedule()
        elif self._media_timer is None:
            loop = asyncio.get_running_loop()
            self._media_timer = loop.call_later(self._media_flush_seconds, self._media_gathered)

    def join(self, pending: Pending) -> None:
        """Have `pending.finish_turn()` called at the end of this turn."""
        self._pending.append(pending)
        self.schedule()

    def send(self, outbox: Outbox, msid: int, data: bytes) -> None:
        """Put a message now; it leaves at the end of the turn at the earliest."""
        outbox.put(self.state.journal.head, msid, data)
        if not self._scheduled:
            self.schedule()

    def reply(self, outbox: Outbox, msid: int, data: bytes) -> None:
        """Put a message after this turn's shared-object changes: who gets a result has seen
        what the method did."""
        self._replies.append((outbox, msid, data))
        if not self._scheduled:
            self.schedule()

    def finish(self, outbox: Outbox, on_sent: Callable[[], None]) -> None:
        """Have `on_sent` called when all that this turn has for a client has left."""
        self._finishing.append((outbox, on_sent))
        self.schedule()

    async def committed(self) -> None:
        """Wait until everything done so far may be shown."""
        await self.commit.wait(self.barrier)

    def commit_journal(self) -> None:
        """Hand the Changes made so far to the peer and the disk."""
        batch = self.state.journal.take_batch()
        if batch is None:
            return
        for take in self.on_batch:
            take(batch)
        self.commit.head_moved(batch.first_seq + batch.count - 1, len(batch.data))

    def _end(self) -> None:
        self._scheduled = False  # first: whatever fails below, the next turn has an end
        self.commit_journal()
        pending, self._pending = self._pending, []
        for one in pending:
            try:
                one.finish_turn()
            except Exception:  # a bug, and of one object: everyone else's turn goes on
                _LOG.exception("turn_not_finished")
        if self._replies:
            barrier = self.barrier
            replies, self._replies = self._replies, []
            for outbox, msid, data in replies:
                outbox.put(barrier, msid, data)
        finishing, self._finishing = self._finishing, []
        for outbox, on_sent in finishing:
            outbox.finish(on_sent)
        if self.authorised:
            self.outlets.flush(media=self._media_timer is None)

    def _media_gathered(self) -> None:
        self._media_timer = None
        self.schedule()

    def _advanced(self) -> None:
        if self.authorised:
            self.outlets.release()
        self.on_relaxed()
