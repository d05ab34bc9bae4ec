"""Live streams of one instance: one publisher each, any number of players and taps.

    publish   Publish.Start to the publisher, Play.PublishNotify to the players
    play      StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess, Data.Start, metadata,
              sequence headers, the frames since the last key frame, then what comes
    the end   Unpublish.Success to the publisher, Play.UnpublishNotify to the players

What is said of a stream to whom is its `Channel`'s; here are the names, and who is where.
`docs: wire/rtmp.md` section 6.2.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from rtmp_sync.app import Client
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.channel import Channel, Publisher, Status, Tap
from rtmp_sync.server.feed import Feed, Source
from rtmp_sync.server.live_player import LivePlayer
from rtmp_sync.server.live_recording import LiveRecording
from rtmp_sync.server.peer_stream import PeerStream, StreamPeer
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.relay_keys import RelayKeys
from rtmp_sync.server.stream_registry import StreamRegistry
from rtmp_sync.server.transition import Transition
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveStream
from rtmp_sync.storage.recorder import Take
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire.constants import (
    LEVEL_ERROR,
    PUBLISH_BAD_NAME,
    SEEK_FAILED,
)

__all__ = ["LiveStreams"]

_PLAYLIST: Final = 100  # entries that wait for what is live; more is no playlist


class _PeerPublisher(PeerStream):
    """A message stream that publishes."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self.peer.client.id

    @property
    def gone(self) -> bool:
        return self.peer.closing


