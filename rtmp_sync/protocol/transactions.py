"""Commands of ours that wait for their answer."""

from __future__ import annotations

__all__ = ["Transactions"]


class Transactions:
    """Transaction ids given out and not answered. 1 is the one of connect."""

    def __init__(self) -> None:
        self._last = 1
        self._open: dict[int, None] = {}  # one that is empty is smaller than an empty set

    def __len__(self) -> int:
        return len(self._open)

    def begin(self) -> int:
        """A new id, above all others of this connection."""
        self._last += 1
        self._open[self._last] = None
        return self._last

    def begin_connect(self) -> int:
        """The id of connect."""
        self._open[1] = None
        return 1

    def answer(self, transaction: float) -> int | None:
        """The id of ours that an answer is for, once; None: we asked nothing under it."""
        number = int(transaction) if transaction.is_integer() else 0
        if number not in self._open:
            return None
        del self._open[number]
        return number

    def forget(self, transaction: int) -> None:
        """Nobody waits any more; a late answer is ignored."""
        self._open.pop(transaction, None)
