"""Source: feeds one standby with this node's copy.

    SYNC_REQ -> SYNC_CONT, backlog            the standby's copy can be continued
             -> SYNC_FULL, chunks, SNAP_END   it can't
             -> what happened meanwhile       while the standby catches up
             -> DELTA per turn                live

`send_batch` is called for every turn; what can't leave yet waits here. Bulk (snapshot and
backlog) leaves by `send_bulk`, one piece a call, as the host's write buffer allows, so that
it never stands before a heartbeat.

What happens during a copy and until it was caught up with waits here, beside the backlog, which
may be too short for it: at most 64 MiB or a quarter of the copy, whichever is more. A standby
that needs more is given up (`overloaded`) and begins again when it returns. A copy is counted
again while it is sent, and its end tells the digest of what was really there: memory that was
changed behind the digest's back is found by it, and never makes a copy fail.

Always holds: what was sent ends at `sent`, without a gap; acked <= sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from rtmp_sync.state.change import encode_changes
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import Snapshot
from rtmp_sync.wire.records import (
    Ack,
    Delta,
    DigestRequest,
    DigestResponse,
    Record,
    SnapshotChunk,
    SnapshotEnd,
    SyncContinue,
    SyncFull,
    SyncRequest,
)
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["Feeding", "Source"]

MAX_WAITING_BYTES: Final = 64 * 1024 * 1024  # a few seconds of all that an origin can take
_MAX_DELTA_BYTES: Final = 1024 * 1024 - 1024  # a message, less its envelope
_MAX_LAG: Final = 4096  # Changes that may wait for acks; fewer is "caught up"


class Feeding(Enum):
    IDLE = "idle"
    COPYING = "copying"
    CATCHING_UP = "catching up"
    LIVE = "live"


class Source:
    """`send` puts a record on the link; `compared` hears the outcome of `compare_digests`."""

    def __init__(self, state: ReplicatedState, send: Callable[[Record], None]) -> None:
        self._state = state
        self._send = send
        self.feeding = Feeding.IDLE
        self.sent = 0
        self.acked = 0
        self.full_copies = 0
        self.partial_copies = 0
        self.ack_seconds = 0.0  # how long the last acknowledgement took
        self.overloaded = False
        self.on_compared: Callable[[bool], None] = lambda agrees: None
        self.on_corrected: Callable[[list[str]], None] = lambda entries: None
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._unacked: deque[tuple[int, float]] = deque()  # (last seq, when it was sent)
        self._answered = False  # whether it acknowledged anything since its request
        self._snapshot: Snapshot | None = None
        self._request_id = 0
        self._chunks: Iterator[bytes] = iter(())
        self._chunk_count = 0
        self._copied_bytes = 0
        self._compare_wanted = False
        self._compared: tuple[int, bytes] | None = None  # seq, my digest there

    @property
    def oldest_unacked_at(self) -> float | None:
        """When the oldest live DELTA without an ACK was sent."""
        return self._unacked[0][1] if self._unacked else None

    @property
    def caught_up(self) -> bool:
        """The standby follows turn by turn, with no more in flight than turns in flight."""
        return (
            self.feeding is Feeding.LIVE
            and self._answered
            and self._state.journal.head - self.acked <= _MAX_LAG
        )

    @property
    def copying(self) -> bool:
        """Whether the next piece of bulk is one of a whole copy."""
        return self.feeding is Feeding.COPYING

    @property
    def has_bulk(self) -> bool:
        """Whether `send_bulk` has something to send."""
        return self.feeding is Feeding.COPYING or self.feeding is Feeding.CATCHING_UP

    def receive_request(self, request: SyncRequest, *, full: bool = False) -> bool:
        """Begin to feed a standby that has `request`; whether a part was enough.

        full: copy everything, though a part might be enough.
        """
        self._end_feeding()
        self._request_id = request.request_id
        batches = self._state.journal.since(request.history_id, request.seq)
        if batches is None or full:
            self._begin_full()
            return False
        self.partial_copies += 1
        self.sent = request.seq
        self._waiting.extend(batches)
        self._waiting_bytes = sum(len(batch.data) for batch in batches)
        self._send(SyncContinue(self._request_id, self._state.journal.history_id, request.seq + 1))
        self._catch_up()
        return True

    def send_batch(self, batch: Batch, now: float) -> None:
        """This turn's Changes."""
        if self.feeding is Feeding.LIVE:
            self._send_delta(batch)
            self._unacked.append((batch.last_seq, now))
            self._ask_digest()
        elif self.feeding is not Feeding.IDLE:
            self._waiting.append(batch)
            self._waiting_bytes += len(batch.data)
            most = max(MAX_WAITING_BYTES, self._copied_bytes // 4)
            self.overloaded = self._waiting_bytes > most

    def send_bulk(self) -> bool:
        """Send the next piece of bulk; False when there is none (any more)."""
        if self.feeding is Feeding.COPYING:
            self._send_chunk()
        elif self.feeding is Feeding.CATCHING_UP:
            batch = self._waiting.popleft()
            self._waiting_bytes -= len(batch.data)
            self._send_delta(batch)
            self._catch_up()
        return self.has_bulk

    def receive_ack(self, ack: Ack, now: float) -> None:
        """Raises LinkRefused for more than was sent."""
        if self.feeding is Feeding.IDLE:
            return  # it was on its way when this node stopped feeding
        if ack.applied_seq > self.sent:
            text = f"ACK of {ack.applied_seq}, sent {self.sent}"
            raise LinkRefused(Reason.ACK_BEYOND, text)
        self.acked = max(self.acked, ack.applied_seq)
        self._answered = True
        unacked = self._unacked
        while unacked and unacked[0][0] <= self.acked:
            self.ack_seconds = now - unacked.popleft()[1]

    def compare_digests(self) -> None:
        """Ask the standby for its digest at the journal's head; `on_compared` hears of it.

        A standby that still catches up is asked when it has; False means that the copies
        differ, or that this source ended.
        """
        self._compare_wanted = True
        self._ask_digest()

    def receive_digest(self, response: DigestResponse) -> None:
        if self._compared is None or response.seq != self._compared[0]:
            return
        mine = self._compared[1]
        self._compared = None
        if response.digest:
            self.on_compared(response.digest == mine)
        else:
            self.compare_digests()

    def stop(self) -> None:
        """Feed nobody: the link is gone, or this node serves no longer."""
        self._end_feeding()
        if self._compare_wanted:
            self._compare_wanted = False
            self.on_compared(False)

    def _end_feeding(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None
        self.feeding = Feeding.IDLE
        self.sent = self.acked = 0
        self.overloaded = self._answered = False
        self._chunks = iter(())
        self._waiting.clear()
        self._waiting_bytes = self._copied_bytes = 0
        self._unacked.clear()
        if self._compared is not None:  # it is asked again when it can answer
            self._compared = None
            self._compare_wanted = True

    def _begin_full(self) -> None:
        self.full_copies += 1
        self._snapshot = self._state.snapshot()
        self._chunks = self._snapshot.chunks()
        self._chunk_count = 0
        header = self._snapshot.header
        previous_id, previous_end = header.previous or ("", 0)
        self.sent = header.cut_seq
        self.feeding = Feeding.COPYING
        self._send(
            SyncFull(
                self._request_id,
                header.history_id,
                previous_id,
                previous_end,
                header.epoch,
                header.cut_seq,
                header.objects,
                header.forgotten_highest,
                header.digest,
            )
        )

    def _send_chunk(self) -> None:
        snapshot = self._snapshot
        assert snapshot is not None
        chunk = next(self._chunks, None)
        if chunk is not None:
            self._send(SnapshotChunk(self._request_id, self._chunk_count, chunk))
            self._chunk_count += 1
            self._copied_bytes += len(chunk)
            return
        self._send(SnapshotEnd(self._request_id, self._chunk_count, snapshot.digest))
        snapshot.close()
        if snapshot.digest != snapshot.header.digest:
            self.on_corrected(self._state.correct(snapshot))
        self._snapshot = None
        self._catch_up()

    def _catch_up(self) -> None:
        """What waits comes first; the standby's ACK of the last of it follows in any case."""
        self.feeding = Feeding.CATCHING_UP if self._waiting else Feeding.LIVE
        self._ask_digest()

    def _send_delta(self, batch: Batch) -> None:
        """Send what of a batch is after `sent`: a snapshot may have been cut inside it."""
        if batch.first_seq <= self.sent:
            batch = batch.after(self.sent)
        if batch.count:
            for part in _parts(batch):
                self._send(Delta(part.first_seq, part.data))
            self.sent = batch.last_seq

    def _ask_digest(self) -> None:
        """If wanted: between two turns, when all there is was sent, both sides stand there."""
        live = self.feeding is Feeding.LIVE
        if self._compare_wanted and live and self.sent == self._state.journal.head:
            self._compare_wanted = False
            self._compared = (self.sent, self._state.digest())
            self._send(DigestRequest(self.sent))


def _parts(batch: Batch) -> Iterator[Batch]:
    """The batch in parts that fit into messages; nearly always itself."""
    if len(batch.data) <= _MAX_DELTA_BYTES:
        yield batch
        return
    changes = batch.changes()
    start = 0
    while start < len(changes):
        end = start + 1
        size = len(encode_changes(changes[start:end]))
        while end < len(changes):
            size += len(encode_changes(changes[end : end + 1]))
            if size > _MAX_DELTA_BYTES:
                break
            end += 1
        yield Batch(batch.first_seq + start, end - start, encode_changes(changes[start:end]))
        start = end
