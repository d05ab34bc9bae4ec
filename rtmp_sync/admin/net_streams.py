"""The message streams of clients, as an administrator knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["IDLE", "LIVE", "PUBLISHING", "RECORDED", "doing", "stream_id"]

# FMS's words
IDLE = "idle"
PUBLISHING = "publishing"
LIVE = "playing live"
RECORDED = "playing recorded"


def stream_id(session: Session, msid: int) -> str:
    """Unique in the pair: the client's id, then the id of its message stream."""
    return f"{session.client.id}-{msid}"


def doing(session: Session, msid: int) -> tuple[str, str]:
    """What a message stream does now, in FMS's words, and the name of the stream."""
    instance = session.instance
    if (name := instance.live.published_by(session, msid)) is not None:
        return PUBLISHING, name
    if (name := instance.live.played_by(session, msid)) is not None:
        return LIVE, name
    if (name := instance.recorded.played_by(session, msid)) is not None:
        return RECORDED, name
    return IDLE, ""
