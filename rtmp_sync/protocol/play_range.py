"""What part of what kind of stream `play` and `play2` ask for: one rule for both.

    start      -2, nothing, any other below 0   what is live, else the recording, else wait
               -1                               what is live, now or later
               from 0 on                        the recording from there
    duration   below 0, nothing                 all of it
               0                                one picture
               above 0                          so much

`play` counts in milliseconds: the specification says seconds, but Flash Player, librtmp and
FFmpeg multiply by 1000, sentinels included. The options of `play2` are sent as the application
wrote them, in seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["PlayRange", "PlaySource"]


class PlaySource(enum.Enum):
    """Where a stream may come from."""

    ANY = "any"
    LIVE = "live"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class PlayRange:
    """start_ms: of a recording. duration_ms: None for all of it, 0 for one picture."""

    source: PlaySource
    start_ms: int
    duration_ms: int | None

    @classmethod
    def of(cls, start: float, duration: float, unit_ms: float = 1.0) -> PlayRange:
        """start, duration: as they came, in units of so many milliseconds."""
        if start in (-1.0, -1000.0):
            source = PlaySource.LIVE
        else:
            source = PlaySource.ANY if start < 0 else PlaySource.RECORDED
        start_ms = int(start * unit_ms) if start > 0 else 0
        return cls(source, start_ms, int(duration * unit_ms) if duration >= 0 else None)
