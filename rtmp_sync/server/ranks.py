"""The way of one live stream to its players: nearly all get the same bytes at the same time.

    put ──┬─► rank of (chunk size, message stream id): encoded once and gathered; at the end of
          │   the turn, or `rtmp.media_flush_ms` later, joined once, in one write per player
          └─► players that skip something, one by one, into their outboxes at once

Always holds: what a rank has gathered is for exactly those who are in it. Whoever comes, goes,
or is to be told something on its message stream is taken out, which first puts what was
gathered into everybody's outbox, and so keeps the order of each message stream.
"""

from __future__ import annotations

from rtmp_sync.server.live_player import CSIDS, LivePlayer
from rtmp_sync.server.outbox import TRANSPORT_HIGH_WATER, Outbox
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire.chunk import encode_message

__all__ = ["Ranks"]


class _Rank:
    """Players that get the same bytes, and the messages that they have not got yet."""

    __slots__ = ("_bytes", "_gathered", "_msid", "_turn", "outboxes")

    def __init__(self, turn: Turn, msid: int) -> None:
        self._turn = turn
        self._msid = msid
        self._gathered: list[tuple[bytes, int]] = []  # (bytes, flags)
        self._bytes = 0  # of them
        self.outboxes: dict[LivePlayer, Outbox] = {}

    def put(self, data: bytes, flags: int) -> None:
        if not self._gathered:
            self._turn.outlets.gathered.append(self)
            self._bytes = 0
        self._gathered.append((data, flags))
        self._bytes += len(data)
        if self._bytes < TRANSPORT_HIGH_WATER:
            self._turn.schedule_media()
        else:  # no longer one quick write, and outboxes have limits
            self.settle()

    def write(self) -> None:
        """What was gathered leaves (`outbox.Gathering`)."""
        if self._gathered:  # else it was settled meanwhile
            messages, self._gathered = self._gathered, []
            self._turn.outlets.write_media(self.outboxes.values(), self._msid, messages)

    def settle(self) -> None:
        """What was gathered goes into the outboxes, before anything else does."""
        messages, self._gathered = self._gathered, []
        for data, flags in messages:
            for outbox in self.outboxes.values():
                outbox.put_media(self._msid, data, flags)
        if messages:
            self._turn.schedule()


class Ranks:
    """Tell a player something, or change what it wants, only between `remove` and `add`."""

    __slots__ = ("_apart", "_ranks", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._ranks: dict[tuple[int, int], _Rank] = {}
        self._apart: dict[LivePlayer, None] = {}  # those that skip something

    def add(self, player: LivePlayer) -> None:
        """It gets what is put from now on."""
        if player.is_choosy:
            self._apart[player] = None
            return
        rank = self._ranks.get(player.key)
        if rank is None:
            rank = self._ranks[player.key] = _Rank(self._turn, player.key[1])
        rank.settle()
        rank.outboxes[player] = player.outbox

    def remove(self, player: LivePlayer) -> None:
        """It has got what was put until now."""
        if player in self._apart:
            del self._apart[player]
            return
        rank = self._ranks[player.key]
        rank.settle()
        del rank.outboxes[player]
        if not rank.outboxes:
            del self._ranks[player.key]

    def settle(self) -> None:
        """Everybody has got what was put until now, and may be told something."""
        for rank in self._ranks.values():
            rank.settle()

    def put(self, type: int, flags: int, timestamp: int, payload: bytes) -> None:
        """One message of the stream; `wire.media` flags."""
        csid = CSIDS[type]
        for (chunk_size, msid), rank in self._ranks.items():
            rank.put(encode_message(type, msid, timestamp, payload, csid, chunk_size), flags)
        if not self._apart:
            return
        encoded: dict[tuple[int, int], bytes] = {}
        for player in tuple(self._apart):
            if player.skips(flags):
                continue
            key = player.key
            data = encoded.get(key)
            if data is None:
                data = encode_message(type, key[1], timestamp, payload, csid, key[0])
                encoded[key] = data
            player.outbox.put_media(key[1], data, flags)
            if not player.is_choosy:  # it has its key frame
                self.remove(player)
                self.add(player)
        if encoded:
            self._turn.schedule()
