"""Recorded streams being played: each player at its own place, ahead by its buffer's length."""

from __future__ import annotations

from collections.abc import Callable

from rtmp_sync.server.peer_stream import StreamPeer
from rtmp_sync.server.recorded_player import RecordedPlayer, Request
from rtmp_sync.server.turn import Turn

__all__ = ["RecordedStreams"]


class RecordedStreams:
    """Of one instance."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._players: dict[tuple[StreamPeer, int], RecordedPlayer] = {}
        self._buffers_ms: dict[tuple[StreamPeer, int], int] = {}  # as told, before playing too
        self._msids: dict[StreamPeer, set[int]] = {}  # of both

    def play(
        self, peer: StreamPeer, msid: int, request: Request, reset: int, *, waits: bool = False
    ) -> None:
        """Play now, or after what plays already. waits: for another that does not."""
        player = self._players.get((peer, msid))
        if player is not None and not reset & 1 and player.append(request, waits=waits):
            return
        self.stop(peer, msid)
        player = RecordedPlayer(self._turn, peer, msid, request, reset=bool(reset & 1), waits=waits)
        self._players[peer, msid] = player
        self._msids.setdefault(peer, set()).add(msid)
        if (ms := self._buffers_ms.get((peer, msid))) is not None:
            player.set_buffer(ms)

    def lead_on(self, peer: StreamPeer, msid: int, begin: Callable[[], None]) -> bool:
        """Have `begin` called after what plays and what is appended to it; False: nothing plays."""
        player = self._players.get((peer, msid))
        return player is not None and player.lead_on(begin)

    def leads_on(self, peer: StreamPeer, msid: int) -> bool:
        """Whether something is called then, so that nothing more is appended."""
        player = self._players.get((peer, msid))
        return player is not None and player.leads_on

    def switch(self, peer: StreamPeer, msid: int, request: Request, offset_ms: int | None) -> bool:
        """Go over to the same content in another form, see `RecordedPlayer.switch`."""
        return self._players[peer, msid].switch(request, offset_ms)

    def swap(self, peer: StreamPeer, msid: int, request: Request, old_name: str) -> None:
        """Play something else in place of one in the playlist, see `RecordedPlayer.swap`."""
        self._players[peer, msid].swap(request, old_name)

    def is_playing(self, peer: StreamPeer, msid: int) -> bool:
        """Whether a recording is played there, or was and may be sought."""
        return (peer, msid) in self._players

    def played_by(self, peer: StreamPeer, msid: int) -> str | None:
        """The name of what a message stream plays."""
        player = self._players.get((peer, msid))
        return player.name if player is not None else None

    def playing_since(self, peer: StreamPeer, msid: int) -> float | None:
        """Wall time at which it began."""
        player = self._players.get((peer, msid))
        return player.since if player is not None else None

    def pause(self, peer: StreamPeer, msid: int, paused: bool) -> None:
        """Nothing is sent while a player is paused."""
        self._players[peer, msid].pause(paused)

    def seek(self, peer: StreamPeer, msid: int, ms: float) -> None:
        """Go on from there."""
        self._players[peer, msid].seek(ms)

    def want(self, peer: StreamPeer, msid: int, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        self._players[peer, msid].want(kind, wanted)

    def set_buffer(self, peer: StreamPeer, msid: int, ms: int) -> None:
        """How far ahead of time a player takes what is sent, for all that its stream plays."""
        if msid in peer.connection.streams:
            self._buffers_ms[peer, msid] = ms
            self._msids.setdefault(peer, set()).add(msid)
        player = self._players.get((peer, msid))
        if player is not None:
            player.set_buffer(ms)

    def stop(self, peer: StreamPeer, msid: int) -> None:
        """A message stream plays no recording any more."""
        player = self._players.pop((peer, msid), None)
        if player is not None:
            player.stop()

    def leave(self, peer: StreamPeer) -> None:
        """A connection is gone."""
        for msid in self._msids.pop(peer, ()):
            self.stop(peer, msid)
            self._buffers_ms.pop((peer, msid), None)
