"""What operators ask of a node: one command at a time, or an edit of the pair file."""

from __future__ import annotations

from rtmp_sync.cluster.view import HAND_EDIT, Request

__all__ = ["Wishes"]


class Wishes:
    """An edit of the line stays a wish until the line says otherwise."""

    def __init__(self) -> None:
        self._command: Request | None = None
        self._edit: Request | None = None

    @property
    def current(self) -> Request | None:
        """What the failover table looks at."""
        return self._command or self._edit

    def command(
        self,
        kind: str,
        by: str,
        now: float,
        reason: str = "",
        drain_seconds: float | None = None,
    ) -> bool:
        """False: another command is under way."""
        if self._command is not None:
            return False
        self._command = Request(kind, by, now, reason, drain_seconds)
        return True

    def settle(self) -> None:
        """The command was answered, or nobody waits for the answer any more."""
        self._command = None

    def note_edit(self, wished: bool, now: float) -> bool:
        """Whether the line wishes another holder; True when that is news."""
        news = wished and self._edit is None
        if not wished:
            self._edit = None
        elif self._edit is None:
            self._edit = Request("switchover", HAND_EDIT, now)
        return news
