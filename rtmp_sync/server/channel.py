"""A stream name: what is kept of it, who publishes it, who plays it, who else hears it.

A message is classified once; how it reaches the players is told in `ranks.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from rtmp_sync.server.live_player import LivePlayer
from rtmp_sync.server.peer_stream import StreamPeer
from rtmp_sync.server.ranks import Ranks
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveMessage, LiveStream
from rtmp_sync.storage.recorder import Recorder
from rtmp_sync.storage.segment import metadata_of
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import (
    DATA,
    LEVEL_STATUS,
    PLAY_PUBLISH_NOTIFY,
    PLAY_UNPUBLISH_NOTIFY,
    PUBLISH_START,
    STREAM_BEGIN,
    STREAM_EOF,
    UNPUBLISH_SUCCESS,
)
from rtmp_sync.wire.messages import CLEAR_DATA_FRAME, data_name, split_data

__all__ = ["Channel", "Publisher", "Status", "Tap"]

Status = Callable[[str, str, str], None]
"""Told (code, description, level) of what becomes of a stream."""

# What comes before frames, and at 0 whatever the time of those.
_CONFIGURATION: Final = media.SEQUENCE_HEADER | media.METADATA | media.EMPTY


class Publisher(Protocol):
    """Who publishes. gone: its connection has ended, though nobody has said so here yet."""

    @property
    def id(self) -> str: ...

    @property
    def gone(self) -> bool: ...

    def status(self, code: str, description: str, level: str = LEVEL_STATUS) -> None: ...


class Tap(Protocol):
    """Hears a stream without being an RTMP player. Called in the loop of the players: it must
    not wait, and not raise."""

    def begin(self) -> None:
        """Somebody publishes, now or from now on."""

    def hear(self, message: LiveMessage) -> None:
        """A message; the first ones are those that a late joiner needs, and video begins with a
        key frame."""

    def end(self) -> None:
        """The stream is not published any more; it may begin again."""


class _Listener:
    """A tap, and whether it can make use of a picture yet."""

    __slots__ = ("passes_on", "tap", "waits_for_key")

    def __init__(self, tap: Tap, passes_on: bool) -> None:
        self.tap = tap
        self.passes_on = passes_on
        self.waits_for_key = True

    def hear(self, message: LiveMessage) -> None:
        if self.waits_for_key:
            if message.flags & media.DROPPABLE:
                return
            if message.flags & media.KEY_FRAME:
                self.waits_for_key = False
        self.tap.hear(message)


class Channel:
    """begun: when it was published, in wall time. bytes_in, messages_in: of the publisher, since
    then. expected: another origin had its publisher, and what it showed last is shown here until
    that one is back."""

    __slots__ = ("_last", "_listeners", "_offset", "_ranks", "begun", "bytes_in", "expected",
                 "messages_in", "on_recorded", "players", "publisher", "recorder",
                 "stream")  # fmt: skip

    def __init__(self, turn: Turn, stream: LiveStream, *, expected: bool = False) -> None:
        self.stream = stream
        self.expected = expected
        self.publisher: Publisher | None = None
        self.players: dict[tuple[StreamPeer, int], LivePlayer] = {}
        self.recorder: Recorder | None = None
        self.on_recorded: Status = lambda code, description, level: None
        self.begun = 0.0
        self.bytes_in = 0
        self.messages_in = 0
        self._ranks = Ranks(turn)
        self._listeners: list[_Listener] = []  # replaced, not changed: hearing may make one go
        self._last = stream.timestamp  # of the last message
        self._offset: int | None = 0  # of this publisher's timestamps; None: by its first frame

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def listeners(self) -> int:
        """How many hear it without being RTMP players."""
        return len(self._listeners)

    @property
    def idle(self) -> bool:
        """Whether nobody needs it."""
        used = self.publisher is not None or self.players or self._listeners
        return not (used or self.expected)

    @property
    def audience(self) -> int:
        """How many play it or hear it, without those that only pass it on."""
        return len(self.players) + sum(not one.passes_on for one in self._listeners)

    # Publishing

    def begin(self, publisher: Publisher, *, continues: bool) -> None:
        """A publisher comes, perhaps to go on with what was published before."""
        followed = self.players or self._listeners
        self._offset = None if continues and followed else 0
        self.expected = False
        self.publisher = publisher
        self.begun = time.time()
        self.bytes_in = self.messages_in = 0
        self.stream.start(publisher.id)
        publisher.status(PUBLISH_START, f"{self.name} is now published.")

    def announce(self) -> None:
        """Tell who waits that the stream has begun."""
        for player in self.players.values():
            self._ranks.remove(player)
            player.waits_for_key = True
            player.to.signal(STREAM_BEGIN)
            player.to.status(PLAY_PUBLISH_NOTIFY, f"{self.name} is now published.")
            self._ranks.add(player)
        for listener in self._listeners:
            listener.waits_for_key = True
            listener.tap.begin()

    def end(self, *, lost: bool = False) -> None:
        """Nobody publishes any more. lost: but may go on; players that end at StreamEOF wait."""
        publisher, self.publisher = self.publisher, None
        self.stream.stop()
        text = f"{self.name} is now unpublished."
        if publisher is not None:
            publisher.status(UNPUBLISH_SUCCESS, text)
        self._ranks.settle()
        for player in self.players.values():
            if not lost:
                player.to.signal(STREAM_EOF)
            player.to.status(PLAY_UNPUBLISH_NOTIFY, text)
        for listener in self._listeners:
            listener.tap.end()

    def say(self, payload: bytes) -> None:
        """A data message of the application's, at the time of the stream. While nobody publishes
        it is for the players only: to taps nothing has begun."""
        if self.publisher is not None:
            self._pass_on(DATA, self._last, payload)
        else:
            self._ranks.put(DATA, 0, self._last, split_data(payload)[1])

    def put(self, type: int, timestamp: int, payload: bytes) -> None:
        """One message of the publisher, to all who play and hear."""
        self.messages_in += 1
        self.bytes_in += len(payload)
        self._pass_on(type, self._placed(type, timestamp, payload), payload)

    def _pass_on(self, type: int, timestamp: int, payload: bytes) -> None:
        stream = self.stream
        flags = 0
        recorder = self.recorder
        if type == DATA:
            verb, payload = split_data(payload)
            named = data_name(payload) == "onMetaData"
            if verb == CLEAR_DATA_FRAME:
                if named:
                    stream.clear_metadata()
                return
            if named:
                stream.set_metadata(timestamp, payload)
                if recorder is not None:
                    recorder.set_metadata(metadata_of(payload))
                    recorder = None  # it is what a file begins with, not a part of it
            else:
                stream.publish(type, flags, timestamp, payload)
        else:
            flags = media.classify(type, payload)
            stream.publish(type, flags, timestamp, payload)
        if recorder is not None:
            recorder.put(type, timestamp, payload, flags)
        if self._listeners:
            message = LiveMessage(type, flags, timestamp, payload)
            for listener in self._listeners:
                listener.hear(message)
        self._ranks.put(type, flags, timestamp, payload)

    def _placed(self, type: int, timestamp: int, payload: bytes) -> int:
        """Where a timestamp of the publisher's is in the stream: for who went on playing while
        it was away time does not go back, though it has begun at 0 again."""
        is_metadata = type == DATA and data_name(split_data(payload)[1]) == "onMetaData"
        if self._offset is None:
            if is_metadata or media.classify(type, payload) & _CONFIGURATION:
                return self._last
            self._offset = self._last + 1 - timestamp
        if self._offset:
            timestamp = timestamp + self._offset & 0xFFFFFFFF
        if not is_metadata:  # it often comes at 0, whatever the time
            self._last = timestamp
        return timestamp

    # Players

    def play(self, player: LivePlayer, *, reset: bool) -> None:
        """It plays, with all that a late joiner needs first."""
        self.players[player.to.peer, player.to.msid] = player
        player.begin(reset=reset)
        self._ranks.add(player)

    def go_over(self, player: LivePlayer, before: LivePlayer | None) -> None:
        """It plays from the key frame on that is about to come."""
        self.players[player.to.peer, player.to.msid] = player
        player.go_over(before)
        self._ranks.add(player)

    def want(self, player: LivePlayer, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        self._ranks.remove(player)
        player.want(kind, wanted)
        self._ranks.add(player)

    def pause(self, player: LivePlayer, paused: bool) -> None:
        """Nothing is sent while a player is paused."""
        self._ranks.remove(player)
        player.pause(paused)
        self._ranks.add(player)

    def stop(self, player: LivePlayer) -> None:
        """It plays no longer."""
        self._ranks.remove(player)
        del self.players[player.to.peer, player.to.msid]

    # Taps

    def tap(self, tap: Tap, *, passes_on: bool) -> None:
        """Let it hear, from the beginning of what a late joiner gets."""
        listener = _Listener(tap, passes_on)
        self._listeners = [*self._listeners, listener]
        if self.publisher is not None:
            tap.begin()
            for message in self.stream.join():
                listener.hear(message)

    def untap(self, tap: Tap) -> None:
        """It hears nothing more."""
        self._listeners = [one for one in self._listeners if one.tap is not tap]
