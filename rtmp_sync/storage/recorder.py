"""Records one stream: what is published goes into segments, and never makes anybody wait.

    put ─► queue (bounded) ─► one task: a batch of tags ─► a write in the media lane

    a segment ends      at the first key frame after its time or size is over
    the disk fails, hangs or is too slow: the recording ends with `failed`; the stream goes on, and
                        the segment is completed as far as it was written, if the disk takes that
    this process dies   the segment plays as far as it was written; `repair` completes it

One writer per file: a segment is created exclusively, under the epoch of the origin that serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiofiles

from rtmp_sync.storage.manifest import SegmentInfo, segment_file, update_manifest
from rtmp_sync.storage.media_folders import FILE
from rtmp_sync.storage.mending import discard, mend_segment
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA

__all__ = ["RecordLimits", "Recorder", "Take", "segments_after"]

_MAX_HEADERS: Final = 64  # of tracks and kinds, as a live stream keeps
_PROGRESS_MS: Final = 10_000  # how often it is told how far an open segment is
_CONFIGURATION: Final = media.SEQUENCE_HEADER | media.METADATA
_MAX_NUMBER: Final = 999_999  # segments of one epoch


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """Of one segment, of what may wait for the disk, and for how long."""

    segment_seconds: float = 600.0
    segment_bytes: int = 1 << 30
    queue_bytes: int = 32 << 20
    stall_seconds: float = 30.0  # a NAS that fails over is back by then


@dataclass(frozen=True, slots=True)
class Take:
    """What is recorded, by whom, and from where on in the whole recording.

    root: the folder of the configuration that `folder` is below. instance: "app/instance".
    identity: (device, inode) of `folder`, which may have several names. anew: what is in it
    goes away; later: segments in it of later epochs, of a pair that has begun anew since.
    known: segments that its manifest may lack, because others have them. trouble: why
    nothing can be recorded; then the stream is published all the same.
    """

    folder: Path
    stream: str
    node: str
    epoch: int
    start_ms: int = 0
    gap_ms: int = 0
    root: Path = Path()
    instance: str = ""
    identity: tuple[int, int] = (0, 0)
    anew: bool = False
    later: frozenset[str] = frozenset()
    known: tuple[SegmentInfo, ...] = ()
    trouble: str = ""


class _Message(NamedTuple):
    """ms: since the take began."""

    type: int
    ms: int
    payload: bytes
    flags: int


class Recorder:
    """`begin` before anything else, `end` at last. failed: why nothing is recorded any more, ""
    while all is well; `on_failed` is told once. on_segment: told of each one that begins, goes on
    for ten seconds, or ends. take.trouble: it has failed before it began.
    """

    def __init__(
        self,
        take: Take,
        limits: RecordLimits,
        lane: Executor,
        *,
        metadata: dict[str, object],
        on_segment: Callable[[SegmentInfo], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self.failed = ""
        self.dropped = 0  # messages that came after that
        self.take = take
        self._limits = limits
        self._lane = lane
        self._metadata = metadata
        self._on_segment = on_segment
        self._on_failed = on_failed
        self._headers: dict[tuple[int, int], _Message] = {}
        self._queue: list[_Message] = []
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self._last_timestamp: int | None = None
        self._ms = 0  # of the message that came last, since the take began
        self._file: Any = None
        self._segment: Segment | None = None
        self._info: SegmentInfo | None = None
        self._busy_since: float | None = None  # loop time at which the disk was given something

    def begin(self) -> None:
        """Start to write what comes."""
        if self.take.trouble:
            self.fail(self.take.trouble)
        else:
            self._task = asyncio.ensure_future(self._run())

    def set_metadata(self, metadata: dict[str, object]) -> None:
        """The publisher's, for the segments that begin from now on."""
        self._metadata = metadata

    def put(self, type: int, timestamp: int, payload: bytes, flags: int) -> None:
        """One message of the stream; timestamp in ms, u32, which may wrap."""
        if self.failed:
            self.dropped += 1
            return
        if self._last_timestamp is not None:
            step = (timestamp - self._last_timestamp) & 0xFFFFFFFF
            self._ms += step - (1 << 32) if step & 0x80000000 else step
        if self._last_timestamp is not None or not flags & _CONFIGURATION:
            self._last_timestamp = timestamp  # a configuration does not say where a stream begins
        self._queue.append(_Message(type, max(0, self._ms), payload, flags))
        self._queued_bytes += len(payload)
        if self._queued_bytes > self._limits.queue_bytes:
            self.fail(f"the disk is too slow: {self._queued_bytes} bytes wait for it")
        elif self._busy_since is not None:
            stalled = asyncio.get_running_loop().time() - self._busy_since
            if stalled > self._limits.stall_seconds:
                self.fail(f"the disk does not answer for {stalled:.0f} seconds")
        self._filled.set()

    async def end(self) -> None:
        """Write what waits, and close. Returns at once when the recording has failed; whoever
        cannot wait for the disk puts a time-out around it."""
        self._ending = True
        self._filled.set()
        if not self.failed:
            await self.finished()

    async def finished(self) -> None:
        """Return when nothing is written any more, also after a failure."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def fail(self, reason: str) -> None:
        """Record nothing any more."""
        if not self.failed:
            self.failed = reason
            self._queue.clear()
            self._filled.set()
            self._on_failed(reason)

    @property
    def ending(self) -> bool:
        """Whether it only writes what waits, or not even that."""
        return self._ending or bool(self.failed)

    @property
    def end_ms(self) -> int:
        """Where the recording ends by now."""
        return self.take.start_ms + max(0, self._ms)

    # -- the one task that writes ---------------------------------------------------------

    async def _run(self) -> None:
        try:
            self._busy_since = asyncio.get_running_loop().time()
            await self._in_lane(_make_ready, self.take)
            while True:
                self._busy_since = None
                await self._filled.wait()
                self._filled.clear()
                self._busy_since = asyncio.get_running_loop().time()
                ending = self._ending  # before the queue is taken: nothing comes after it
                messages, self._queue = self._queue, []
                self._queued_bytes = 0
                if messages and not self.failed:
                    await self._write(messages)
                if ending or self.failed:
                    break
        except OSError as error:
            self.fail(error.strerror or str(error))
        with contextlib.suppress(OSError):
            await (self._salvage() if self.failed else self._close())
            if self._info is None:
                await self._in_lane(self.take.folder.rmdir)  # unless there is something in it

    async def _write(self, messages: list[_Message]) -> None:
        batch: list[bytes] = []
        for message in messages:
            if self._is_over(message):
                await self._flush(batch)
                await self._close()
            if self._segment is None:
                batch.append(await self._open(message))
            self._keep_header(message)
            batch.append(self._tag(message))
        await self._flush(batch)
        info, segment = self._info, self._segment
        if info and segment and segment.last_ms >= info.duration_ms + _PROGRESS_MS:
            self._info = self._so_far(info, segment)
            self._on_segment(self._info)

    def _is_over(self, message: _Message) -> bool:
        """The segment ends before this message: it begins with a key frame, or is heard only."""
        segment = self._segment
        if segment is None or message.type == DATA:
            return False
        limits = self._limits
        is_full = (
            segment.last_ms >= limits.segment_seconds * 1000 or segment.size >= limits.segment_bytes
        )
        return is_full and (bool(message.flags & media.KEY_FRAME) or not segment.video_bytes)

    async def _open(self, first: _Message) -> bytes:
        """A new file; what it begins with."""
        take = self.take
        number = self._info.number + 1 if self._info is not None else 1
        start_ms = take.start_ms + first.ms
        name, self._file = await self._in_lane(self._create, number)
        number = int(name.partition("-")[2].partition(".")[0])
        gap_ms = take.gap_ms if self._info is None else 0
        info = SegmentInfo(name, take.node, take.epoch, number, start_ms, gap_ms=gap_ms)
        self._info = info
        facts = {
            "stream": take.stream,
            "node": take.node,
            "epoch": float(take.epoch),
            "number": float(number),
            "startMs": float(start_ms),
            "gapMs": float(gap_ms),
        }
        self._segment = Segment(facts, dict(self._metadata))
        await self._tell()
        begin = self._segment.begin()
        tags = [
            self._segment.tag(header.type, 0, header.payload, header.flags)
            for header in self._headers.values()
        ]
        return b"".join([begin, *tags])

    def _create(self, number: int) -> tuple[str, Any]:
        """Raises OSError. Blocks: runs in the lane."""
        folder = self.take.folder
        while number <= _MAX_NUMBER:
            name = segment_file(self.take.epoch, number)
            try:
                return name, aiofiles.threadpool.wrap(
                    (folder / name).open("xb", buffering=0),
                    loop=None,
                    executor=self._lane,
                )
            except FileExistsError:  # of an earlier take of this epoch
                number += 1
        raise OSError("too many segments of one epoch")

    def _keep_header(self, message: _Message) -> None:
        if message.flags & _CONFIGURATION:
            slot = (message.type, message.flags)
            if slot in self._headers or len(self._headers) < _MAX_HEADERS:
                self._headers[slot] = message

    def _tag(self, message: _Message) -> bytes:
        assert self._segment is not None
        assert self._info is not None
        ms = self.take.start_ms + message.ms - self._info.start_ms
        return self._segment.tag(message.type, max(0, ms), message.payload, message.flags)

    async def _flush(self, batch: list[bytes]) -> None:
        if batch:
            await _write_all(self._file, b"".join(batch))
            batch.clear()

    async def _close(self) -> None:
        """Complete the segment. Raises OSError."""
        file, segment, self._file, self._segment = self._file, self._segment, None, None
        if file is None or segment is None or self._info is None:
            return
        try:
            for at, data in segment.end():
                await file.seek(at)
                await _write_all(file, data)
        finally:
            await file.close()
        self._info = replace(self._so_far(self._info, segment), state="closed")
        await self._tell()

    def _so_far(self, info: SegmentInfo, segment: Segment) -> SegmentInfo:
        return replace(info, duration_ms=segment.last_ms, bytes=segment.size)

    async def _salvage(self) -> None:
        """Complete what is whole of the segment: the disk took a part of the last batch, or
        nobody knows what. Raises OSError."""
        file, self._file, self._segment = self._file, None, None
        if file is None or self._info is None:
            return
        await file.close()
        path = self.take.folder / self._info.file
        info = await self._in_lane(mend_segment, path, self.take.node)
        if info is None:
            await self._in_lane(discard, path)
        else:
            self._info = info
            await self._tell()

    async def _tell(self) -> None:
        """The manifest says so, and so does whoever listens."""
        assert self._info is not None
        self._on_segment(self._info)
        await self._in_lane(update_manifest, self.take.folder, [self._info])

    async def _in_lane(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._lane, work, *arguments)


async def _write_all(file: Any, data: bytes) -> None:
    """An unbuffered file may take a part. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[await file.write(rest) :]


