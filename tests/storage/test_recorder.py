"""Recording a stream: what was published is in the files, and no disk makes anybody wait."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.storage.manifest import MANIFEST, SegmentInfo, load_manifest
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.recorder import Recorder, RecordLimits, Take, segments_after
from rtmp_sync.storage.segment import facts_in, read_metadata
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag
from tests.support.origins import until

KEY, INTER, SOUND = b"\x17\1\0\0\0key", b"\x27\1\0\0\0inter", b"\xaf\1sound"
AVC, AAC = b"\x17\0\0\0\0config", b"\xaf\0\x12\x10"
TEXT = b"\x02\0\x05onTxt"


@pytest.fixture
def lane() -> Iterator[MediaLane]:
    lane = MediaLane()
    yield lane
    lane.shutdown()


class Recording:
    """A recorder, and what it told."""

    def __init__(self, folder: Path, lane: Executor, *, take: Take | None = None, **limits: Any):
        self.told: list[SegmentInfo] = []
        self.failures: list[str] = []
        self.folder = folder
        self.recorder = Recorder(
            take or Take(folder, "s", "A", 3),
            RecordLimits(**limits),
            lane,
            metadata={"width": 320.0},
            on_segment=self.told.append,
            on_failed=self.failures.append,
        )
        self.recorder.begin()

    def put(self, type: int, timestamp: int, payload: bytes) -> None:
        self.recorder.put(type, timestamp, payload, media.classify(type, payload))

    def film(self, frames: int, *, start: int = 0, every: int = 5) -> None:
        self.put(VIDEO, start, AVC)
        self.put(AUDIO, start, AAC)
        for number in range(frames):
            at = start + 40 * number & 0xFFFFFFFF
            self.put(VIDEO, at, INTER if number % every else KEY)
            self.put(AUDIO, at, SOUND)

    def tags(self, name: str) -> list[FlvTag]:
        reader = FlvReader()
        found = reader.feed((self.folder / name).read_bytes())
        assert reader.pending_bytes == 0
        return found[1:]


async def test_what_was_published_is_in_the_file(tmp_path: Path, lane: MediaLane) -> None:
    recording = Recording(tmp_path / "s.rec", lane)
    recording.film(10, start=5000)
    recording.put(DATA, 5400, TEXT)
    await recording.recorder.end()
    (info,) = load_manifest(recording.folder)
    assert (info.file, info.state, info.duration_ms) == ("00000003-000001.flv", "closed", 360)
    assert info == recording.told[-1]
    tags = [(tag.type, tag.timestamp, tag.payload) for tag in recording.tags(info.file)]
    assert tags[:4] == [(VIDEO, 0, AVC), (AUDIO, 0, AAC), (VIDEO, 0, KEY), (AUDIO, 0, SOUND)]
    assert tags[-1] == (DATA, 400, TEXT)
    assert len(tags) == 23
    with (recording.folder / info.file).open("rb") as file:
        metadata, _ = read_metadata(file)
    assert (metadata["width"], metadata["duration"]) == (320.0, 0.36)
    assert facts_in(metadata)["stream"] == "s"


@pytest.mark.parametrize("start", [0xFFFFFF - 100, 0xFFFFFFFF - 100, 0x7FFFFFFF - 100])
async def test_timestamps_go_on_past_every_wrap(
    tmp_path: Path, lane: MediaLane, start: int
) -> None:
    recording = Recording(tmp_path / "s.rec", lane)
    recording.film(10, start=start)
    await recording.recorder.end()
    times = [tag.timestamp for tag in recording.tags("00000003-000001.flv") if tag.type == VIDEO]
    assert times == [0, *(40 * number for number in range(10))]


async def test_a_segment_ends_at_a_key_frame_and_the_next_one_plays_by_itself(
    tmp_path: Path, lane: MediaLane
) -> None:
    recording = Recording(tmp_path / "s.rec", lane, segment_seconds=0.3)
    recording.film(30)
    await recording.recorder.end()
    infos = load_manifest(recording.folder)
    assert [info.start_ms for info in infos] == [0, 400, 800]
    for info in infos:
        tags = recording.tags(info.file)
        assert [tag.payload for tag in tags[:3]] == [AVC, AAC, KEY]
        assert tags[2].timestamp == 0
    frames = [
        info.start_ms + tag.timestamp
        for info in infos
        for tag in recording.tags(info.file)
        if tag.payload in (KEY, INTER)
    ]
    assert frames == [40 * number for number in range(30)]


async def test_segments_end_by_size_too(tmp_path: Path, lane: MediaLane) -> None:
    recording = Recording(tmp_path / "s.rec", lane, segment_bytes=17_000)
    recording.film(60)
    await recording.recorder.end()
    assert len(load_manifest(recording.folder)) > 1


async def test_sound_alone_is_cut_anywhere(tmp_path: Path, lane: MediaLane) -> None:
    recording = Recording(tmp_path / "s.rec", lane, segment_seconds=0.1)
    for number in range(10):
        recording.put(AUDIO, 20 * number, SOUND)
    await recording.recorder.end()
    assert [info.start_ms for info in load_manifest(recording.folder)] == [0, 120]


async def test_a_second_take_of_one_epoch_gets_files_of_its_own(
    tmp_path: Path, lane: MediaLane
) -> None:
    folder = tmp_path / "s.rec"
    first = Recording(folder, lane)
    first.film(5)
    await first.recorder.end()
    again = Take(folder, "s", "A", 3, start_ms=first.recorder.end_ms + 40, gap_ms=40)
    second = Recording(folder, lane, take=again)
    second.film(5, start=77)
    await second.recorder.end()
    infos = load_manifest(folder)
    assert [(info.number, info.start_ms, info.gap_ms) for info in infos] == [
        (1, 0, 0),
        (2, 200, 40),
    ]
    assert second.tags(infos[1].file)[2].timestamp == 0
    assert json.loads((folder / MANIFEST).read_text())["segments"][1]["node"] == "A"


class Stuck(Executor):
    """A disk that does not answer after some answers."""

    def __init__(self, lane: Executor, answers: int) -> None:
        self.left = answers
        self._lane = lane
        self.release = threading.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left -= 1
        answers = self.left >= 0

        def run() -> Any:
            if not answers:
                self.release.wait()
            return fn(*args, **kwargs)

        return self._lane.submit(run)


@pytest.mark.parametrize("answers", [0, 2, 5])
async def test_a_disk_that_hangs_ends_the_recording_and_holds_nobody(
    tmp_path: Path, lane: MediaLane, answers: int
) -> None:
    disk = Stuck(lane, answers)
    recording = Recording(tmp_path / "s.rec", disk, queue_bytes=1000)
    for _ in range(50):
        recording.film(1)
        await asyncio.sleep(0)
    while not recording.failures:
        recording.film(1)
        await asyncio.sleep(0)
    assert "too slow" in recording.failures[0]
    recording.film(1)
    assert recording.recorder.dropped
    await recording.recorder.end()  # at once
    assert len(recording.failures) == 1
    disk.release.set()
    assert recording.recorder._task is not None
    await recording.recorder._task  # what was left behind is closed when the disk answers


async def test_a_disk_that_refuses_ends_the_recording_with_its_reason(
    tmp_path: Path, lane: MediaLane
) -> None:
    (tmp_path / "s.rec").write_text("in the way")
    recording = Recording(tmp_path / "s.rec", lane)
    recording.film(2)
    await recording.recorder.end()
    assert recording.failures == ["File exists"]


async def test_nothing_that_comes_leaves_no_file(tmp_path: Path, lane: MediaLane) -> None:
    recording = Recording(tmp_path / "s.rec", lane)
    await recording.recorder.end()
    assert not recording.folder.exists()
    assert not recording.failures


def test_a_manifest_that_is_none_is_an_empty_one(tmp_path: Path) -> None:
    for content in ("", "{", "[]", '{"segments": 3}', '{"segments": [{"file": 3}]}'):
        (tmp_path / MANIFEST).write_text(content)
        assert load_manifest(tmp_path) == []
    assert load_manifest(tmp_path / "none") == []


async def test_a_deposed_origin_whose_disk_answers_late_removes_nothing_of_the_next_one(
    tmp_path: Path, lane: MediaLane
) -> None:
    folder, disk = tmp_path / "s.rec", Stuck(lane, 0)
    deposed = Recording(folder, disk, take=Take(folder, "s", "A", 3, anew=True))
    deposed.film(5)
    following = Recording(folder, lane, take=Take(folder, "s", "B", 4, anew=True))
    following.film(5)
    await following.recorder.end()
    disk.release.set()
    await deposed.recorder.end()
    assert deposed.failures == ["another origin records there by now"]
    assert [info.node for info in load_manifest(folder)] == ["B"]
    assert following.tags("00000004-000001.flv")


async def test_a_deposed_origin_that_closes_its_file_late_leaves_no_trace_in_the_next_recording(
    tmp_path: Path, lane: MediaLane
) -> None:
    folder, disk = tmp_path / "s.rec", Stuck(lane, 10)
    deposed = Recording(folder, disk, take=Take(folder, "s", "A", 3))
    deposed.film(5)
    await until(lambda: deposed.told)
    disk.left = 0
    following = Recording(folder, lane, take=Take(folder, "s", "B", 4, anew=True))
    following.film(5)
    await following.recorder.end()
    disk.release.set()
    await deposed.recorder.end()
    assert [info.node for info in load_manifest(folder)] == ["B"]


async def test_what_a_former_pair_recorded_under_later_epochs_is_written_over(
    tmp_path: Path, lane: MediaLane
) -> None:
    folder = tmp_path / "s.rec"
    former = Recording(folder, lane, take=Take(folder, "s", "A", 9))
    former.film(5)
    await former.recorder.end()
    later = segments_after(folder, 3)
    again = Recording(folder, lane, take=Take(folder, "s", "A", 3, anew=True, later=later))
    again.film(5)
    await again.recorder.end()
    assert [info.epoch for info in load_manifest(folder)] == [3]


async def test_configurations_that_come_at_0_leave_no_gap_before_the_first_frame(
    tmp_path: Path, lane: MediaLane
) -> None:
    recording = Recording(tmp_path / "s.rec", lane)
    recording.put(VIDEO, 0, AVC)
    recording.put(AUDIO, 0, AAC)
    recording.film(5, start=3_600_000)
    await recording.recorder.end()
    (info,) = load_manifest(tmp_path / "s.rec")
    assert info.duration_ms == 160
