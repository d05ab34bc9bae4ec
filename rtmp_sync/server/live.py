"""Live streams of one instance: one publisher each, any number of players.

    publish   Publish.Start to the publisher, Play.PublishNotify to the players
    play      StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess, Data.Start, metadata,
              sequence headers, the frames since the last key frame, then what comes
    the end   Unpublish.Success to the publisher, Play.UnpublishNotify to the players

A message is classified once and encoded once per (chunk size, message stream id), then put
into each player's outbox in a plain loop. `docs: wire/rtmp.md` section 6.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rtmp_sync.app import Client
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.protocol.events import MediaReceived, PlayRequested, PublishRequested
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.stream_registry import StreamRegistry
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveMessage, LiveStream
from rtmp_sync.storage.recorder import Recorder, Take
from rtmp_sync.storage.segment import metadata_of
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    AUDIO,
    CSID_AUDIO,
    CSID_STREAM,
    CSID_VIDEO,
    DATA,
    DATA_START,
    LEVEL_ERROR,
    LEVEL_STATUS,
    PAUSE_NOTIFY,
    PLAY_PUBLISH_NOTIFY,
    PLAY_RESET,
    PLAY_START,
    PLAY_UNPUBLISH_NOTIFY,
    PUBLISH_BAD_NAME,
    PUBLISH_START,
    RECORD_FAILED,
    RECORD_START,
    RECORD_STOP,
    SEEK_FAILED,
    SEEK_NOTIFY,
    STREAM_BEGIN,
    UNPAUSE_NOTIFY,
    UNPUBLISH_SUCCESS,
    VIDEO,
)
from rtmp_sync.wire.messages import CLEAR_DATA_FRAME, data_name, split_data

__all__ = [
    "DATA_START_MESSAGE",
    "SAMPLE_ACCESS_MESSAGE",
    "LiveStreams",
    "StreamPeer",
    "stream_name",
]

_CSIDS: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, DATA: CSID_STREAM}
SAMPLE_ACCESS_MESSAGE: Final = amf0.encode("|RtmpSampleAccess", False, False)
DATA_START_MESSAGE: Final = amf0.encode("onStatus", {"code": DATA_START})


class StreamPeer(Protocol):
    """The part of a session that streams use."""

    client: Client
    connection: Connection
    outbox: Outbox

    @property
    def closing(self) -> bool: ...


def stream_name(requested: str) -> str:
    """The name without its query (`stream?token=…`)."""
    return requested.partition("?")[0]


class _Player:
    """One message stream that plays."""

    __slots__ = ("channel", "key", "msid", "outbox", "paused", "peer", "refused", "waits_for_key")

    def __init__(self, peer: StreamPeer, msid: int, channel: _Channel) -> None:
        self.peer = peer
        self.outbox = peer.outbox
        self.msid = msid
        self.key = (peer.connection.chunk_size, msid)
        self.channel = channel
        self.paused = False
        self.refused = 0  # media.AUDIO and media.VIDEO, when the player does not want them
        self.waits_for_key = False

    def skips(self, flags: int) -> bool:
        """Whether this player does not get a message with these flags now."""
        if self.paused or flags & self.refused:
            return True
        if self.waits_for_key:
            if flags & media.DROPPABLE:  # what cannot be read is not known to need a key frame
                return True
            if flags & media.KEY_FRAME:
                self.waits_for_key = False
        return False


class _Channel:
    """A stream name: what is kept of it, who publishes it, who plays it."""

    __slots__ = ("_last", "_offset", "players", "publisher", "recorder", "stream")

    def __init__(self, stream: LiveStream) -> None:
        self.stream = stream
        self.publisher: tuple[StreamPeer, int] | None = None
        self.players: dict[tuple[StreamPeer, int], _Player] = {}
        self.recorder: Recorder | None = None
        self._last = 0  # timestamp of the last message
        self._offset: int | None = 0  # of this publisher's timestamps; None: by its first one

    def begin(self, publisher: str, *, continues: bool) -> None:
        """A publisher comes, perhaps to go on with what was published before."""
        self._offset = None if continues and self.players else 0
        self.stream.start(publisher)

    def placed(self, timestamp: int) -> int:
        """Where a timestamp of the publisher's is in the stream: for who went on playing while
        it was away time does not go back, though it has begun at 0 again."""
        if self._offset is None:
            self._offset = self._last + 1 - timestamp
        if self._offset:
            timestamp = timestamp + self._offset & 0xFFFFFFFF
        self._last = timestamp
        return timestamp

    @property
    def idle(self) -> bool:
        return self.publisher is None and not self.players


class LiveStreams:
    """gop_cache_bytes: of one stream, for late joiners. on_unpublished: told who publishes which
    stream no longer."""

    def __init__(
        self,
        turn: Turn,
        registry: StreamRegistry,
        recordings: Recordings,
        *,
        gop_cache_bytes: int,
        on_unpublished: Callable[[Client, str], None],
    ) -> None:
        self._turn = turn
        self._registry = registry
        self._recordings = recordings
        self._on_unpublished = on_unpublished
        self._gop_cache_bytes = gop_cache_bytes
        self._channels: dict[str, _Channel] = {}
        self._publishing: dict[tuple[StreamPeer, int], _Channel] = {}
        self._playing: dict[tuple[StreamPeer, int], _Player] = {}

    @property
    def names(self) -> list[str]:
        """The streams that are published now."""
        return [name for name, channel in self._channels.items() if channel.publisher]

    # Publishing

    def is_published(self, name: str) -> bool:
        """Whether somebody who is still there publishes it."""
        channel = self._channels.get(name)
        publisher = channel.publisher if channel is not None else None
        return publisher is not None and not publisher[0].closing

    def publish(self, peer: StreamPeer, request: PublishRequested, take: Take | None) -> bool:
        """Begin to publish, and to record if there is a `take`; whether it was accepted."""
        name, msid = stream_name(request.name), request.msid
        channel = self._channel(name)
        if channel.publisher is not None:
            if not channel.publisher[0].closing:
                return self._refuse(peer, msid, PUBLISH_BAD_NAME, f"{name} is already published.")
            self.stop(*channel.publisher, lost=True)
            channel = self._channel(name)
        channel.publisher = (peer, msid)
        continued = self._registry.continues(name)
        start_ms = take.start_ms if take is not None else 0
        self._registry.begin(name, continued or self._registry.new(request.kind, start_ms))
        channel.begin(peer.client.id, continues=continued is not None)
        self._publishing[peer, msid] = channel
        self._status(peer, msid, PUBLISH_START, f"{name} is now published.")
        if take is not None:
            self._record(channel, take)
        for player in channel.players.values():
            player.waits_for_key = True
            self._status(player.peer, player.msid, PLAY_PUBLISH_NOTIFY, f"{name} is now published.")
        return True

    def receive(self, peer: StreamPeer, event: MediaReceived) -> None:
        """One message of a publisher, to all players."""
        channel = self._publishing.get((peer, event.msid))
        if channel is None:
            return
        stream = channel.stream
        type, payload = event.type, event.payload
        timestamp = channel.placed(event.timestamp)
        flags = 0
        recorder = channel.recorder
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
        encoded: dict[tuple[int, int], bytes] = {}
        csid = _CSIDS[type]
        for player in channel.players.values():
            if (player.paused or player.refused or player.waits_for_key) and player.skips(flags):
                continue
            key = player.key
            data = encoded.get(key)
            if data is None:
                data = encode_message(type, key[1], timestamp, payload, csid, key[0])
                encoded[key] = data
            player.outbox.put_media(key[1], data, flags)
        if encoded:
            self._turn.schedule()

    # Playing

    def play(self, peer: StreamPeer, request: PlayRequested) -> None:
        """Begin to play, now or when somebody publishes."""
        name, msid = stream_name(request.name), request.msid
        self.stop(peer, msid)
        channel = self._channel(name)
        player = _Player(peer, msid, channel)
        channel.players[peer, msid] = self._playing[peer, msid] = player
        connection = peer.connection
        self._turn.send(peer.outbox, msid, connection.user_control(STREAM_BEGIN, msid))
        if request.reset:
            self._status(peer, msid, PLAY_RESET, f"Playing and resetting {name}.", details=name)
        self._status(peer, msid, PLAY_START, f"Started playing {name}.", details=name)
        for payload in (SAMPLE_ACCESS_MESSAGE, DATA_START_MESSAGE):
            self._turn.send(peer.outbox, msid, connection.message(DATA, payload, msid=msid))
        self._catch_up(player)

    def want(self, peer: StreamPeer, msid: int, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        player = self._playing.get((peer, msid))
        if player is None:
            return
        if not wanted:
            player.refused |= kind
        elif player.refused & kind:
            player.refused &= ~kind
            self._status(peer, msid, SEEK_NOTIFY, "Seeking live.")
            self._status(peer, msid, PLAY_START, f"Started playing {player.channel.stream.name}.")
            self._resume(player, kind)

    def pause(self, peer: StreamPeer, msid: int, paused: bool) -> None:
        """Nothing is sent while a player is paused; it goes on at the next key frame."""
        player = self._playing.get((peer, msid))
        if player is None or player.paused == paused:
            return
        player.paused = paused
        code, done = (PAUSE_NOTIFY, "Pausing") if paused else (UNPAUSE_NOTIFY, "Unpausing")
        self._status(peer, msid, code, f"{done} {player.channel.stream.name}.")
        if not paused:
            self._resume(player, media.AUDIO | media.VIDEO)

    def seek(self, peer: StreamPeer, msid: int, _ms: float) -> None:
        """What is live has one place only."""
        text = "A live stream cannot be sought."
        self._status(peer, msid, SEEK_FAILED, text, level=LEVEL_ERROR)

    # The end

    def stop(self, peer: StreamPeer, msid: int, *, lost: bool = False) -> None:
        """A message stream publishes or plays no longer. lost: its client is gone, and may come
        back to go on."""
        player = self._playing.pop((peer, msid), None)
        if player is not None:
            del player.channel.players[peer, msid]
            self._forget_if_idle(player.channel)
        channel = self._publishing.pop((peer, msid), None)
        if channel is None:
            return
        name = channel.stream.name
        channel.publisher = None
        if self._turn.authorised:  # else the next origin knows who published
            (self._registry.lose if lost else self._registry.end)(name)
        if channel.recorder is not None:
            self._recordings.end(channel.recorder)
            channel.recorder = None
            self._status(peer, msid, RECORD_STOP, f"{name} is recorded.")
        channel.stream.stop()
        self._status(peer, msid, UNPUBLISH_SUCCESS, f"{name} is now unpublished.")
        for player in channel.players.values():
            self._status(
                player.peer, player.msid, PLAY_UNPUBLISH_NOTIFY, f"{name} is now unpublished."
            )
        self._forget_if_idle(channel)
        self._on_unpublished(peer.client, name)

    def leave(self, peer: StreamPeer) -> None:
        """A connection is gone, with everything it published and played."""
        for owner, msid in [key for key in (*self._playing, *self._publishing) if key[0] is peer]:
            self.stop(owner, msid, lost=True)

    def _record(self, channel: _Channel, take: Take) -> None:
        assert channel.publisher is not None
        peer, msid = channel.publisher
        name = channel.stream.name

        def failed(reason: str) -> None:
            if channel.publisher == (peer, msid):
                text = f"{name} is not recorded any more: {reason}."
                self._status(peer, msid, RECORD_FAILED, text, level=LEVEL_ERROR)

        channel.recorder = self._recordings.record(take, {}, failed)
        self._status(peer, msid, RECORD_START, f"Recording {name}.")

    def _channel(self, name: str) -> _Channel:
        found = self._channels.get(name)
        if found is None:
            stream = LiveStream(name, gop_cache_bytes=self._gop_cache_bytes)
            found = self._channels[name] = _Channel(stream)
        return found

    def _forget_if_idle(self, channel: _Channel) -> None:
        if channel.idle:
            self._channels.pop(channel.stream.name, None)

    def _catch_up(self, player: _Player) -> None:
        """What a late joiner needs to show a picture at once."""
        messages = player.channel.stream.join()
        self._give(player, messages)
        player.waits_for_key = not any(message.flags & media.KEY_FRAME for message in messages)

    def _resume(self, player: _Player, kind: int) -> None:
        """Go on in a running stream with what was left out: its configuration may be another
        by now."""
        stream = player.channel.stream
        self._give(player, [one._replace(timestamp=stream.timestamp) for one in stream.headers()])
        if kind & media.VIDEO:
            player.waits_for_key = True

    def _give(self, player: _Player, messages: list[LiveMessage]) -> None:
        chunk_size, msid = player.key
        for message in messages:
            data = encode_message(
                message.type,
                msid,
                message.timestamp,
                message.payload,
                _CSIDS[message.type],
                chunk_size,
            )
            player.outbox.put_media(msid, data, message.flags)
        self._turn.schedule()

    def _status(
        self,
        peer: StreamPeer,
        msid: int,
        code: str,
        description: str,
        level: str = LEVEL_STATUS,
        **more: object,
    ) -> None:
        data = peer.connection.status(msid, level, code, description, **more)
        self._turn.send(peer.outbox, msid, data)

    def _refuse(self, peer: StreamPeer, msid: int, code: str, description: str) -> bool:
        peer.connection.streams.stop(msid)
        data = peer.connection.status(msid, LEVEL_ERROR, code, description)
        self._turn.send(peer.outbox, msid, data)
        return False
