"""The one ordered log of Changes of an origin.

seq counts Changes and never starts again: a promotion goes on from the head of the copy it
promotes, under a new history id, and remembers the old one with the seq where it ended.
That makes (epoch of the last Change, seq) a position that compares between lives of a
pair, and lets the other node continue from its own seq instead of copying everything.

Always holds: the backlog's batches are consecutive; the last one ends at `taken`; what was
appended since waits in the current turn's batch, which ends at `head`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from rtmp_sync.state.change import Change, decode_changes, encode_changes

__all__ = ["Batch", "Journal"]

BACKLOG_BYTES: Final = 16 * 1024 * 1024  # ~ what a standby misses in a few seconds of full load
BACKLOG_CHANGES: Final = 200_000
_CHANGE_OVERHEAD: Final = 32  # bytes of bookkeeping a backlog entry costs beside its data


@dataclass(frozen=True, slots=True)
class Batch:
    """The Changes of one turn: `data` is their msgpack array, made once for all readers."""

    first_seq: int
    count: int
    data: bytes

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.count - 1

    def changes(self) -> list[Change]:
        return decode_changes(self.data)

    def after(self, seq: int) -> Batch:
        """The part of this batch that follows `seq`, which must be inside it or before it."""
        if seq < self.first_seq:
            return self
        rest = self.changes()[seq - self.first_seq + 1 :]
        return Batch(seq + 1, len(rest), encode_changes(rest))


class Journal:
    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_max_bytes",
        "_max_changes",
        "_turn",
        "epoch",
        "head",
        "history_id",
        "previous",
        "taken",
    )

    def __init__(
        self, *, max_bytes: int = BACKLOG_BYTES, max_changes: int = BACKLOG_CHANGES
    ) -> None:
        self.history_id = ""  # "" until the first epoch: this copy has no history
        self.previous: tuple[str, int] | None = None
        self.epoch = 0
        self.head = 0
        self.taken = 0
        self._turn: list[Change] = []
        self._backlog: deque[Batch] = deque()
        self._backlog_bytes = 0
        self._max_bytes = max_bytes
        self._max_changes = max_changes

    @property
    def position(self) -> tuple[int, int]:
        """(epoch of the last Change, seq): the higher one is the later copy."""
        return (self.epoch, self.head)

    @property
    def backlog_start(self) -> int:
        """The lowest seq from which `since` can continue."""
        return self._backlog[0].first_seq - 1 if self._backlog else self.taken

    @property
    def backlog_bytes(self) -> int:
        return self._backlog_bytes

    def append(self, change: Change) -> int:
        """Put a Change into this turn's batch; its seq."""
        self._turn.append(change)
        self.head += 1
        return self.head

    def take_batch(self) -> Batch | None:
        """This turn's Changes as one batch, encoded once; None when there are none."""
        if not self._turn:
            return None
        batch = Batch(self.taken + 1, len(self._turn), encode_changes(self._turn))
        self._turn = []
        self._keep(batch)
        return batch

    def accept(self, batch: Batch) -> None:
        """Keep a batch made by the other node and applied here (see `ReplicatedState`)."""
        assert not self._turn, "this node has Changes of its own"
        self._keep(batch)

    def start_epoch(self, epoch: int, history_id: str) -> None:
        """The Change at `head` starts an epoch: the old history ended just before it."""
        if self.history_id:
            self.previous = (self.history_id, self.head - 1)
        self.history_id = history_id
        self.epoch = epoch

    def restart(
        self, *, history_id: str, previous: tuple[str, int] | None, epoch: int, head: int
    ) -> None:
        """Become the journal of a copy that was just loaded: no backlog before its cut."""
        self.history_id = history_id
        self.previous = previous
        self.epoch = epoch
        self.head = self.taken = head
        self._turn = []
        self.drop_backlog()

    def since(self, history_id: str, seq: int) -> list[Batch] | None:
        """The taken batches after `seq` of that history; None when only a full copy will do."""
        if history_id == self.history_id:
            end = self.taken
        elif self.previous is not None and history_id == self.previous[0]:
            end = self.previous[1]
        else:
            return None
        if not history_id or not self.backlog_start <= seq <= end:
            return None
        found: list[Batch] = []
        for batch in reversed(self._backlog):
            if batch.last_seq <= seq:
                break
            found.append(batch.after(seq))
        found.reverse()
        return found

    def drop_backlog(self) -> None:
        """Forget everything but the position: the next resync copies everything."""
        self._backlog.clear()
        self._backlog_bytes = 0

    def _keep(self, batch: Batch) -> None:
        self._backlog.append(batch)
        self._backlog_bytes += len(batch.data) + _CHANGE_OVERHEAD
        self.taken = batch.last_seq
        while self._backlog and (
            self._backlog_bytes > self._max_bytes
            or self.taken - self.backlog_start > self._max_changes
        ):
            gone = self._backlog.popleft()
            self._backlog_bytes -= len(gone.data) + _CHANGE_OVERHEAD
