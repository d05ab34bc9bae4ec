"""Recorded streams being played: each player at its own place, ahead by the length of its buffer.

    play     StreamIsRecorded, StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess, Data.Start,
             onMetaData, sequence headers, then media in time
    seek     StreamEOF, StreamIsRecorded, StreamBegin, Seek.Notify, Play.Start, sequence headers,
             then from the key frame at or before the place
    the end  StreamEOF, onPlayStatus with Play.Complete, Play.Stop; seeking is still possible

Timestamps count from where `play` was asked to begin, as FMS has it and librtmp's resume needs it:
pictures from the key frame before come at 0, sound from there not at all. After a seek they are
the recording's own. A playlist (`reset` false) goes on with the next one, told by
Play.Switch. A player that does not read is waited for; nothing of a recording is ever dropped.
`docs: wire/rtmp.md` section 6.2.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

import pyamf
import structlog

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.server.peer_stream import DATA_START_MESSAGE, SAMPLE_ACCESS_MESSAGE, StreamPeer
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
    LEVEL_STATUS,
    PAUSE_NOTIFY,
    PLAY_COMPLETE,
    PLAY_FAILED,
    PLAY_RESET,
    PLAY_START,
    PLAY_STOP,
    PLAY_SWITCH,
    SEEK_INVALID_TIME,
    SEEK_NOTIFY,
    STREAM_BEGIN,
    STREAM_EOF,
    STREAM_IS_RECORDED,
    UNPAUSE_NOTIFY,
    VIDEO,
)

__all__ = ["RecordedStreams", "Request"]

_READ_BYTES: Final = 64 * 1024
_READ_SECONDS: Final = 10.0  # a NAS that takes longer has failed this player
_BUFFER_MS: Final = 3000  # ahead of time, until the player says how much it takes
_UNREAD_BYTES: Final = 512 * 1024  # in the outbox, or a part of what that holds; the rest waits
_UNREAD_PART: Final = 4  # on the disk
_PLAYLIST: Final = 100  # more is no playlist
_CSIDS: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, DATA: CSID_STREAM}


class Request(NamedTuple):
    """duration_ms: None for all of it, 0 for one picture."""

    name: str
    recording: Recording
    start_ms: int
    duration_ms: int | None


class RecordedStreams:
    """Of one instance."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._players: dict[tuple[StreamPeer, int], _Player] = {}

    def play(self, peer: StreamPeer, msid: int, request: Request, reset: int) -> None:
        """Play now, or after what plays already."""
        player = self._players.get((peer, msid))
        if player is not None and not reset & 1 and player.append(request):
            return
        self.stop(peer, msid)
        self._players[peer, msid] = _Player(self._turn, peer, msid, request, reset)

    def is_playing(self, peer: StreamPeer, msid: int) -> bool:
        """Whether a recording is played there, or was and may be sought."""
        return (peer, msid) in self._players

    def played_by(self, peer: StreamPeer, msid: int) -> str | None:
        """The name of what a message stream plays."""
        player = self._players.get((peer, msid))
        return player.name if player is not None else None

    def pause(self, peer: StreamPeer, msid: int, paused: bool) -> None:
        self._players[peer, msid].pause(paused)

    def seek(self, peer: StreamPeer, msid: int, ms: float) -> None:
        self._players[peer, msid].seek(ms)

    def want(self, peer: StreamPeer, msid: int, kind: int, wanted: bool) -> None:
        """Audio or video (`media.AUDIO`, `media.VIDEO`) is wanted, or no longer."""
        self._players[peer, msid].want(kind, wanted)

    def set_buffer(self, peer: StreamPeer, msid: int, ms: int) -> None:
        player = self._players.get((peer, msid))
        if player is not None:
            player.set_buffer(ms)

    def stop(self, peer: StreamPeer, msid: int) -> None:
        player = self._players.pop((peer, msid), None)
        if player is not None:
            player.stop()

    def leave(self, peer: StreamPeer) -> None:
        """A connection is gone."""
        for owner, msid in [key for key in self._players if key[0] is peer]:
            self.stop(owner, msid)