class LiveStreams:
    """gop_cache_bytes: of one stream, for late joiners. on_unpublished: told which client
    publishes which stream no longer. on_change: told the name of a stream that somebody began or
    ceased to publish, play or hear. on_begun, on_ending: told the name of one that is
    published from now on, or in a moment no longer. hop: names these streams, of all in the
    world, in the paths of relays. relay_keys: what these are known by where they publish."""

    def __init__(
        self,
        turn: Turn,
        registry: StreamRegistry,
        recordings: Recordings,
        *,
        gop_cache_bytes: int,
        on_unpublished: Callable[[Client, str], None],
        relay_keys: RelayKeys,
    ) -> None:
        self.on_change: Callable[[str], None] = lambda _: None
        self.on_begun: Callable[[str], None] = lambda _: None
        self.on_ending: Callable[[str], None] = lambda _: None
        self.hop = secrets.token_hex(8)
        self.relay_keys = relay_keys
        self._turn = turn
        self._registry = registry
        registry.on_given_up = self._given_up
        self._recording = LiveRecording(recordings, registry)
        self._on_unpublished = on_unpublished
        self._gop_cache_bytes = gop_cache_bytes
        self._channels: dict[str, Channel] = {}
        self._publishing: dict[tuple[StreamPeer, int], Channel] = {}
        self._feeds: dict[str, Feed] = {}
        self._playing: dict[tuple[StreamPeer, int], LivePlayer] = {}
        self._following: dict[
            tuple[StreamPeer, int], list[Callable[[], None]]
        ] = {}  # of a playlist
        self._going_over: dict[tuple[StreamPeer, int], tuple[str, Transition]] = {}
        self._msids: dict[StreamPeer, set[int]] = {}  # that it has used here

    @property
    def names(self) -> list[str]:
        """The streams that are published now."""
        return [name for name, channel in self._channels.items() if channel.publisher]

    def channel(self, name: str) -> Channel | None:
        """The stream of that name, published or waited for."""
        return self._channels.get(name)

    def published_by(self, peer: StreamPeer, msid: int) -> str | None:
        """What a message stream publishes."""
        channel = self._publishing.get((peer, msid))
        return channel.name if channel is not None else None

    def played_by(self, peer: StreamPeer, msid: int) -> str | None:
        """What a message stream plays."""
        player = self._playing.get((peer, msid))
        return player.stream.name if player is not None else None

    @property
    def in_use(self) -> bool:
        """Whether anybody hears a stream, or publishes without a session."""
        return bool(self._feeds) or any(one.audience for one in self._channels.values())

    def audience(self, name: str) -> int:
        """How many play it or hear it, without those that only pass it on."""
        channel = self._channels.get(name)
        return channel.audience if channel is not None else 0

    def publisher(self, name: str) -> Client | None:
        """The client that publishes it."""
        channel = self._channels.get(name)
        publisher = channel.publisher if channel is not None else None
        return publisher.peer.client if isinstance(publisher, _PeerPublisher) else None

    def a_player(self, name: str) -> Client | None:
        """The client that has played it longest, or waits for it."""
        channel = self._channels.get(name)
        players = channel.players.values() if channel is not None else ()
        return next((player.to.peer.client for player in players), None)

    # Publishing

    def is_published(self, name: str) -> bool:
        """Whether somebody who is still there publishes it."""
        channel = self._channels.get(name)
        publisher = channel.publisher if channel is not None else None
        return publisher is not None and not publisher.gone

    def is_live(self, name: str) -> bool:
        """The same, or it is expected."""
        channel = self._channels.get(name)
        return self.is_published(name) or (channel is not None and channel.expected)

    def expect(self, stream: LiveStream, seconds: float) -> None:
        """Show what is known of a stream until it is published, or that time is over."""
        if stream.name in self._channels:
            return
        channel = self._channels[stream.name] = Channel(self._turn, stream, expected=True)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self._expect_no_longer, channel)

    def _expect_no_longer(self, channel: Channel) -> None:
        if channel.expected:
            channel.expected = False
            channel.stream.stop()
            self._forget_if_idle(channel)

    def publish(
        self, peer: StreamPeer, msid: int, request: StreamRequest, take: Take | None
    ) -> bool:
        """Begin to publish, and to record if there is a `take`; whether it was accepted. Raises
        Deposed."""
        publisher = _PeerPublisher(self._turn, peer, msid)
        channel = self._vacant(request.name)
        if channel is None:
            peer.connection.streams.stop(msid)
            text = f"{request.name} is already published."
            publisher.status(PUBLISH_BAD_NAME, text, LEVEL_ERROR)
            return False
        self._begin(channel, request.kind, publisher, take)
        self._publishing[peer, msid] = channel
        self._uses(peer, msid)
        return True

    def feed(self, name: str, source: Source) -> Feed | None:
        """Publish without a session; None: the name is taken. Raises Deposed."""
        channel = self._vacant(name)
        if channel is None:
            return None
        feed = Feed(channel, source, self._end)
        self._begin(channel, "live", feed, None)
        self._feeds[name] = feed
        return feed

    def receive(self, peer: StreamPeer, event: MediaReceived) -> None:
        """One message of a publisher, to all players."""
        channel = self._publishing.get((peer, event.msid))
        if channel is not None:
            channel.put(event.type, event.timestamp, event.payload)

    def say(self, name: str, payload: bytes) -> None:
        """A data message of the application's to all who play and hear the stream, at its time."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.say(payload)

    # Recording what is published already

    def is_recorded(self, name: str) -> bool:
        """Whether it is recorded now, for whomever."""
        channel = self._channels.get(name)
        return channel is not None and channel.recorder is not None

    def record(self, name: str, take: Take, on_status: Status) -> bool:
        """Record a stream from its last key frame on, until it ends or `end_recording`; False
        when it has ended by now, or is recorded already."""
        channel = self._channels.get(name)
        if channel is None or channel.publisher is None or channel.recorder is not None:
            return False
        self._recording.join(channel, take, on_status)
        return True

    def end_recording(self, name: str, take: Take) -> None:
        """Record it no longer; nothing happens when this take has ended."""
        channel = self._channels.get(name)
        recorder = channel.recorder if channel is not None else None
        if channel is not None and recorder is not None and recorder.take == take:
            self._recording.end(channel)

    # Playing

    def play(
        self,
        peer: StreamPeer,
        msid: int,
        name: str,
        *,
        reset: bool,
        duration_ms: int | None = None,
    ) -> None:
        """Begin to play, now or when somebody publishes. duration_ms: see `LivePlayer`."""
        self.stop(peer, msid)
        channel = self._channel(name)
        player = LivePlayer(self._turn, peer, msid, channel.stream, duration_ms)
        self._playing[peer, msid] = player
        self._uses(peer, msid)
        channel.play(player, reset=reset)
        self.on_change(name)

    def append(self, peer: StreamPeer, msid: int, begin: Callable[[], None]) -> bool:
        """Have `begin` called when what plays there is over, in its turn: at the end of its time,
        or of the stream. False: nothing plays, or nobody knows when it will end."""
        player, following = self._playing.get((peer, msid)), self._following.get((peer, msid), [])
        if player is None or player.over or len(following) >= _PLAYLIST:
            return False
        if player.is_endless and not self.is_live(player.stream.name):
            return False
        player.lead_on(partial(self._go_on, peer, msid, player))
        self._following[peer, msid] = [*following, begin]
        return True

    def _go_on(self, peer: StreamPeer, msid: int, player: LivePlayer) -> None:
        if self._playing.get((peer, msid)) is player:  # else it was stopped meanwhile
            following = self._following[peer, msid]
            self.stop(peer, msid)
            for begin in following:
                begin()

    def go_over(self, peer: StreamPeer, msid: int, name: str, leave: Callable[[], None]) -> None:
        """Play a stream from its next key frame on, and what the message stream plays now until
        then. leave: called at that place."""

        def arrive() -> None:
            leave()
            before = self._playing.get((peer, msid))
            following = self._following.get((peer, msid), ())
            self.stop(peer, msid)
            channel = self._channel(name)
            player = self._playing[peer, msid] = LivePlayer(self._turn, peer, msid, channel.stream)
            channel.go_over(player, before)
            for begin in following:  # it is over when the other would have been: with the stream
                self.append(peer, msid, begin)
            self.on_change(name)

        self._stay(peer, msid)
        transition = Transition(arrive)
        self._going_over[peer, msid] = (name, transition)
        self._uses(peer, msid)
        self.tap(name, transition)
        transition.is_past = False

    def want(self, peer: StreamPeer, msid: int, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        player = self._playing.get((peer, msid))
        if player is not None:
            self._channels[player.stream.name].want(player, kind, wanted)

    def pause(self, peer: StreamPeer, msid: int, paused: bool) -> None:
        """Nothing is sent while a player is paused; it goes on at the next key frame."""
        player = self._playing.get((peer, msid))
        if player is not None:
            self._channels[player.stream.name].pause(player, paused)

    def seek(self, peer: StreamPeer, msid: int, _ms: float) -> None:
        """What is live has one place only."""
        to = PeerStream(self._turn, peer, msid)
        to.status(SEEK_FAILED, "A live stream cannot be sought.", LEVEL_ERROR)

    # Hearing

    def tap(self, name: str, tap: Tap, *, passes_on: bool = False) -> None:
        """Have `tap` hear the stream, now or when somebody publishes, until `untap`. passes_on:
        it is no reason to pull the stream from elsewhere."""
        self._channel(name).tap(tap, passes_on=passes_on)
        self.on_change(name)

    def untap(self, name: str, tap: Tap) -> None:
        """`tap` hears the stream no longer; nothing happens if it did not."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.untap(tap)
            self._forget_if_idle(channel)
            self.on_change(name)

    # The end

    def stop(self, peer: StreamPeer, msid: int, *, lost: bool = False) -> None:
        """A message stream publishes or plays no longer. lost: its client is gone, and may come
        back to go on."""
        self._stay(peer, msid)
        self._following.pop((peer, msid), None)
        player = self._playing.pop((peer, msid), None)
        if player is not None:
            channel = self._channels[player.stream.name]
            channel.stop(player)
            self._forget_if_idle(channel)
            self.on_change(channel.name)
        published = self._publishing.get((peer, msid))
        if published is not None:
            self._end(published, lost)

    def leave(self, peer: StreamPeer) -> None:
        """A connection is gone, with everything it published and played."""
        for msid in self._msids.pop(peer, ()):
            self.stop(peer, msid, lost=True)

    def let_go(self) -> None:
        """This origin serves the instance no longer: what is not a client's ends too."""
        for feed in list(self._feeds.values()):
            feed.revoke("the instance is not served here any more")

    def _uses(self, peer: StreamPeer, msid: int) -> None:
        self._msids.setdefault(peer, set()).add(msid)

    def _stay(self, peer: StreamPeer, msid: int) -> None:
        name, transition = self._going_over.pop((peer, msid), ("", None))
        if transition is not None:
            self.untap(name, transition)

    def _vacant(self, name: str) -> Channel | None:
        """The channel of a name that nobody publishes who is still there."""
        channel = self._channel(name)
        if channel.publisher is None:
            return channel
        if not channel.publisher.gone:
            return None
        self._end(channel, lost=True)
        return self._channel(name)

    def _begin(self, channel: Channel, kind: str, publisher: Publisher, take: Take | None) -> None:
        name = channel.name
        continued = self._registry.continues(name)
        if continued is not None and take is not None and not continued.is_recorded:
            self._registry.end(name)  # a recording of its own: nothing of what is listed is of it
        listed = self._registry.continues(name)
        start_ms = take.start_ms if take is not None else 0
        self._registry.begin(name, listed or self._registry.new(kind, start_ms))
        channel.begin(publisher, continues=continued is not None)
        if take is not None:
            self._recording.begin(channel, take, publisher.status)
        channel.announce()
        self.on_begun(name)
        self.on_change(name)

    def _end(self, channel: Channel, lost: bool) -> None:
        name, publisher = channel.name, channel.publisher
        assert publisher is not None  # whoever asks is known to publish it
        self.on_ending(name)
        if isinstance(publisher, _PeerPublisher):
            del self._publishing[publisher.peer, publisher.msid]
        else:
            del self._feeds[name]
        if self._turn.authorised:  # else the next origin knows who published
            (self._registry.lose if lost else self._registry.end)(name)
        self._recording.end(channel)
        channel.end(lost=lost)
        if not lost:
            self._lead_on(channel)
        self._forget_if_idle(channel)
        self.on_change(name)
        if isinstance(publisher, _PeerPublisher):
            self._on_unpublished(publisher.peer.client, name)

    def _given_up(self, name: str) -> None:
        channel = self._channels.get(name)
        if channel is not None and channel.publisher is None:
            self._lead_on(channel)

    def _lead_on(self, channel: Channel) -> None:
        """It is over: who has something in its playlist goes on with that."""
        for at in channel.players.keys() & self._following.keys():
            channel.players[at].end()

    def _channel(self, name: str) -> Channel:
        found = self._channels.get(name)
        if found is None:
            stream = LiveStream(name, gop_cache_bytes=self._gop_cache_bytes)
            found = self._channels[name] = Channel(self._turn, stream)
        return found

    def _forget_if_idle(self, channel: Channel) -> None:
        if channel.idle:
            self._channels.pop(channel.name, None)
