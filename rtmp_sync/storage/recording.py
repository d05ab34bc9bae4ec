"""A recording as one stream, whatever files it consists of.

    NAME.rec/   the segments of ours in their order, each from where it begins in the whole
    NAME.flv    a file that somebody put there, from 0

Where both are there, what is recorded goes on behind the file if it was appended to it, else it is
played instead. Segments that another node wrote on a disk of
its own are `missing`; what is here is played with the gap they leave. Reads are done in the media
lane, some tags at a time; the index of a file without one is made by looking at its tags' headers.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple, TypeGuard, TypeVar

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.manifest import SegmentInfo, elsewhere, load_manifest, whole
from rtmp_sync.storage.media_folders import FILE, RECORDING
from rtmp_sync.storage.segment import FACTS, TAG_BYTES, facts_in, read_metadata
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO

__all__ = ["Cursor", "RecordedTag", "Recording"]

T = TypeVar("T")

_HEAD: Final = Struct(">IIBBB")  # type + size, timestamp + its upper byte, stream id
_HEAD_BYTES: Final = 11
_MAX_SECONDS: Final = (1 << 32) / 1000  # timestamps are ms in 32 bits
_PEEK_BYTES: Final = 16  # of a tag's data, to see whether decoding may start there
_OURS: Final = frozenset({FACTS, "keyframes", "filesize", "datasize"})


class Cursor(NamedTuple):
    """Where in a recording: the file's number, and the position of a tag in it."""

    file: int
    position: int


class RecordedTag(NamedTuple):
    """ms since the recording began; flags as `media.classify` tells."""

    type: int
    flags: int
    ms: int
    payload: bytes


@dataclass(slots=True)
class _File:
    path: Path
    start_ms: int
    first: int  # position of the first tag behind onMetaData
    end: int
    last_ms: int
    entries: list[tuple[int, int]]  # (ms in this file, position) where decoding may start
    metadata: dict[str, object]