class _Player:
    """One message stream that plays recordings; its task reads, waits and sends."""

    def __init__(
        self, turn: Turn, peer: StreamPeer, msid: int, request: Request, reset: int
    ) -> None:
        self._turn = turn
        self._peer = peer
        self._msid = msid
        self._request = request
        self._next: deque[Request] = deque()
        self._reset = reset
        self._buffer_ms = _BUFFER_MS
        self._most_unread = min(_UNREAD_BYTES, peer.outbox.limit // _UNREAD_PART)
        self._paused = False
        self._refused = 0  # media.AUDIO and media.VIDEO, when the player does not want them
        self._at: Cursor | None = None
        self._jumps = 0  # seeks, and beginnings of other recordings: what was read is of before
        self._origin_ms = 0  # of the recording: what its timestamps are counted from
        self._base = (0.0, 0)  # loop time -> ms of the recording, from which time is counted
        self._wake = asyncio.Event()
        self._ended = False  # told to be complete
        self._task = asyncio.ensure_future(self._run())
        self._log = structlog.get_logger("rtmp_sync.recorded")

    @property
    def name(self) -> str:
        """What it plays now."""
        return self._request.name

    def append(self, request: Request) -> bool:
        if self._ended or len(self._next) >= _PLAYLIST:
            return False
        self._next.append(request)
        return True

    def pause(self, paused: bool) -> None:
        code, done = (PAUSE_NOTIFY, "Pausing") if paused else (UNPAUSE_NOTIFY, "Unpausing")
        if paused != self._paused:
            self._count_from(self._now_ms())
            self._paused = paused
        self._status(code, f"{done} {self._request.name}.")
        self._wake.set()

    def seek(self, ms: float) -> None:
        recording = self._request.recording
        if not 0 <= ms <= recording.duration_ms:
            self._status(SEEK_INVALID_TIME, f"There is no {ms:.0f} ms.", level=LEVEL_ERROR)
            return
        self._signal(STREAM_EOF)
        self._signal(STREAM_IS_RECORDED)
        self._signal(STREAM_BEGIN)
        self._origin_ms = 0
        name = self._request.name
        self._status(SEEK_NOTIFY, f"Seeking {ms:.0f} (stream ID: {self._msid}).", details=name)
        self._status(PLAY_START, f"Started playing {name}.", details=name)
        self._jump(int(ms))

    def want(self, kind: int, wanted: bool) -> None:
        if not wanted:
            self._refused |= kind
        elif self._refused & kind:
            self._refused &= ~kind
            self.seek(self._now_ms())

    def set_buffer(self, ms: int) -> None:
        self._buffer_ms = ms
        self._wake.set()

    def stop(self) -> None:
        """Files are closed once a read that is under way has ended."""
        self._task.cancel()
        for request in (self._request, *self._next):
            request.recording.abandon()

    # -- the task -------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            self._begin()
            while True:
                await self._play()
                if self._next:
                    await self._request.recording.close()
                    self._tell(PLAY_SWITCH)
                    self._request = self._next.popleft()
                    self._reset = 0
                    self._begin()
                    continue
                self._complete()
                jumps = self._jumps
                while jumps == self._jumps:
                    await self._woken(None)
                self._ended = False
        except (OSError, RemoteProtocolError) as error:
            reason = str(error) or "the disk does not answer"
            self._log.error("play_failed", stream=self._request.name, reason=reason)
            text = f"{self._request.name} cannot be read."
            self._status(PLAY_FAILED, text, level=LEVEL_ERROR)

    def _begin(self) -> None:
        name = self._request.name
        self._origin_ms = self._request.start_ms
        self._signal(STREAM_IS_RECORDED)
        self._signal(STREAM_BEGIN)
        if self._reset & 1:
            self._status(PLAY_RESET, f"Playing and resetting {name}.", details=name)
        self._status(PLAY_START, f"Started playing {name}.", details=name)
        metadata = pyamf.MixedArray(self._request.recording.metadata)
        for payload in (
            SAMPLE_ACCESS_MESSAGE,
            DATA_START_MESSAGE,
            amf0.encode("onMetaData", metadata),
        ):
            self._put(RecordedTag(DATA, 0, self._request.start_ms, payload))
        self._jump(self._request.start_ms)

    async def _play(self) -> None:
        """Until the end, or the end of what was asked for."""
        recording, ends = self._request.recording, self._ends_at()
        jumps = -1
        while self._at is not None:
            async with asyncio.timeout(_READ_SECONDS):
                if jumps != self._jumps:
                    jumps, at = self._jumps, self._at
                    for header in await recording.headers(at):
                        self._put(header._replace(ms=self._base[1]))
                at = self._at
                tags, following = await recording.read(at, _READ_BYTES)
            for tag in tags:
                if jumps == self._jumps:
                    await self._until_due(tag, jumps)
                if jumps != self._jumps:
                    break
                if ends is not None and tag.ms >= ends:
                    return
                if not tag.flags & self._refused and not self._is_early(tag):
                    self._put(tag)
                if self._request.duration_ms == 0 and tag.flags & media.KEY_FRAME:
                    return
            else:
                if jumps == self._jumps:
                    self._at = following

    def _is_early(self, tag: RecordedTag) -> bool:
        """Sound of before the beginning: pictures of then are needed, and seen for no time."""
        return tag.ms < self._origin_ms and tag.flags == media.AUDIO

    def _ends_at(self) -> int | None:
        """One picture ends with itself, see `_play`."""
        duration_ms = self._request.duration_ms
        return self._request.start_ms + duration_ms if duration_ms else None

    async def _until_due(self, tag: RecordedTag, jumps: int) -> None:
        while jumps == self._jumps:
            if self._paused:
                await self._woken(None)
            elif (early := tag.ms - self._buffer_ms - self._now_ms()) > 0:
                await self._woken(early / 1000)
            elif self._peer.outbox.size > self._most_unread:
                self._peer.outbox.when_less(self._wake.set)
                await self._woken(None)
            else:
                return

    async def _woken(self, seconds: float | None) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _complete(self) -> None:
        name = self._request.name
        self._ended = True
        self._signal(STREAM_EOF)
        self._tell(PLAY_COMPLETE)
        self._status(PLAY_STOP, f"Stopped playing {name}.", details=name)

    # -- time and place -------------------------------------------------------------------

    def _jump(self, ms: int) -> None:
        self._jumps += 1
        self._at = self._request.recording.seek(ms)
        self._count_from(ms)
        self._wake.set()

    def _count_from(self, ms: int) -> None:
        self._base = (asyncio.get_running_loop().time(), ms)

    def _now_ms(self) -> int:
        at, ms = self._base
        if self._paused:
            return ms
        return ms + round((asyncio.get_running_loop().time() - at) * 1000)

    # -- out ------------------------------------------------------------------------------

    def _put(self, tag: RecordedTag) -> None:
        peer = self._peer
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

    def _signal(self, event: int) -> None:
        data = self._peer.connection.user_control(event, self._msid)
        self._turn.send(self._peer.outbox, self._msid, data)

    def _tell(self, code: str) -> None:
        """onPlayStatus comes as data, with the length and size of what was played."""
        recording = self._request.recording
        told = {
            "level": LEVEL_STATUS,
            "code": code,
            "duration": recording.duration_ms / 1000,
            "bytes": float(recording.size),
        }
        payload = amf0.encode("onPlayStatus", told)
        data = self._peer.connection.message(DATA, payload, msid=self._msid)
        self._turn.send(self._peer.outbox, self._msid, data)

    def _status(
        self, code: str, description: str, level: str = LEVEL_STATUS, **more: object
    ) -> None:
        data = self._peer.connection.status(self._msid, level, code, description, **more)
        self._turn.send(self._peer.outbox, self._msid, data)
