"""Recordings read back: segments as one stream, files of others, places to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.manifest import SegmentInfo, save_manifest
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.recorder import Recorder, RecordLimits, Take
from rtmp_sync.storage.recording import Cursor, RecordedTag, Recording
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag

AVC, AAC, SOUND = b"\x17\0\0\0\0config", b"\xaf\0\x12\x10", b"\xaf\1sound"


@pytest.fixture
def lane() -> Iterator[MediaLane]:
    lane = MediaLane()
    yield lane
    lane.shutdown()


def frame(number: int) -> bytes:
    return (b"\x27" if number % 5 else b"\x17") + b"\1\0\0\0" + str(number).encode()


async def record(
    folder: Path, lane: MediaLane, frames: range, *, epoch: int = 1, start_ms: int = 0
) -> None:
    recorder = Recorder(
        Take(folder, "s", "A", epoch, start_ms=start_ms),
        RecordLimits(segment_seconds=0.3),
        lane,
        metadata={"width": 320.0},
        on_segment=lambda info: None,
        on_failed=pytest.fail,
    )
    recorder.begin()
    for type, payload in ((VIDEO, AVC), (AUDIO, AAC)):
        recorder.put(type, 0, payload, media.classify(type, payload))
    for index, number in enumerate(frames):
        at, payload = 40 * index, frame(number)
        recorder.put(VIDEO, at, payload, media.classify(VIDEO, payload))
        recorder.put(AUDIO, at + 1, SOUND, media.AUDIO)
    await recorder.end()


async def everything(recording: Recording, max_bytes: int = 100) -> list[RecordedTag]:
    tags: list[RecordedTag] = []
    at: Cursor | None = recording.begin
    while at is not None:
        more, at = await recording.read(at, max_bytes)
        tags += more
    return tags


def frames_in(tags: list[RecordedTag]) -> list[tuple[int, bytes]]:
    return [
        (tag.ms, tag.payload) for tag in tags if tag.payload[1:2] == b"\1" and tag.type == VIDEO
    ]


async def test_what_is_heard_before_the_first_picture_is_part_of_it(
    tmp_path: Path, lane: MediaLane
) -> None:
    tags = [(AUDIO, 0, AAC), (AUDIO, 0, SOUND), (VIDEO, 0, AVC), (VIDEO, 0, frame(0))]
    data = b"".join(encode_tag(*tag) for tag in tags)
    (tmp_path / "s.flv").write_bytes(encode_file_header() + data)
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    read, _ = await recording.read(recording.seek(0), 1 << 20)
    assert [(tag.type, tag.ms, tag.payload) for tag in read] == tags
    await recording.close()


@pytest.mark.parametrize("max_bytes", [1, 100, 1 << 20])
async def test_segments_are_one_stream(tmp_path: Path, lane: MediaLane, max_bytes: int) -> None:
    await record(tmp_path / "s.rec", lane, range(30))
    assert len(list((tmp_path / "s.rec").glob("*.flv"))) == 3
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    tags = await everything(recording, max_bytes)
    assert frames_in(tags) == [(40 * number, frame(number)) for number in range(30)]
    assert [tag.payload for tag in tags].count(AVC) == 1  # not again with every segment
    assert recording.duration_ms == 1161
    assert recording.metadata == {**recording.metadata, "width": 320.0, "duration": 1.161}
    assert not recording.metadata.keys() & {"filesize", "keyframes", "rtmpSync"}
    await recording.close()


async def test_what_two_nodes_recorded_is_one_stream(tmp_path: Path, lane: MediaLane) -> None:
    await record(tmp_path / "s.rec", lane, range(10), epoch=1)
    await record(tmp_path / "s.rec", lane, range(10, 20), epoch=2, start_ms=1000)
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    times = [ms for ms, _ in frames_in(await everything(recording))]
    assert times == [*range(0, 400, 40), *range(1000, 1400, 40)]
    await recording.close()


@pytest.mark.parametrize(
    ("ms", "first"),
    [(0, 0), (1, 0), (199, 0), (200, 5), (399, 5), (400, 10), (1159, 25), (10**9, 25), (-5, 0)],
)
async def test_playing_starts_at_the_key_frame_before(
    tmp_path: Path, lane: MediaLane, ms: int, first: int
) -> None:
    await record(tmp_path / "s.rec", lane, range(30))
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    at = recording.seek(ms)
    before = await recording.headers(at)
    tags, _ = await recording.read(at, 1 << 20)
    assert [tag.payload for tag in [*before, *tags]][:2] == [AVC, AAC]
    assert frames_in(tags)[0] == (40 * first, frame(first))
    await recording.close()


async def test_a_segment_that_was_not_closed_is_played_as_far_as_it_goes(
    tmp_path: Path, lane: MediaLane
) -> None:
    await record(tmp_path / "s.rec", lane, range(30))
    last = max((tmp_path / "s.rec").glob("*.flv"))
    last.write_bytes(last.read_bytes().replace(b"\0\x08duration", b"\0\x08unknownn")[:-8])
    (tmp_path / "s.rec" / "00000009-000001.flv").touch()  # and one that never got a byte
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert len(frames_in(await everything(recording))) == 30
    await recording.close()


async def test_what_is_on_another_nodes_disk_is_named(tmp_path: Path, lane: MediaLane) -> None:
    await record(tmp_path / "s.rec", lane, range(5))
    elsewhere = SegmentInfo("00000002-000001.flv", "B", 2, 1, 5000, 300, 17, 4000, "closed")
    save_manifest(tmp_path / "s.rec", [elsewhere])
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert recording.missing == (elsewhere,)
    assert len(frames_in(await everything(recording))) == 5
    await recording.close()


def foreign(*, video: bool = True) -> bytes:
    tags = [encode_tag(VIDEO, 0, AVC)] if video else []
    for number in range(50):
        if video:
            tags.append(encode_tag(VIDEO, 40 * number, frame(number)))
        tags.append(encode_tag(AUDIO, 40 * number + 1, SOUND))
    return encode_file_header() + b"".join(tags)


async def test_a_file_of_somebody_else_is_played_and_sought(
    tmp_path: Path, lane: MediaLane
) -> None:
    (tmp_path / "film.flv").write_bytes(foreign())
    recording = await Recording.open(tmp_path / "film", lane)
    assert recording is not None
    assert recording.duration_ms == 1961
    at = recording.seek(1000)
    assert [tag.payload for tag in await recording.headers(at)] == [AVC]
    tags, _ = await recording.read(at, 1 << 20)
    assert tags[0].ms == 1000
    assert frames_in(tags)[0] == (1000, frame(25))
    await recording.close()


async def test_sound_alone_is_sought_by_the_second(tmp_path: Path, lane: MediaLane) -> None:
    (tmp_path / "song.flv").write_bytes(foreign(video=False))
    recording = await Recording.open(tmp_path / "song", lane)
    assert recording is not None
    tags, _ = await recording.read(recording.seek(1500), 1 << 20)
    assert 1000 <= tags[0].ms <= 1041
    await recording.close()


async def test_what_is_not_there_is_none(tmp_path: Path, lane: MediaLane) -> None:
    (tmp_path / "empty.rec").mkdir()
    assert await Recording.open(tmp_path / "nothing", lane) is None
    assert await Recording.open(tmp_path / "empty", lane) is None


async def test_a_file_that_is_no_flv_is_refused(tmp_path: Path, lane: MediaLane) -> None:
    (tmp_path / "film.flv").write_bytes(b"\0\0\0\x18ftypmp42" * 3)
    with pytest.raises(RemoteProtocolError):
        await Recording.open(tmp_path / "film", lane)


async def test_a_segment_that_is_a_link_is_not_followed(tmp_path: Path, lane: MediaLane) -> None:
    await record(tmp_path / "secret.rec", lane, range(5))
    await record(tmp_path / "s.rec", lane, range(5), epoch=2)
    (tmp_path / "s.rec" / "00000003-000001.flv").symlink_to(
        tmp_path / "secret.rec" / "00000001-000001.flv"
    )
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert len(frames_in(await everything(recording))) == 5
    await recording.close()


async def test_segments_of_several_places_are_one_recording(
    tmp_path: Path, lane: MediaLane
) -> None:
    await record(tmp_path / "a" / "s.rec", lane, range(5))
    await record(tmp_path / "b" / "s.rec", lane, range(5, 10), epoch=2, start_ms=200)
    await record(tmp_path / "copy" / "s.rec", lane, range(3))  # of the first, cut short
    places = [tmp_path / name / "s" for name in ("copy", "a", "b", "nowhere")]
    recording = await Recording.open(places[0], lane, *places[1:])
    assert recording is not None
    assert frames_in(await everything(recording)) == [(40 * n, frame(n)) for n in range(10)]
    assert recording.missing == ()
    await recording.close()


async def test_a_recording_of_which_nothing_is_here_is_empty(
    tmp_path: Path, lane: MediaLane
) -> None:
    (tmp_path / "s.rec").mkdir()
    save_manifest(tmp_path / "s.rec", [SegmentInfo("00000001-000001.flv", "A", 1, 1, 0)])
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert await recording.headers(recording.seek(0)) == []
    assert await everything(recording) == []
    await recording.close()