@dataclass(slots=True)
class Recording:
    """`open` makes one; `close` it. duration_ms: of what is here. missing: what is not.

    All methods that read raise OSError, and RemoteProtocolError for a file that is no FLV.
    """

    missing: tuple[SegmentInfo, ...]
    _files: list[_File]
    _lane: Executor
    _open: tuple[int, BinaryIO] | None = None
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _headers: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _closed: bool = False

    @classmethod
    async def open(cls, path: Path, lane: Executor, *others: Path) -> Recording | None:
        """The recording at a path of `MediaFolders.prove`; None if there is none. others: where
        more of its segments are, as on the disk of another node."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(lane, _look_at_all, (path, *others))
        if found is None:
            return None
        files, missing = found
        return cls(missing, files, lane)

    @property
    def duration_ms(self) -> int:
        return max((one.start_ms + one.last_ms for one in self._files), default=0)

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        return sum(one.end for one in self._files)

    @property
    def metadata(self) -> dict[str, object]:
        """For players: what the publisher said, and the length of the whole in seconds."""
        told = self._files[0].metadata if self._files else {}
        kept = {key: value for key, value in told.items() if key not in _OURS}
        return {**kept, "duration": self.duration_ms / 1000}

    @property
    def begin(self) -> Cursor:
        return Cursor(0, self._files[0].first if self._files else 0)

    def seek(self, ms: int) -> Cursor:
        """The last place at or before `ms` where decoding may start; of where a file begins, all
        that it begins with."""
        ms = max(0, ms)
        number = max(0, bisect_right([one.start_ms for one in self._files], ms) - 1)
        if not self._files:
            return self.begin
        file = self._files[number]
        within_ms = ms - file.start_ms
        index = bisect_right(file.entries, within_ms, key=itemgetter(0))
        position = file.entries[index - 1][1] if index and within_ms > 0 else file.first
        return Cursor(number, position)

    def seek_forward(self, ms: int) -> tuple[int, Cursor] | None:
        """The first place at or after `ms` where decoding may start, and its time; None if there
        is none any more."""
        for number, file in enumerate(self._files):
            index = bisect_left(file.entries, ms - file.start_ms, key=itemgetter(0))
            if index < len(file.entries):
                at_ms, position = file.entries[index]
                return file.start_ms + at_ms, Cursor(number, position)
        return None

    async def headers(self, at: Cursor) -> list[RecordedTag]:
        """The decoders' configuration for what is at a cursor, unless it begins with it."""
        return await self._run(self._read_headers, at)

    async def read(self, at: Cursor, max_bytes: int) -> tuple[list[RecordedTag], Cursor | None]:
        """The tags from a cursor on, at least one and then up to so many bytes of them, and
        where the next ones are: None at the end."""
        return await self._run(self._read, at, max_bytes)

    async def close(self) -> None:
        await self._run(self._end)

    def abandon(self) -> None:
        """Close it as soon as a read that is under way has ended; nobody waits for that."""
        self._lane.submit(self._alone, self._end)

    # -- in the lane ----------------------------------------------------------------------

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lane, self._alone, work, *arguments)

    def _alone(self, work: Callable[..., T], *arguments: Any) -> T:
        with self._busy:  # a read whose caller was cancelled may still go on
            return work(*arguments)

    def _end(self) -> None:
        self._closed = True  # a read whose caller is gone may come after this
        if self._open is not None:
            _, file = self._open
            self._open = None
            file.close()

    def _file(self, number: int) -> BinaryIO:
        if self._open is not None:
            current, file = self._open
            if current == number:
                return file
            self._open = None
            file.close()
        if self._closed:
            raise OSError("the recording was closed")
        file = self._files[number].path.open("rb")
        self._open = (number, file)
        return file

    def _read_headers(self, at: Cursor) -> list[RecordedTag]:
        """Of the file the cursor is in: those before it. A segment begins with its own."""
        if not self._files:
            return []  # it has just begun, or all of it is elsewhere
        described, file = self._files[at.file], self._file(at.file)
        position, found = described.first, {}
        while position < at.position:
            tag, position = _tag_at(file, position, described.end)
            if tag is None:
                break
            kept = tag.flags & (media.SEQUENCE_HEADER | media.METADATA)
            if kept:
                found[tag.type, tag.flags] = tag._replace(ms=0)
            elif tag.type != DATA and described.metadata.get(FACTS) is not None:
                break  # of ours, they come first; one that changed later begins a segment
        self._headers = {slot: tag.payload for slot, tag in found.items()}
        return list(found.values())

    def _read(self, at: Cursor, max_bytes: int) -> tuple[list[RecordedTag], Cursor | None]:
        tags: list[RecordedTag] = []
        number, position, taken = at.file, at.position, 0
        while number < len(self._files):
            described, file = self._files[number], self._file(number)
            while taken < max_bytes:
                tag, position = _tag_at(file, position, described.end)
                if tag is None:
                    break
                taken += TAG_BYTES + len(tag.payload)
                if self._is_news(tag):
                    tags.append(tag._replace(ms=described.start_ms + tag.ms))
            else:
                return tags, Cursor(number, position)
            number += 1
            position = self._files[number].first if number < len(self._files) else 0
        return tags, None

    def _is_news(self, tag: RecordedTag) -> bool:
        """Every segment begins with the same configuration as the one before, nearly always."""
        if not tag.flags & (media.SEQUENCE_HEADER | media.METADATA):
            return True
        slot = (tag.type, tag.flags)
        if self._headers.get(slot) == tag.payload:
            return False
        self._headers[slot] = tag.payload
        return True


def _tag_at(file: BinaryIO, position: int, end: int) -> tuple[RecordedTag | None, int]:
    """The tag there and where the next one is; (None, position) where none is whole."""
    file.seek(position)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None, position
    first, second, *_ = _HEAD.unpack(head)
    size = first & 0xFFFFFF
    if position + _HEAD_BYTES + size > end:
        return None, position
    payload = file.read(size)
    if len(payload) < size:
        return None, position
    type = first >> 24 & 0x1F
    ms = second >> 8 | (second & 0xFF) << 24
    flags = media.classify(type, payload) if type in (AUDIO, VIDEO) else 0
    return RecordedTag(type, flags, ms, payload), position + TAG_BYTES + size


def _look_at_all(paths: tuple[Path, ...]) -> tuple[list[_File], tuple[SegmentInfo, ...]] | None:
    """What is there together; of a file that is in several places the longest one."""
    files: dict[str, _File] = {}
    missing: dict[str, SegmentInfo] = {}
    for found in filter(None, map(_look, paths)):
        missing.update((one.file, one) for one in found[1])
        for file in found[0]:
            known = files.get(file.path.name)
            if known is None or known.end < file.end:
                files[file.path.name] = file
    if not files and not missing:
        return None
    in_order = sorted(files.values(), key=lambda file: (file.start_ms, file.path.name))
    return in_order, tuple(one for name, one in missing.items() if name not in files)


