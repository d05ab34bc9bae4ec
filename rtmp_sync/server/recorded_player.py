"""One message stream that plays recordings: its task reads, waits and sends.

    play       StreamIsRecorded, StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess,
               Data.Start, onMetaData, sequence headers, then media in time
    seek       StreamEOF, StreamIsRecorded, StreamBegin, Seek.Notify, Play.Start, sequence headers,
               then from the key frame at or before the place; of it one picture while paused
    play2      Play.Transition; at the place onPlayStatus with Play.TransitionComplete, onMetaData,
               sequence headers, then from a key frame of the other recording on
    the end    StreamEOF, onPlayStatus with Play.Complete, Play.Stop; seeking is still possible

Timestamps count from where `play` was asked to begin, as FMS has it and librtmp's resume needs it:
pictures from the key frame before come at 0, sound from there not at all. After a seek they are
the recording's own. A playlist goes on with the next one, told by Play.Switch. A player that does
not read is waited for; nothing of a recording is ever dropped.
`docs: wire/rtmp.md` section 6.2.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import pyamf
import structlog

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol.play_range import PlayRange
from rtmp_sync.server.peer_stream import (
    DATA_START_MESSAGE,
    PeerStream,
    StreamPeer,
    sample_access_message,
)
from rtmp_sync.server.transition import announce, completed, play_status
from rtmp_sync.server.turn import Turn
from rtmp_sync.storage.recording import Cursor, RecordedTag, Recording
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    AUDIO,
    CSID_AUDIO,
    CSID_STREAM,
    CSID_VIDEO,
    DATA,
    LEVEL_ERROR,
    PAUSE_NOTIFY,
    PLAY_COMPLETE,
    PLAY_FAILED,
    PLAY_RESET,
    PLAY_START,
    PLAY_STOP,
    PLAY_SWITCH,
    PLAY_TRANSITION_COMPLETE,
    SEEK_INVALID_TIME,
    SEEK_NOTIFY,
    STREAM_BEGIN,
    STREAM_EOF,
    STREAM_IS_RECORDED,
    UNPAUSE_NOTIFY,
    VIDEO,
)

__all__ = ["RecordedPlayer", "Request"]

_READ_BYTES: Final = 64 * 1024
_READ_SECONDS: Final = 10.0  # a NAS that takes longer has failed this player
_BUFFER_MS: Final = 3000  # ahead of time, until the player says how much it takes
_UNREAD_BYTES: Final = 512 * 1024  # in the outbox, or a part of what that holds; the rest waits
_UNREAD_PART: Final = 4  # on the disk
_PICTURE: Final = media.KEY_FRAME | media.DROPPABLE
_PLAYLIST: Final = 100  # more is no playlist
_CSIDS: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, DATA: CSID_STREAM}


class Request(NamedTuple):
    """origin_ms: of the recording, what the timestamps of a play count from."""

    name: str
    recording: Recording
    range: PlayRange
    origin_ms: int


class _Transition(NamedTuple):
    """request: what to go over to, when the time of what plays is `ms`."""

    request: Request
    at: Cursor
    ms: int


class RecordedPlayer:
    """waits: do not begin before something is appended that does not wait. since: wall time."""

    def __init__(
        self,
        turn: Turn,
        peer: StreamPeer,
        msid: int,
        request: Request,
        *,
        reset: bool,
        waits: bool = False,
    ) -> None:
        self.since = time.time()
        self._turn = turn
        self._peer = peer
        self._msid = msid
        self._to = PeerStream(turn, peer, msid)
        self._request = request
        self._next: deque[Request] = deque()
        self._following: list[Callable[[], None]] = []  # what is live, and what follows that
        self._transition: _Transition | None = None
        self._reset = reset
        self._waits = waits
        self._buffer_ms = _BUFFER_MS
        self._paused = False
        self._shows_one = False  # picture, though it is paused
        self._refused = 0  # media.AUDIO and media.VIDEO, when the player does not want them
        self._at: Cursor | None = None
        self._led_to: Cursor | None = None  # where it began, or was sought to
        self._jumps = 0  # seeks, and beginnings of other recordings: what was read is of before
        self._from_ms = 0  # where the last jump led
        self._ends_ms: int | None = None  # of the recording, when only a part was asked for
        self._sent_ms = 0  # of the recording, of the last message
        self._origin_ms = 0  # of the recording: what its timestamps are counted from
        self._base = (0.0, 0)  # loop time -> ms of the recording, from which time is counted
        self._wake = asyncio.Event()
        self._ended = False  # told to be complete
        self._task = asyncio.ensure_future(self._run())
        self._log = structlog.get_logger("rtmp_sync.recorded")

    @property
    def name(self) -> str:
        return self._request.name

    def append(self, request: Request, *, waits: bool) -> bool:
        """Play it after all others; False: there is nothing left to play it after."""
        if self._ended or self._following or len(self._next) >= _PLAYLIST:
            return False
        self._next.append(request)
        if not waits:
            self._waits = False
            self._wake.set()
        return True

    @property
    def leads_on(self) -> bool:
        """Whether something else follows than recordings."""
        return bool(self._following)

    def lead_on(self, begin: Callable[[], None]) -> bool:
        """Have `begin` called after all others, in its turn; then this player has ended."""
        if self._ended or len(self._following) >= _PLAYLIST:
            return False
        self._following.append(begin)
        self._waits = False
        self._wake.set()
        return True

    def pause(self, paused: bool) -> None:
        code, done = (PAUSE_NOTIFY, "Pausing") if paused else (UNPAUSE_NOTIFY, "Unpausing")
        if paused != self._paused:
            self._count_from(self._now_ms())
            self._paused, self._shows_one = paused, False
        self._to.status(code, f"{done} {self.name}.")
        self._wake.set()

    def seek(self, ms: float) -> None:
        if self._transition is not None:
            self._go_over()
        if not 0 <= ms <= self._request.recording.duration_ms:
            self._to.status(SEEK_INVALID_TIME, f"There is no {ms:.0f} ms.", LEVEL_ERROR)
            return
        for signal in (STREAM_EOF, STREAM_IS_RECORDED, STREAM_BEGIN):
            self._to.signal(signal)
        text = f"Seeking {ms:.0f} (stream ID: {self._msid})."
        self._to.status(SEEK_NOTIFY, text, details=self.name)
        self._to.status(PLAY_START, f"Started playing {self.name}.", details=self.name)
        self._origin_ms = 0
        self._shows_one = self._paused
        self._jump(int(ms))

    def want(self, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        if not wanted:
            self._refused |= kind
        elif self._refused & kind:
            self._refused &= ~kind
            self.seek(self._now_ms())

    def set_buffer(self, ms: int) -> None:
        self._buffer_ms = ms
        self._wake.set()

    def switch(self, request: Request, offset_ms: int | None) -> bool:
        """Go over to the same content in another form, at its next key frame; False: there is
        none. offset_ms: from there on, though more was sent already; None: from what was sent."""
        from_ms = self._sent_ms if offset_ms is None else offset_ms
        place = request.recording.seek_forward(from_ms)
        if place is None:
            return False
        ms, at = place
        self._forget_transition()
        announce(self._to, request.name)
        request = request._replace(origin_ms=self._origin_ms)
        self._transition = _Transition(request, at, ms)
        if self._ended:
            self._go_over()
            self._count_from(ms)
        elif ms <= self._sent_ms:
            self._go_over()
        return True

    def swap(self, request: Request, old_name: str) -> None:
        """Play something else in place of what is named so in the playlist, or of what plays."""
        announce(self._to, request.name)
        for number, one in enumerate(self._next):
            if one.name == old_name:
                self._next[number] = request
                one.recording.abandon()
                return
        self._forget_transition()
        start_ms = request.range.start_ms
        request = request._replace(origin_ms=start_ms - (self._sent_ms - self._origin_ms))
        self._transition = _Transition(request, request.recording.seek(start_ms), start_ms)
        self._go_over()
        self._count_from(start_ms)

    def stop(self) -> None:
        """Files are closed once a read that is under way has ended."""
        self._task.cancel()
        self._forget_transition()
        for request in (self._request, *self._next):
            request.recording.abandon()

    # -- the task -------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._waits:
                await self._woken(None)
            self._begin()
            while True:
                await self._play()
                if self._transition is not None:
                    self._go_over()
                elif self._next:
                    await self._request.recording.close()
                    self._tell(PLAY_SWITCH)
                    self._request = self._next.popleft()
                    self._reset = False
                    self._begin()
                elif self._following:
                    self._ended = True
                    self._tell(PLAY_SWITCH)
                    for begin in self._following:
                        begin()
                    return
                else:
                    self._complete()
                    jumps = self._jumps
                    while jumps == self._jumps:
                        await self._woken(None)
                    self._ended = False
        except (OSError, RemoteProtocolError) as error:
            reason = str(error) or "the disk does not answer"
            self._ended = True
            self._log.error("play_failed", stream=self.name, reason=reason)
            self._to.status(PLAY_FAILED, f"{self.name} cannot be read.", LEVEL_ERROR)

    def _begin(self) -> None:
        name, start_ms = self.name, self._request.range.start_ms
        self._origin_ms = self._request.origin_ms
        self._ends_ms = self._ends_at(start_ms)
        self._to.signal(STREAM_IS_RECORDED)
        self._to.signal(STREAM_BEGIN)
        if self._reset:
            self._to.status(PLAY_RESET, f"Playing and resetting {name}.", details=name)
        self._to.status(PLAY_START, f"Started playing {name}.", details=name)
        access = sample_access_message(self._to.peer.client, name)
        for payload in (access, DATA_START_MESSAGE, self._metadata()):
            self._put(RecordedTag(DATA, 0, start_ms, payload))
        self._jump(start_ms)

    async def _play(self) -> None:
        """Until the end, or the end of what was asked for."""
        jumps = -1
        while self._at is not None:
            recording, at = self._request.recording, self._at
            async with asyncio.timeout(_READ_SECONDS):
                if jumps != self._jumps:
                    jumps = self._jumps
                    headers = await recording.headers(at)
                    if jumps == self._jumps:
                        for header in headers:
                            self._put(header._replace(ms=self._from_ms))
                if jumps != self._jumps:
                    continue
                tags, following = await recording.read(at, _READ_BYTES)
            if at == self._led_to:
                self._begin_at_first_frame(tags)
            for tag in tags:
                if jumps == self._jumps:
                    await self._until_due(tag, jumps)
                if jumps == self._jumps and self._transition and tag.ms >= self._transition.ms:
                    self._go_over()
                if jumps != self._jumps:
                    break
                if self._ends_ms is not None and tag.ms >= self._ends_ms:
                    return
                if not tag.flags & self._refused and not self._is_early(tag):
                    self._put(tag)
                if tag.flags & media.KEY_FRAME and self._request.range.duration_ms == 0:
                    return
            else:
                if jumps == self._jumps:
                    self._at = following

    def _begin_at_first_frame(self, tags: list[RecordedTag]) -> None:
        """A dump of a live stream may begin at any time: nobody waits for that."""
        frames = (tag.ms for tag in tags if tag.flags & _PICTURE or tag.flags == media.AUDIO)
        first_ms = next(frames, 0)
        if first_ms > self._now_ms():
            self._count_from(first_ms)

    def _is_early(self, tag: RecordedTag) -> bool:
        """Sound of before the beginning: pictures of then are needed, and seen for no time."""
        return tag.ms < self._origin_ms and tag.flags == media.AUDIO

    def _ends_at(self, start_ms: int) -> int | None:
        """One picture ends with itself, see `_play`."""
        duration_ms = self._request.range.duration_ms
        return start_ms + duration_ms if duration_ms else None

    async def _until_due(self, tag: RecordedTag, jumps: int) -> None:
        while jumps == self._jumps:
            if self._shows_one:
                is_frame = tag.flags & _PICTURE or tag.flags == media.AUDIO
                self._shows_one = not is_frame
                return
            if self._paused:
                await self._woken(None)
            elif (early := tag.ms - self._buffer_ms - self._now_ms()) > 0:
                await self._woken(early / 1000)
            elif self._has_enough():
                self._peer.outbox.when_less(self._wake.set)
                await self._woken(None)
            else:
                return

    def _has_enough(self) -> bool:
        """To send for now. What it has room for changes with the client's limit."""
        outbox = self._peer.outbox
        return outbox.size > min(_UNREAD_BYTES, outbox.room // _UNREAD_PART)

    async def _woken(self, seconds: float | None) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _complete(self) -> None:
        self._ended = True
        self._to.signal(STREAM_EOF)
        self._tell(PLAY_COMPLETE)
        self._to.status(PLAY_STOP, f"Stopped playing {self.name}.", details=self.name)

    # -- transitions ----------------------------------------------------------------------

    def _go_over(self) -> None:
        assert self._transition is not None  # whoever calls has seen it
        (request, at, ms), self._transition = self._transition, None
        self._request.recording.abandon()
        self._request, self._origin_ms = request, request.origin_ms
        self._ends_ms = self._ends_at(ms)
        self._tell(PLAY_TRANSITION_COMPLETE, **completed(self.name))
        self._put(RecordedTag(DATA, 0, ms, self._metadata()))
        self._lead_to(ms, at)

    def _forget_transition(self) -> None:
        if self._transition is not None:
            self._transition.request.recording.abandon()
            self._transition = None

    # -- time and place -------------------------------------------------------------------

    def _jump(self, ms: int) -> None:
        self._lead_to(ms, self._request.recording.seek(ms))
        self._count_from(ms)

    def _lead_to(self, ms: int, at: Cursor) -> None:
        self._jumps += 1
        self._from_ms = self._sent_ms = ms
        self._at = self._led_to = at
        self._wake.set()

    def _count_from(self, ms: int) -> None:
        self._base = (asyncio.get_running_loop().time(), ms)

    def _now_ms(self) -> int:
        at, ms = self._base
        if self._paused:
            return ms
        return ms + round((asyncio.get_running_loop().time() - at) * 1000)

    # -- out ------------------------------------------------------------------------------

    def _metadata(self) -> bytes:
        return amf0.encode("onMetaData", pyamf.MixedArray(self._request.recording.metadata))

    def _put(self, tag: RecordedTag) -> None:
        peer = self._peer
        self._sent_ms = tag.ms
        data = encode_message(
            tag.type,
            self._msid,
            max(0, tag.ms - self._origin_ms) & 0xFFFFFFFF,
            tag.payload,
            _CSIDS[tag.type],
            peer.connection.chunk_size,
        )
        peer.outbox.put_media(self._msid, data, 0)  # no flags: it is not to be dropped
        self._turn.schedule()

    def _tell(self, code: str, **more: object) -> None:
        """onPlayStatus, with the length and size of what is played."""
        recording = self._request.recording
        length = {"duration": recording.duration_ms / 1000, "bytes": float(recording.size)}
        self._to.data(play_status(code, **length, **more))