def _make_ready(take: Take) -> None:
    """The folder, without what was in it or with what others know of it. Raises OSError."""
    take.folder.mkdir(parents=True, exist_ok=True)
    if take.anew:
        _clear(take)
    elsewhere = [one for one in take.known if not (take.folder / one.file).exists()]
    if elsewhere:
        update_manifest(take.folder, elsewhere)


def _clear(take: Take) -> None:
    """Remove what is there. Raises OSError, too, when an origin of a later epoch records there by
    now: a NAS may have kept this waiting for longer than the takeover took."""
    # what would refuse comes first, so that then all is left as it is
    for entry in sorted(take.folder.iterdir(), key=_segments_last, reverse=True):
        if _is_later(entry, take.epoch) and entry.name not in take.later:
            raise OSError("another origin records there by now")
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def segments_after(folder: Path, epoch: int) -> frozenset[str]:
    """Names of segments of later epochs. Blocks; raises OSError."""
    return frozenset(path.name for path in folder.glob("*" + FILE) if _is_later(path, epoch))


def _segments_last(path: Path) -> tuple[bool, str]:
    return path.suffix == FILE, path.name


def _is_later(path: Path, epoch: int) -> bool:
    return path.suffix == FILE and path.name >= segment_file(epoch + 1, 0)