def _look(path: Path) -> tuple[list[_File], tuple[SegmentInfo, ...]] | None:
    """Blocks. Raises OSError and RemoteProtocolError."""
    folder, single = path.with_name(path.name + RECORDING), path.with_name(path.name + FILE)
    files, missing = _look_at_segments(folder) if folder.is_dir() else ([], ())
    begins = [*(one.start_ms for one in files), *(one.start_ms for one in missing)]
    begin_ms = min(begins, default=None)
    if begin_ms != 0 and single.is_file():
        file = _look_at_file(single)
        if begin_ms is None or file.last_ms <= begin_ms:
            files.insert(0, file)
    return (files, missing) if files or missing else None


def _look_at_segments(folder: Path) -> tuple[list[_File], tuple[SegmentInfo, ...]]:
    files = []
    for path in sorted(folder.glob("*" + FILE)):
        if path.is_symlink():  # it may lead anywhere
            continue
        try:
            files.append(_look_at_file(path))
        except RemoteProtocolError:  # not a word of it came to the disk
            continue
    here = [file.path.name for file in files]
    begins = [one.path.name for one in files if one.start_ms == 0 and facts_in(one.metadata)]
    missing = elsewhere(load_manifest(folder), here, begins)
    return sorted(files, key=lambda file: (file.start_ms, file.path.name)), missing


def _look_at_file(path: Path) -> _File:
    with path.open("rb") as file:
        metadata, first = read_metadata(file)
        end = file.seek(0, 2)
        if _tag_at(file, first, end)[0] is None:
            raise RemoteProtocolError("an FLV file in which nothing is whole")
        start_ms = whole(facts_in(metadata).get("startMs"))
        entries, last_ms = _told_index(metadata, file, first, end) or _scan(file, first, end)
    return _File(path, start_ms, first, end, last_ms, entries, metadata)


def _told_index(
    metadata: dict[str, object], file: BinaryIO, first: int, end: int
) -> tuple[list[tuple[int, int]], int] | None:
    """What the file says of itself, if it is true: other programs move tags and forget it."""
    index, duration = metadata.get("keyframes"), metadata.get("lasttimestamp")
    if not isinstance(index, dict) or not _is_time(duration):
        return None
    times, positions = index.get("times"), index.get("filepositions")
    if (
        not isinstance(times, list)
        or not isinstance(positions, list)
        or len(times) != len(positions)
    ):
        return None
    entries = []
    for seconds, at in zip(times, positions, strict=True):
        if not _is_time(seconds) or not isinstance(at, float) or not first <= at < end:
            return None
        entries.append((round(seconds * 1000), int(at)))
    if not entries or entries != sorted(entries):
        return None
    for _, position in (entries[0], entries[-1]):
        tag, _ = _tag_at(file, position, end)
        if tag is None or not tag.flags & (media.KEY_FRAME | media.SEQUENCE_HEADER):
            return None
    return entries, round(duration * 1000)


def _is_time(seconds: object) -> TypeGuard[float]:
    """Whether a tag can be at that time."""
    return isinstance(seconds, float) and 0 <= seconds < _MAX_SECONDS


def _scan(file: BinaryIO, first: int, end: int) -> tuple[list[tuple[int, int]], int]:
    """Look at every tag's header. In a file without video one may start at any tag: once a
    second is listed."""
    frames: list[tuple[int, int]] = []
    sounds: list[tuple[int, int]] = []
    position, last_ms = first, 0
    while position + _HEAD_BYTES <= end:
        file.seek(position)
        head = file.read(_HEAD_BYTES + _PEEK_BYTES)
        if len(head) < _HEAD_BYTES:
            break
        kind, second, *_ = _HEAD.unpack_from(head)
        size, type = kind & 0xFFFFFF, kind >> 24 & 0x1F
        if position + _HEAD_BYTES + size > end:
            break
        ms = second >> 8 | (second & 0xFF) << 24
        if type in (AUDIO, VIDEO):
            last_ms = max(last_ms, ms)
            flags = media.classify(type, head[_HEAD_BYTES : _HEAD_BYTES + size])
            if flags & media.KEY_FRAME:
                frames.append((ms, position))
            elif type == AUDIO and (not sounds or ms >= sounds[-1][0] + 1000):
                sounds.append((ms, position))
        position += TAG_BYTES + size
    return frames or sounds, last_ms
