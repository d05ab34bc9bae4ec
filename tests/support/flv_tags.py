"""Tags of FLV files and of played streams as things to compare: type, time, hash of the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag

NO_FRAME: Final = media.SEQUENCE_HEADER | media.METADATA | media.EMPTY | media.END_OF_SEQUENCE
_NAMES: Final = {AUDIO: "audio", VIDEO: "video", DATA: "data"}


class Tag(NamedTuple):
    """One message. ms: its timestamp, u32. flags: as `media.classify` tells, track included."""

    type: int
    ms: int
    digest: str
    flags: int

    @property
    def is_frame(self) -> bool:
        """Sound or a picture, not what configures a decoder or ends a sequence."""
        return self.type != DATA and not self.flags & NO_FRAME

    @property
    def is_key(self) -> bool:
        return bool(self.flags & media.KEY_FRAME)


def tag_of(message: FlvTag | MediaReceived) -> Tag:
    flags = media.classify(message.type, message.payload)
    digest = hashlib.sha256(message.payload).hexdigest()
    return Tag(message.type, message.timestamp, digest, flags)


def read_messages(file: Path) -> list[FlvTag]:
    """Every tag of a file, as it stands there."""
    return FlvReader().feed(file.read_bytes())


def read_tags(file: Path) -> list[Tag]:
    """The audio and video tags of a file."""
    return media_tags(read_messages(file))


def media_tags(messages: Iterable[FlvTag | MediaReceived]) -> list[Tag]:
    """Audio and video of these."""
    return [tag_of(one) for one in messages if one.type in (AUDIO, VIDEO)]


def same_messages(sent: Sequence[Tag], got: Sequence[Tag]) -> None:
    """The same, to the last one: bytes, order and times."""
    for number, (one, other) in enumerate(zip(sent, got, strict=False)):
        assert one == other, f"message {number}: {other} instead of {one}"
    assert len(sent) == len(got), f"{len(got)} messages of {len(sent)}"


def same_frames(
    sent: Sequence[Tag], got: Sequence[Tag], *, late: bool = False, loses_last: bool = False
) -> str:
    """The frames of each kind are the same in order, bytes and distance; what that was, in words.

    Programs add and drop tags that configure decoders, begin to count at another time and weave
    sound and pictures in another way: that is no difference here. late: `got` may begin at any
    key frame of `sent`, and then holds all that follows it, sound from about there. loses_last: the
    very last frame may be missing.
    """
    found, shifts, lost = [], set(), 0
    for type in (VIDEO, AUDIO):
        mine = [tag for tag in sent if tag.type == type and tag.is_frame]
        theirs = [tag for tag in got if tag.type == type and tag.is_frame]
        if late and theirs:
            assert type == AUDIO or theirs[0].is_key, "the first picture is no key frame"
            mine = mine[-len(theirs) :]  # by count: frames of a steady sound are often the same
        name = _NAMES[type]
        for number, (one, other) in enumerate(zip(mine, theirs, strict=False)):
            assert one.digest == other.digest, f"{name} frame {number} is another"
            shifts.add(other.ms - one.ms & 0xFFFFFFFF)
        lost += len(mine) - len(theirs)
        assert lost in (0, loses_last), f"{len(theirs)} {name} frames of {len(mine)}"
        if mine:
            found.append(f"{len(theirs)} {name}")
    assert found, "nothing was sent"
    but = ", all but the last" if lost else ""
    return f"{' and '.join(found)} frames, bytes equal, {_times(shifts)}{but}"


def _times(shifts: set[int]) -> str:
    signed = sorted(shift - (1 << 32) if shift >> 31 else shift for shift in shifts)
    if signed == [0]:
        return "times equal"
    assert signed[-1] - signed[0] <= 1, f"times differ by {signed[0]} to {signed[-1]} ms"
    return f"times {signed[0]:+d} ms" + ("" if len(signed) == 1 else ", rounded")
