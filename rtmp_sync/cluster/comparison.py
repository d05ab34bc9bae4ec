"""The comparison of the two copies: one question at a time, and whose answer counts.

An answer belongs to the link that its question was asked on, and to the last question: one
that was asked before somebody wanted to know again says nothing about now.
"""

from __future__ import annotations

__all__ = ["Comparison"]


class Comparison:
    """`agrees` is the answer; None while there is none."""

    def __init__(self, interval_seconds: float, now: float) -> None:
        self.agrees: bool | None = None
        self._interval_seconds = interval_seconds
        self._asked_at = now
        self._wanted = False
        self._asking = False
        self._question = 0

    def want(self) -> None:
        """Somebody needs to know how it is from now on."""
        self.agrees = None
        self._wanted = True

    def due(self, now: float) -> bool:
        """Nobody has asked for so long that it is time to look."""
        return not self._asking and now - self._asked_at > self._interval_seconds

    def begin(self, now: float) -> int | None:
        """The question to be asked now, if one is; `answered` must follow."""
        if not self._wanted or self._asking:
            return None
        self._wanted, self._asking, self._asked_at = False, True, now
        self._question += 1
        return self._question

    def answered(self, question: int, agrees: bool) -> bool:
        """Whether this answer counts."""
        if question != self._question:
            return False
        self._asking = False
        if not self._wanted:
            self.agrees = agrees
        return not self._wanted

    def forget(self) -> None:
        """Another link, or another copy: what was asked before is of no interest."""
        self.agrees = None
        self._wanted = self._asking = False
        self._question += 1
