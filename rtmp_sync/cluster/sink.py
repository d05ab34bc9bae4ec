"""Sink: keeps this node's copy the same as the active's.

    request   -> SYNC_REQ
    SYNC_CONT -> the copy goes on where it is
    SYNC_FULL -> a copy is built beside it from the chunks; it takes its place when its digest
                 is right, and until then the old one stays what it was
    DELTA     -> applied, whole or not at all; acknowledged at the end of the turn

What only the old copy has, because the pair went on without it, is handed out first: the new
one is held until the host has saved that (`release_held`).

Regression guard: a snapshot whose position is below this copy's is refused, unless the
record names its sender as the holder of its epoch. So a node that restarted empty cannot
wipe the pair, and a tail that nobody has any more cannot block it either.

Always holds: an acknowledged seq is in the copy that is in use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import SnapshotHeader
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from rtmp_sync.wire.records import (
    Ack,
    Delta,
    DigestRequest,
    DigestResponse,
    Record,
    Replay,
    SnapshotChunk,
    SnapshotEnd,
    SyncContinue,
    SyncFull,
    SyncRequest,
)
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["DivergentTail", "Following", "Sink"]


class Following(Enum):
    IDLE = "idle"
    REQUESTED = "requested"
    LOADING = "loading"
    HOLDING = "holding"  # the new copy is complete; what only the old one has is being saved
    REFUSED = "refused"  # the peer's copy is older than mine, and no record says it is right
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class DivergentTail:
    """What this copy had that the pair never will: from before the epoch it now joins."""

    epoch: int
    batches: list[Batch]


@dataclass(slots=True)
class SinkEvents:
    """What came of the records since the last look."""

    applied: list[Batch] = field(default_factory=list)
    divergent: list[DivergentTail] = field(default_factory=list)
    installed: bool = False
    refused: SnapshotHeader | None = None
    replays: list[Replay] = field(default_factory=list)


class Sink:
    """`send` puts a record on the link."""

    def __init__(self, state: ReplicatedState, send: Callable[[Record], None]) -> None:
        self._state = state
        self._send = send
        self.following = Following.IDLE
        self.epoch = 0  # of the node that is followed
        self.full_copies = 0
        self.partial_copies = 0
        # Heads of the active's journal that this copy lacks, and when they were heard of.
        self._lacking: deque[tuple[int, float]] = deque()
        self._events = SinkEvents()
        self._loader: SnapshotLoader | None = None
        self._held: ReplicatedState | None = None
        self._held_records: list[Delta | DigestRequest | Replay] = []
        self._request_id = 0
        self._next_chunk = 0
        self._copied_to = 0  # by the whole copy that was asked for last
        self._ack_due = False
        self._digest_asked: int | None = None

    @property
    def lag_changes(self) -> int:
        """Changes that the active has and this copy has not, as far as heard."""
        heard = self._lacking[-1][0] if self._lacking else 0
        return max(0, heard - self._state.journal.head)

    def lag_seconds(self, now: float) -> float:
        """Age of the oldest Change that is missing here."""
        return now - self._lacking[0][1] if self._lacking else 0.0

    @property
    def in_sync(self) -> bool:
        """The copy is complete and has everything that is known to exist."""
        return self.following is Following.LIVE and not self.lag_changes

    def request(self, epoch: int) -> None:
        """Ask the peer, which serves in `epoch`, for what this copy lacks."""
        journal = self._state.journal
        batch = journal.take_batch()  # a deposed node's last turn: part of its tail
        if batch is not None:
            self._events.applied.append(batch)
        self.stop()
        self.epoch = epoch
        self.following = Following.REQUESTED
        self._copied_to = 0
        self._request_id += 1
        self._send(
            SyncRequest(self._request_id, journal.history_id or "?", journal.epoch, journal.head)
        )

    def stop(self) -> None:
        """Follow nobody; the copy stays what it is."""
        self.following = Following.IDLE
        self._loader = self._held = None
        self._held_records.clear()
        self._lacking.clear()
        self._ack_due = False
        self._digest_asked = None

    def receive_continue(self, record: SyncContinue) -> None:
        if record.request_id != self._request_id:
            return  # the answer to an earlier request
        journal = self._state.journal
        if self.following is not Following.REQUESTED or record.from_seq != journal.head + 1:
            raise RemoteProtocolError(f"SYNC_CONT from {record.from_seq} at {journal.head}")
        self._state.temporary_stale = False  # it is the active's copy now, however old
        self.partial_copies += 1
        self.following = Following.LIVE
        self._ack_due = True

    def receive_full(self, record: SyncFull, *, confirmed: bool) -> None:
        """confirmed: the record names the sender as holder of its epoch."""
        if record.request_id != self._request_id:
            return
        if self.following is not Following.REQUESTED:
            raise RemoteProtocolError("SYNC_FULL without a request")
        previous = (record.previous_id, record.previous_end) if record.previous_id else None
        header = SnapshotHeader(
            record.history_id,
            previous,
            record.copy_epoch,
            record.cut_seq,
            record.objects,
            record.forgotten_highest,
            record.digest,
        )
        if header.position < self._state.journal.position and not confirmed:
            self.following = Following.REFUSED
            self._events.refused = header
            return
        self._loader = SnapshotLoader(header)
        self._next_chunk = 0
        self.following = Following.LOADING

    def receive_chunk(self, record: SnapshotChunk) -> None:
        if self._ignores(record.request_id):
            return
        if self._loader is None or record.number != self._next_chunk:
            raise RemoteProtocolError(f"unexpected chunk {record.number}")
        self._next_chunk += 1
        self._loader.feed(record.data)

    def receive_end(self, record: SnapshotEnd) -> None:
        if self._ignores(record.request_id):
            return
        loader = self._loader
        if loader is None or record.chunks != self._next_chunk:
            raise RemoteProtocolError("unexpected end of a snapshot")
        copy = loader.finish(record.digest)
        self._loader = None
        tail = self._divergent_tail(loader.header)
        if tail is None:
            self._install(copy)
            return
        self._held = copy
        self.following = Following.HOLDING
        self._events.divergent.append(tail)

    def release_held(self, now: float) -> None:
        """The tail was saved: take the copy that waits for it, if there is one."""
        copy, self._held = self._held, None
        if copy is None:
            return
        self._install(copy)
        records = list(self._held_records)
        self._held_records.clear()
        for record in records:
            if isinstance(record, Delta):
                self.receive_delta(record, now)
            elif isinstance(record, Replay):
                self.receive_replay(record)
            else:
                self.receive_digest_request(record)

    def receive_delta(self, record: Delta, now: float) -> None:
        if self._ignores(self._request_id) or self.following is Following.REQUESTED:
            return
        if self.following is Following.HOLDING:
            self._held_records.append(record)
            return
        if self.following is not Following.LIVE:
            raise RemoteProtocolError("DELTA without a copy to apply it to")
        if record.first_seq <= self._copied_to:
            return  # sent before the copy, which came by a faster lane
        batch = self._state.apply_batch(record.first_seq, record.changes)
        self._events.applied.append(batch)
        self._ack_due = True
        self.hear_head(batch.last_seq, now)
        self._answer_digest()

    def hear_head(self, seq: int, now: float) -> None:
        """The active's journal has reached `seq`."""
        lacking, head = self._lacking, self._state.journal.head
        if seq > (lacking[-1][0] if lacking else head):
            lacking.append((seq, now))
        while lacking and lacking[0][0] <= head:
            lacking.popleft()

    def receive_replay(self, record: Replay) -> None:
        if self.following is Following.HOLDING:
            self._held_records.append(record)
        if self.following is not Following.LIVE:
            return  # it ran in the life of a copy that is not here
        if record.seq > self._state.journal.head:
            text = f"Replay of {record.seq} at {self._state.journal.head}"
            raise LinkRefused(Reason.OUT_OF_TURN, text)
        self._events.replays.append(record)

    def receive_digest_request(self, record: DigestRequest) -> None:
        if self.following is Following.HOLDING:
            self._held_records.append(record)
        if self.following is not Following.LIVE:
            return
        self._digest_asked = record.seq
        self._answer_digest()

    def end_turn(self) -> None:
        """Acknowledge what this turn applied."""
        if self._ack_due:
            self._ack_due = False
            self._send(Ack(self._state.journal.head))

    def take_events(self) -> SinkEvents:
        """What happened since the last call."""
        events = self._events
        self._events = SinkEvents()
        return events

    def _install(self, copy: ReplicatedState) -> None:
        self._state.install(copy)
        self._copied_to = self._state.journal.head
        self._events.installed = True
        self.full_copies += 1
        self.following = Following.LIVE
        self._ack_due = True

    def _ignores(self, request_id: int) -> bool:
        """What answers an earlier request, or goes on though it was refused."""
        return request_id != self._request_id or self.following is Following.REFUSED

    def _answer_digest(self) -> None:
        head = self._state.journal.head
        if self._digest_asked is None or head < self._digest_asked:
            return
        digest = self._state.digest() if head == self._digest_asked else b""
        self._send(DigestResponse(self._digest_asked, digest))
        self._digest_asked = None

    def _divergent_tail(self, header: SnapshotHeader) -> DivergentTail | None:
        """My Changes after the point where the sender's history left mine."""
        journal = self._state.journal
        if header.previous is not None and journal.history_id == header.previous[0]:
            shared = header.previous[1]
        elif journal.history_id == header.history_id:
            shared = header.cut_seq
        else:
            shared = journal.backlog_start  # unknown: keep all there is
        batches = journal.since(journal.history_id, max(shared, journal.backlog_start))
        return DivergentTail(journal.epoch, batches) if batches else None
