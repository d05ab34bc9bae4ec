"""Records one stream: what is published goes into segments, and never makes anybody wait.

    put ─► queue (bounded) ─► one task: a batch of tags ─► a write in the media lane

    a segment ends      at the first key frame after its time or size is over
    the disk fails, hangs or is too slow: the recording ends with `failed`; the stream goes on
    this process dies   the segment plays as far as it was written; `repair` completes it

One writer per file: a segment is created exclusively, under the epoch of the origin that serves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiofiles

from rtmp_sync.storage.manifest import (
    SegmentInfo,
    load_manifest,
    save_manifest,
    segment_file,
)
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA

__all__ = ["RecordLimits", "Recorder", "Take"]

_MAX_HEADERS: Final = 64  # of tracks and kinds, as a live stream keeps
_MAX_NUMBER: Final = 999_999  # segments of one epoch


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """Of one segment, and of what may wait for the disk."""

    segment_seconds: float = 600.0
    segment_bytes: int = 1 << 30
    queue_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class Take:
    """What is recorded, by whom, and from where on in the whole recording."""

    folder: Path
    stream: str
    node: str
    epoch: int
    start_ms: int = 0
    gap_ms: int = 0


class _Message(NamedTuple):
    """ms: since the take began."""

    type: int
    ms: int
    payload: bytes
    flags: int


class Recorder:
    """`begin` before anything else, `end` at last. failed: why nothing is recorded any more, ""
    while all is well; `on_failed` is told once. on_segment: told of each one that begins or ends.
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
        self._take = take
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

    def begin(self) -> None:
        """Start to write what comes."""
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
        self._last_timestamp = timestamp
        self._queue.append(_Message(type, max(0, self._ms), payload, flags))
        self._queued_bytes += len(payload)
        if self._queued_bytes > self._limits.queue_bytes:
            self._fail(f"the disk is too slow: {self._queued_bytes} bytes wait for it")
        self._filled.set()

    async def end(self) -> None:
        """Write what waits, and close. Returns at once when the recording has failed; whoever
        cannot wait for the disk puts a time-out around it."""
        self._ending = True
        self._filled.set()
        if self._task is not None and not self.failed:
            await asyncio.shield(self._task)

    @property
    def end_ms(self) -> int:
        """Where the recording ends by now."""
        return self._take.start_ms + max(0, self._ms)

    # -- the one task that writes ---------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                ending = self._ending  # before the queue is taken: nothing comes after it
                messages, self._queue = self._queue, []
                self._queued_bytes = 0
                if messages and not self.failed:
                    await self._write(messages)
                if ending or self.failed:
                    break
        except OSError as error:
            self._fail(error.strerror or str(error))
        with contextlib.suppress(OSError):
            await self._close()

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
        take, loop = self._take, asyncio.get_running_loop()
        number = self._info.number + 1 if self._info is not None else 1
        start_ms = take.start_ms + first.ms
        name, self._file = await loop.run_in_executor(self._lane, self._create, number)
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
        folder = self._take.folder
        folder.mkdir(parents=True, exist_ok=True)
        while number <= _MAX_NUMBER:
            name = segment_file(self._take.epoch, number)
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
        if message.flags & (media.SEQUENCE_HEADER | media.METADATA):
            slot = (message.type, message.flags)
            if slot in self._headers or len(self._headers) < _MAX_HEADERS:
                self._headers[slot] = message

    def _tag(self, message: _Message) -> bytes:
        assert self._segment is not None
        assert self._info is not None
        ms = self._take.start_ms + message.ms - self._info.start_ms
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
        self._info = replace(
            self._info, duration_ms=segment.last_ms, bytes=segment.size, state="closed"
        )
        await self._tell()

    async def _tell(self) -> None:
        """The manifest says so, and so does whoever listens."""
        assert self._info is not None
        self._on_segment(self._info)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._lane, _put_in_manifest, self._take.folder, self._info)

    def _fail(self, reason: str) -> None:
        if not self.failed:
            self.failed = reason
            self._queue.clear()
            self._filled.set()
            self._on_failed(reason)


async def _write_all(file: Any, data: bytes) -> None:
    """An unbuffered file may take a part. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[await file.write(rest) :]


def _put_in_manifest(folder: Path, info: SegmentInfo) -> None:
    known = {one.file: one for one in load_manifest(folder)}
    save_manifest(folder, {**known, info.file: info}.values())
