"""Segments of recordings: FLV files that are complete when they are closed, and repaired else."""

from __future__ import annotations

import io
from typing import Any

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage import segment as segments
from rtmp_sync.storage.segment import FIRST_TAG, Segment, facts_in, read_metadata, repair
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag

KEY, INTER = b"\x17\1\0\0\0key", b"\x27\1\0\0\0inter"
SOUND = b"\xaf\1sound"
FACTS = {"stream": "s", "epoch": 3.0, "number": 1.0, "startMs": 0.0}


def write(file: io.BytesIO, segment: Segment, frames: int = 4, *, every: int = 2) -> None:
    file.write(segment.begin())
    for number in range(frames):
        payload = INTER if number % every else KEY
        flags = media.classify(VIDEO, payload)
        file.write(segment.tag(VIDEO, 40 * number, payload, flags))
        file.write(segment.tag(AUDIO, 40 * number + 1, SOUND, media.classify(AUDIO, SOUND)))


def close(file: io.BytesIO, segment: Segment) -> None:
    for at, data in segment.end():
        file.seek(at)
        file.write(data)


def tags(content: bytes) -> list[FlvTag]:
    reader = FlvReader()
    found = reader.feed(content)
    assert reader.pending_bytes == 0
    return found


def recorded(frames: int = 4, *, closed: bool = True, **metadata: Any) -> io.BytesIO:
    file, segment = io.BytesIO(), Segment(FACTS, dict(metadata))
    write(file, segment, frames)
    if closed:
        close(file, segment)
    return file


def test_of_a_long_file_only_the_beginning_is_read() -> None:
    file = recorded(50_000)
    assert file.seek(0, 2) > 1 << 20
    metadata, _ = read_metadata(file)
    assert metadata["duration"] == 49_999 * 0.04 + 0.001
    assert file.tell() <= 128 * 1024


def test_a_closed_segment_tells_its_length_its_sizes_and_where_it_can_be_entered() -> None:
    file = recorded(width=320.0)
    content = file.getvalue()
    metadata, first = read_metadata(file)
    assert metadata["width"] == 320.0
    assert metadata["duration"] == metadata["lasttimestamp"] == 0.121
    assert metadata["filesize"] == len(content)
    assert metadata["videosize"] == 2 * (len(KEY) + len(INTER))
    assert metadata["audiosize"] == 4 * len(SOUND)
    index: Any = metadata["keyframes"]
    assert list(index["times"]) == [0.0, 0.08]
    for position in index["filepositions"]:
        assert content[int(position)] == VIDEO
        assert content[int(position) + 11 :].startswith(KEY)
    assert index["filepositions"][0] == first
    assert facts_in(metadata) == FACTS


def test_its_tags_are_what_was_given() -> None:
    found = tags(recorded().getvalue())
    assert found[0].type == DATA
    assert [(tag.type, tag.timestamp, tag.payload) for tag in found[1:5]] == [
        (VIDEO, 0, KEY),
        (AUDIO, 1, SOUND),
        (VIDEO, 40, INTER),
        (AUDIO, 41, SOUND),
    ]


@pytest.mark.parametrize("lost", [0, 1, 10, 20, 40])
def test_a_segment_that_was_not_closed_plays_and_is_repaired(lost: int) -> None:
    whole = recorded(closed=False, width=320.0)
    whole.truncate(len(whole.getvalue()) - lost)
    count = len(FlvReader().feed(whole.getvalue()))
    segment = repair(whole)
    assert segment is not None
    found = tags(whole.getvalue())
    assert len(found) == count
    metadata, _ = read_metadata(whole)
    assert metadata["filesize"] == len(whole.getvalue()) == segment.size
    assert metadata["duration"] == found[-1].timestamp / 1000 if count > 1 else 0
    assert metadata["width"] == 320.0
    assert facts_in(metadata) == FACTS


def test_what_is_complete_or_of_somebody_else_is_left_alone() -> None:
    closed = recorded()
    before = closed.getvalue()
    assert repair(closed) is None
    assert closed.getvalue() == before
    foreign = io.BytesIO(b"FLV\1\5\0\0\0\x09\0\0\0\0")
    assert repair(foreign) is None
    assert read_metadata(foreign) == ({}, FIRST_TAG)


def test_what_is_no_flv_file_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        repair(io.BytesIO(b"RIFF1234" * 10))


def test_more_key_frames_than_there_is_room_for_are_thinned_out() -> None:
    file, segment = io.BytesIO(), Segment(FACTS)
    write(file, segment, 5000, every=1)
    before = file.tell()
    close(file, segment)
    assert len(file.getvalue()) == before  # nothing moved
    metadata, _ = read_metadata(file)
    index: Any = metadata["keyframes"]
    times = list(index["times"])
    assert 100 < len(times) < 5000
    assert times == sorted(times)
    assert times[0] == 0.0
    assert len(tags(file.getvalue())) == 1 + 2 * 5000


def test_metadata_beyond_reason_is_not_kept() -> None:
    file = recorded(long="x" * 50_000)
    metadata, _ = read_metadata(file)
    assert "long" not in metadata
    assert metadata["duration"] == 0.121


def test_a_segment_of_sound_alone_has_no_key_frames() -> None:
    file, segment = io.BytesIO(), Segment(FACTS)
    file.write(segment.begin())
    file.write(segment.tag(AUDIO, 20, SOUND, media.AUDIO))
    close(file, segment)
    metadata, _ = read_metadata(file)
    assert (metadata["hasVideo"], metadata["hasAudio"]) == (False, True)
    assert file.getvalue()[4] == 4


def test_what_the_publisher_guesses_of_its_length_is_not_believed() -> None:
    file = recorded(closed=False, duration=0.0, filesize=0.0, keyframes="none")
    assert "duration" not in read_metadata(file)[0]
    assert repair(file) is not None
    assert read_metadata(file)[0]["duration"] == 0.121


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 100, 65_538, 65_539, 65_540, 65_541, 70_000])
def test_room_for_what_is_said_at_the_end_is_filled_exactly(size: int) -> None:
    padding = segments._padding(size)
    assert len(padding) == size
    amf0.decode(padding)
