"""What the message streams of one connection do, seen from the server.

    state        on publish        on play           on close     on media
    idle         publishing        playing           idle         dropped
    publishing   closed, again     closed, playing   idle         taken
    playing      closed, publish.  playing           idle         dropped

Driven by the peer's commands, and by the host when it refuses a request (`stop`). Always
holds: a stream publishes or plays, never both; media of a stream that does not publish goes
nowhere. A publish over a publish closes the first; a play over a play is a playlist.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtmp_sync.errors import LocalProtocolError

__all__ = ["IDLE", "PLAYING", "PUBLISHING", "StreamTable"]

IDLE = "idle"
PUBLISHING = "publishing"
PLAYING = "playing"

PUBLISH = "publish"
PLAY = "play"
CLOSE = "close"

# (state, what the peer did) -> (new state, whether what it did before ends by this)
_NEXT: dict[tuple[str, str], tuple[str, bool]] = {
    (IDLE, PUBLISH): (PUBLISHING, False),
    (IDLE, PLAY): (PLAYING, False),
    (IDLE, CLOSE): (IDLE, False),
    (PUBLISHING, PUBLISH): (PUBLISHING, True),
    (PUBLISHING, PLAY): (PLAYING, True),
    (PUBLISHING, CLOSE): (IDLE, True),
    (PLAYING, PUBLISH): (PUBLISHING, True),
    (PLAYING, PLAY): (PLAYING, False),
    (PLAYING, CLOSE): (IDLE, True),
}


class StreamTable:
    """Message stream ids from 1 and their states. Ids of deleted streams are used again."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._states: dict[int, str] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._states))

    def __contains__(self, msid: int) -> bool:
        return msid in self._states

    def __len__(self) -> int:
        return len(self._states)

    @property
    def full(self) -> bool:
        return len(self._states) >= self._max_streams

    def doing(self, msid: int) -> str:
        """IDLE, PUBLISHING or PLAYING; IDLE as well for an id that does not exist."""
        return self._states.get(msid, IDLE)

    def create(self) -> int:
        """The lowest free id, idle. LocalProtocolError when the table is full."""
        if self.full:
            raise LocalProtocolError(f"all {self._max_streams} message streams are in use")
        msid = 1
        while msid in self._states:
            msid += 1
        self._states[msid] = IDLE
        return msid

    def delete(self, msid: int) -> str | None:
        """Free an id; what the stream did, None if there is none."""
        return self._states.pop(msid, None)

    def step(self, msid: int, act: str) -> str | None:
        """PUBLISH, PLAY or CLOSE an existing stream; what it did before if that ends now."""
        before = self._states[msid]
        self._states[msid], ends = _NEXT[before, act]
        return before if ends else None

    def stop(self, msid: int) -> None:
        """The host refused or ended what the stream does: it is idle."""
        if msid in self._states:
            self._states[msid] = IDLE
