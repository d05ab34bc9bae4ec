"""Telling a player that it gets less than its live stream brings, and whoever reads the log.

`NetStream.Play.InsufficientBW` is what players with several forms of a stream wait for: they go
over to a smaller one (`play2`). At most one in a period: a slow player loses pictures all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rtmp_sync.server.clock import now
from rtmp_sync.wire.constants import LEVEL_WARNING, PLAY_INSUFFICIENT_BW

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["PERIOD_SECONDS", "BehindNotice"]

PERIOD_SECONDS: Final = 10.0


class BehindNotice:
    """Of one client. Call it with a message stream whose pictures begin to be left out."""

    __slots__ = ("_again_at", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._again_at = 0.0

    def __call__(self, msid: int) -> None:
        if now() < self._again_at:
            return
        self._again_at = now() + PERIOD_SECONDS
        session = self._session
        text = "The stream comes faster than it is taken, or may be sent: pictures are left out."
        session.status(msid, LEVEL_WARNING, PLAY_INSUFFICIENT_BW, text)
        session.log.info("player_behind", dropped_frames=session.outbox.dropped_frames)
