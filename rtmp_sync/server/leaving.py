"""A client that had joined its instance is gone: what the instance lets go, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtmp_sync.server.authority import Deposed

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["leave"]


def leave(session: Session) -> None:
    """Its connection has ended."""
    instance, client, sessions = session.instance, session.client, session.sessions
    session.joined = False
    sessions.access.disconnected(instance, client, session.ended)
    instance.tally.left(session.traffic)
    client.unlink()
    try:
        instance.recorded.leave(session)
        instance.live.leave(session)
        # A client with a session key releases what it does not want to find again. Of the
        # others a load balancer may have cut off those of an origin that slept.
        may_return = session.session_key is not None or sessions.instances.slept()
        instance.shared_objects.leave(session.subscriber, may_return=may_return)
        reason = "closed" if session.ended.startswith("closed") else "lost"
        sessions.instances.leave(instance, client, reason)
    except Deposed:
        pass  # the next origin has this client as an orphan
