"""Calls that were refused: counted for monitors, and each one a line of the log, up to a limit.

Clients choose what they call and how often. Counts are kept for names that somebody wrote down
only; of the lines at most a few per client and period are written, and one that follows says how
many were left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from structlog.stdlib import BoundLogger

from rtmp_sync.app import Client

__all__ = ["Refusals"]

PERIOD_SECONDS: Final = 10.0
LINES_OF_CLIENT: Final = 10  # in a period
LINES_OF_ALL: Final = 200
_MAX_NAME_CHARS: Final = 64


class Refusals:
    """Of one application. counts: by (user type, method, reason); reasons are `not_allowed`,
    `rate`, `running` (too many at once) and `arguments`."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._period = 0.0
        self._lines: Counter[str] = Counter()  # by client id, in this period
        self._written = 0
        self._left_out = 0

    def tell(
        self,
        log: BoundLogger,
        client: Client,
        method: str,
        reason: str,
        *,
        counted_as: tuple[str, str],
        now: float,
        detail: str = "",
    ) -> None:
        """A call was refused. now: in seconds."""
        self.counts[(*counted_as, reason)] += 1
        if now - self._period >= PERIOD_SECONDS:
            self._period = now
            self._lines.clear()
            self._written = 0
        if self._written >= LINES_OF_ALL or self._lines[client.id] >= LINES_OF_CLIENT:
            self._left_out += 1
            return
        self._lines[client.id] += 1
        self._written += 1
        more = {"detail": detail} if detail else {}
        left_out, self._left_out = self._left_out, 0
        log.warning(
            "call_refused",
            user_name=client.user_name[:_MAX_NAME_CHARS],
            user_type=client.user_type[:_MAX_NAME_CHARS],
            method=method[:_MAX_NAME_CHARS],
            reason=reason,
            **more,
            **({"left_out": left_out} if left_out else {}),
        )
