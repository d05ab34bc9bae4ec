"""The writes of one slot, by its only writer: what a look at the slot may show."""

from __future__ import annotations

from collections import deque

KEPT = 64  # a read that began before so many later writes of the slot is not judged exactly


class SlotWrites:
    """Numbers that only grow; a write of each sets the slot to its number, or deletes it."""

    def __init__(self) -> None:
        self._writes: deque[tuple[int, bool]] = deque(maxlen=KEPT)  # (number, deletes)

    def sent(self, number: int, *, deletes: bool = False) -> None:
        """The writer asks for this write, whatever comes of it."""
        self._writes.append((number, deletes))

    def was_sent(self, number: int) -> bool:
        """Whether the slot was ever to be set to this number, as far as is remembered."""
        if len(self._writes) == KEPT and number < self._writes[0][0]:
            return True
        return (number, False) in self._writes

    def deleted_since(self, number: int) -> int | None:
        """The first delete that is not before `number`; None: there is none."""
        return next((at for at, deletes in self._writes if deletes and at >= number), None)
