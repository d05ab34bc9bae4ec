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


def doing(session: Session, msid: int) -> tuple[str, str, float | None]:
    """What a message stream does now, in FMS's words, the name of the stream, and since when (wall
    time)."""
    live, recorded = session.instance.live, session.instance.recorded
    if (name := live.published_by(session, msid)) is not None:
        channel = live.channel(name)
        return PUBLISHING, name, channel.begun if channel is not None else None
    if (name := live.played_by(session, msid)) is not None:
        channel = live.channel(name)
        player = channel.players.get((session, msid)) if channel is not None else None
        return LIVE, name, player.since if player is not None else None
    if (name := recorded.played_by(session, msid)) is not None:
        return RECORDED, name, recorded.playing_since(session, msid)
    return IDLE, "", None
