"""One message stream that plays what is live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from rtmp_sync.server.peer_stream import (
    DATA_START_MESSAGE,
    PeerStream,
    StreamPeer,
    sample_access_message,
)
from rtmp_sync.server.transition import completed, play_status
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveMessage, LiveStream, step_ms
from rtmp_sync.wire import media
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    AUDIO,
    CSID_AUDIO,
    CSID_STREAM,
    CSID_VIDEO,
    DATA,
    PAUSE_NOTIFY,
    PLAY_COMPLETE,
    PLAY_RESET,
    PLAY_START,
    PLAY_STOP,
    PLAY_SWITCH,
    PLAY_TRANSITION_COMPLETE,
    SEEK_NOTIFY,
    STREAM_BEGIN,
    STREAM_EOF,
    UNPAUSE_NOTIFY,
    VIDEO,
)

__all__ = ["CSIDS", "LivePlayer"]

CSIDS: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, DATA: CSID_STREAM}


class LivePlayer:
    """key: chunk size and message stream id; players with the same one get the same bytes.
    refused: media.AUDIO and media.VIDEO, when the player does not want them. since: wall time.
    duration_ms: what it wants of the stream, 0 for one picture; None: all."""

    __slots__ = ("_duration_ms", "_ended", "_from_ms", "_go_on", "_turn", "key", "outbox", "paused",
                 "refused", "since", "stream", "to", "waits_for_key")  # fmt: skip

    def __init__(
        self,
        turn: Turn,
        peer: StreamPeer,
        msid: int,
        stream: LiveStream,
        duration_ms: int | None = None,
    ) -> None:
        self._turn = turn
        self.to = PeerStream(turn, peer, msid)
        self.outbox = peer.outbox
        self.key = (peer.connection.chunk_size, msid)
        self.stream = stream
        self.since = time.time()
        self.paused = False
        self.refused = 0
        self.waits_for_key = False
        self._duration_ms = duration_ms
        self._from_ms: int | None = None  # timestamp of the first frame, if there is a duration
        self._ended = False
        self._go_on: Callable[[], None] | None = None

    @property
    def over(self) -> bool:
        """Whether all of the time that it wants was played."""
        return self._ended

    @property
    def is_endless(self) -> bool:
        """Whether it plays as long as there is something."""
        return self._duration_ms is None

    @property
    def is_choosy(self) -> bool:
        """Whether it may skip something."""
        wants_all = self._duration_ms is None
        return bool(self.paused or self.refused or self.waits_for_key or not wants_all)

    def skips(self, flags: int) -> bool:
        """Whether this player does not get a message with these flags now."""
        if self.paused or flags & self.refused:
            return True
        if self.waits_for_key:
            if flags & media.DROPPABLE:  # what cannot be read is not known to need a key frame
                return True
            if flags & media.KEY_FRAME:
                self.waits_for_key = False
        if self._duration_ms is None or self._ended:
            return self._ended
        self._end_if_over(flags, self.stream.timestamp)
        if self._ended:
            self._tell_end()
        return self._ended

    def begin(self, *, reset: bool) -> None:
        """Play: with all that a late joiner needs to show a picture at once."""
        name = self.stream.name
        self.to.signal(STREAM_BEGIN)
        if reset:
            self.to.status(PLAY_RESET, f"Playing and resetting {name}.", details=name)
        self.to.status(PLAY_START, f"Started playing {name}.", details=name)
        self.to.data(sample_access_message(self.to.peer.client, name))
        self.to.data(DATA_START_MESSAGE)
        messages = self.stream.join()
        if self._duration_ms is not None:
            messages = self._wanted(messages)
        gets_all = self.outbox.takes(self.to.msid, sum(len(one.payload) for one in messages))
        if not gets_all:  # one picture; the next one that it could show is the next key frame
            messages = [
                one for one in messages if media.is_needed(one.flags) or one.flags & media.KEY_FRAME
            ]
        self._give(messages)
        if self._ended:
            self._tell_end()
        shows = any(message.flags & media.KEY_FRAME for message in messages)
        self.waits_for_key = not (gets_all and shows)

    def go_over(self, before: LivePlayer | None) -> None:
        """Play from the next key frame on, as `before` did with another stream."""
        if before is not None:
            self.paused, self.refused = before.paused, before.refused
        self.to.data(play_status(PLAY_TRANSITION_COMPLETE, **completed(self.stream.name)))
        self._resume(media.AUDIO | media.VIDEO)

    def lead_on(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called soon after this one is over: something else plays then."""
        self._go_on = go_on

    def end(self) -> None:
        """Be over, though its time is not."""
        if not self._ended:
            self._ended = True
            self._tell_end()

    def want(self, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        if not wanted:
            self.refused |= kind
        elif self.refused & kind:
            self.refused &= ~kind
            self.to.status(SEEK_NOTIFY, "Seeking live.")
            self.to.status(PLAY_START, f"Started playing {self.stream.name}.")
            self._resume(kind)

    def pause(self, paused: bool) -> None:
        """Nothing is sent while a player is paused; it goes on at the next key frame."""
        if self.paused == paused:
            return
        self.paused = paused
        code, done = (PAUSE_NOTIFY, "Pausing") if paused else (UNPAUSE_NOTIFY, "Unpausing")
        self.to.status(code, f"{done} {self.stream.name}.")
        if not paused:
            self._resume(media.AUDIO | media.VIDEO)

    def _wanted(self, messages: Iterable[LiveMessage]) -> list[LiveMessage]:
        wanted = []
        for message in messages:
            self._end_if_over(message.flags, message.timestamp)
            if not self._ended:
                wanted.append(message)
        return wanted

    def _end_if_over(self, flags: int, timestamp: int) -> None:
        """A message comes; it is not played if it is behind the end."""
        if not (flags & (media.KEY_FRAME | media.DROPPABLE) or flags == media.AUDIO):
            return
        if self._from_ms is None:
            if self._duration_ms or flags & media.KEY_FRAME:
                self._from_ms = timestamp
            return
        self._ended = step_ms(self._from_ms, timestamp) >= (self._duration_ms or 0)

    def _tell_end(self) -> None:
        name, duration_ms = self.stream.name, self._duration_ms or 0
        if self._go_on is not None:
            self.to.data(play_status(PLAY_SWITCH, duration=duration_ms / 1000, bytes=0.0))
            asyncio.get_running_loop().call_soon(self._go_on)  # not amid those who play
            return
        self.to.signal(STREAM_EOF)
        self.to.data(play_status(PLAY_COMPLETE, duration=duration_ms / 1000, bytes=0.0))
        self.to.status(PLAY_STOP, f"Stopped playing {name}.", details=name)

    def _resume(self, kind: int) -> None:
        """Go on in a running stream with what was left out: its configuration may be another
        by now."""
        stream = self.stream
        self._give(one._replace(timestamp=stream.timestamp) for one in stream.headers())
        if kind & media.VIDEO:
            self.waits_for_key = True

    def _give(self, messages: Iterable[LiveMessage]) -> None:
        chunk_size, msid = self.key
        for type, flags, timestamp, payload in messages:
            data = encode_message(type, msid, timestamp, payload, CSIDS[type], chunk_size)
            self.outbox.put_media(msid, data, flags)
        self._turn.schedule()
