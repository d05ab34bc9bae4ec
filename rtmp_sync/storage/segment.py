"""One segment of a recording: an FLV file that plays at any time, whatever ended its writer.

    file header   13 bytes
    onMetaData    one script tag, padded by a value behind it that nobody looks at: what is only
                  known at the end (duration, sizes, the index of key frames) is written over it
    tags          as they were published, their timestamps counted from the segment's first

A writer that died leaves an onMetaData without a duration and perhaps a last tag that is cut
short: `repair` cuts that off and completes the rest. Pure: who writes and when is `recorder.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import pyamf

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag, encode_file_header, encode_tag

__all__ = ["FACTS", "FIRST_TAG", "Segment", "facts_in", "metadata_of", "read_metadata", "repair"]

FIRST_TAG: Final = 13  # where onMetaData is
TAG_BYTES: Final = 15  # of a tag beside its data: header and trailing size
FACTS: Final = "rtmpSync"  # the property that tells which part of which recording this is
_RESERVED_BYTES: Final = 16 * 1024  # for onMetaData: about 800 key frames, half an hour of them
_METADATA_BYTES: Final = 8 * 1024  # of the publisher's own; an encoder sends some hundred
_FLAGS: Final = 4  # where the file header says what is in it
_READ_BYTES: Final = 1 << 20
_FIRST_BYTES: Final = 64 * 1024  # at a time, for what a file begins with

# What is said at the end. A publisher may say it, too: of its own file, or as a guess.
_AT_THE_END: Final = frozenset(
    [
        "duration",
        "lasttimestamp",
        "lastkeyframetimestamp",
        "filesize",
        "datasize",
        "audiosize",
        "videosize",
        "hasAudio",
        "hasVideo",
        "hasMetadata",
        "hasKeyframes",
        "canSeekToEnd",
        "keyframes",
    ]
)

Patch = tuple[int, bytes]  # (position in the file, what to write over there)
Metadata = dict[str, object]


@dataclass(slots=True)
class Segment:
    """What has gone into a segment so far. facts: what `FACTS` tells of it (strings, numbers).

    metadata: of the publisher. All lengths in bytes, all times in milliseconds.
    """

    facts: Mapping[str, object]
    metadata: Metadata = field(default_factory=dict)
    size: int = 0
    last_ms: int = 0  # of the last audio or video tag
    audio_bytes: int = 0
    video_bytes: int = 0
    key_frames: list[tuple[int, int]] = field(default_factory=list)  # (ms, position of the tag)
    _reserved: int = 0  # of onMetaData's tag data

    def begin(self) -> bytes:
        """The bytes the file starts with."""
        if len(amf0.encode(self.metadata)) > _METADATA_BYTES:
            self.metadata = {}
        self._reserved = max(_RESERVED_BYTES, 2 * len(_encoded(self._told(complete=False))))
        tag = encode_tag(DATA, 0, self._script(complete=False))
        data = encode_file_header() + tag
        self.size = len(data)
        return data

    def tag(self, type: int, timestamp_ms: int, payload: bytes, flags: int) -> bytes:
        """One more tag; flags as `media.classify` tells."""
        data = encode_tag(type, timestamp_ms, payload)
        self._note(type, timestamp_ms, len(payload), flags, self.size)
        self.size += len(data)
        return data

    def end(self) -> list[Patch]:
        """What completes the file."""
        kinds = (4 if self.audio_bytes else 0) | (1 if self.video_bytes else 0)
        tag = encode_tag(DATA, 0, self._script(complete=True))
        return [(_FLAGS, bytes((kinds or 5,))), (FIRST_TAG, tag)]

    def _note(self, type: int, ms: int, size: int, flags: int, position: int) -> None:
        if type == AUDIO:
            self.audio_bytes += size
        elif type == VIDEO:
            self.video_bytes += size
            if flags & media.KEY_FRAME:
                self.key_frames.append((ms, position))
        else:
            return
        self.last_ms = max(self.last_ms, ms)

    def _script(self, *, complete: bool) -> bytes:
        """onMetaData in exactly the reserved length; of too many key frames every other one."""
        told, frames = self._told(complete=complete), self.key_frames if complete else []
        while True:
            if complete:
                told["keyframes"] = pyamf.ASObject(
                    filepositions=[float(position) for _, position in frames],
                    times=[ms / 1000 for ms, _ in frames],
                )
            script = _encoded(told)
            missing = self._reserved - len(script)
            if missing >= 0 or not frames:
                break
            frames = frames[::2] if len(frames) > 1 else []
        return script + _padding(missing)

    def _told(self, *, complete: bool) -> Metadata:
        told = {key: value for key, value in self.metadata.items() if key not in _AT_THE_END}
        if self.facts:
            told[FACTS] = pyamf.ASObject(self.facts)
        if complete:
            times = [ms for ms, _ in self.key_frames]
            told |= {
                "duration": self.last_ms / 1000,
                "lasttimestamp": self.last_ms / 1000,
                "lastkeyframetimestamp": (times[-1] if times else 0) / 1000,
                "filesize": float(self.size),
                "datasize": float(self.size - FIRST_TAG),
                "audiosize": float(self.audio_bytes),
                "videosize": float(self.video_bytes),
                "hasAudio": self.audio_bytes > 0,
                "hasVideo": self.video_bytes > 0,
                "hasMetadata": True,
                "hasKeyframes": bool(times),
                "canSeekToEnd": False,
            }
        return told


def _encoded(told: Metadata) -> bytes:
    return amf0.encode("onMetaData", pyamf.MixedArray(told))


def _padding(size: int) -> bytes:
    """So many bytes of AMF. ffmpeg takes no string above 1,023 bytes within onMetaData; what is
    behind it no program reads."""
    text = amf0.encode(" " * (size - 5)) if size >= 5 else b""  # 3 or 5 bytes beside the text
    return text + amf0.encode(*[None] * (size - len(text)))


def read_metadata(file: BinaryIO) -> tuple[Metadata, int]:
    """onMetaData at the beginning of an FLV file, and where the tag behind it is.

    ({}, FIRST_TAG) where the file has none. Raises RemoteProtocolError for what is no FLV file,
    and OSError.
    """
    file.seek(0)
    reader = FlvReader()
    tags: list[FlvTag] = []
    while not tags and file.tell() < _READ_BYTES and (data := file.read(_FIRST_BYTES)):
        tags = reader.feed(data)
    first = tags[0] if tags else None
    if first is None or first.type != DATA:
        return {}, FIRST_TAG
    return metadata_of(first.payload), FIRST_TAG + TAG_BYTES + len(first.payload)


def facts_in(metadata: Metadata) -> dict[str, object]:
    """What a segment of ours says of itself; {} for any other file."""
    facts = metadata.get(FACTS)
    return dict(facts) if isinstance(facts, dict) else {}


def repair(file: BinaryIO) -> Segment | None:
    """Complete a segment whose writer died; None for one that is complete, or not of ours.

    Raises RemoteProtocolError for what is no FLV file, and OSError.
    """
    metadata, position = read_metadata(file)
    facts = facts_in(metadata)
    if not facts or "duration" in metadata:
        return None
    del metadata[FACTS]
    segment = Segment(facts, metadata, size=position)
    segment._reserved = position - FIRST_TAG - TAG_BYTES
    for tag in _tags(file):
        flags = media.classify(tag.type, tag.payload)
        segment._note(tag.type, tag.timestamp, len(tag.payload), flags, segment.size)
        segment.size += TAG_BYTES + len(tag.payload)
    file.truncate(segment.size)
    for at, data in segment.end():
        file.seek(at)
        file.write(data)
    return segment


def _tags(file: BinaryIO) -> Iterator[FlvTag]:
    """Every whole tag behind onMetaData."""
    file.seek(0)
    reader, first = FlvReader(), True
    while data := file.read(_READ_BYTES):
        for tag in reader.feed(data):
            if not first:
                yield tag
            first = False


def metadata_of(payload: bytes) -> Metadata:
    """What an onMetaData message says; {} for any other."""
    try:
        values = amf0.decode(payload)
    except RemoteProtocolError:
        return {}
    found = values[1] if len(values) > 1 and values[0] == "onMetaData" else None
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
