"""Two origins write to one manifest in turn, and a NAS does what it was asked when it likes."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.storage import manifest as module
from rtmp_sync.storage.manifest import (
    MANIFEST,
    SegmentInfo,
    load_manifest,
    save_manifest,
    segment_file,
    update_manifest,
)
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.recording import Recording
from tests.support.segments import write_segment


def written(
    folder: Path, epoch: int, number: int, *, start_ms: int, node: str = "B", closed: bool = True
) -> SegmentInfo:
    """A segment of 40 ms, and what a manifest tells of it."""
    path = write_segment(folder, epoch, number, node=node, start_ms=start_ms, closed=closed)
    size = path.stat().st_size if closed else 0
    state: Any = "closed" if closed else "open"
    duration_ms = 40 if closed else 0
    return SegmentInfo(path.name, node, epoch, number, start_ms, duration_ms, size, 0, state)


def far(epoch: int, number: int, start_ms: int) -> SegmentInfo:
    """A segment of node A that is not here."""
    name = segment_file(epoch, number)
    return SegmentInfo(name, "A", epoch, number, start_ms, 60_000, 1000, 0, "closed")


def test_what_a_late_write_of_the_deposed_origin_left_out_comes_back_with_the_next_write(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "s.rec"
    old = written(folder, 3, 1, start_ms=0, node="A")
    new = [written(folder, 4, number, start_ms=100 * number) for number in (1, 2)]
    save_manifest(folder, [old])
    update_manifest(folder, [new[-1]])
    assert load_manifest(folder) == [old, *new]


def test_a_segment_that_a_late_write_calls_open_is_told_closed_again(tmp_path: Path) -> None:
    folder = tmp_path / "s.rec"
    closed = written(folder, 4, 1, start_ms=0)
    still_open = written(folder, 4, 2, start_ms=100, closed=False)
    telling = SegmentInfo(closed.file, "B", 4, 1, 0)
    save_manifest(folder, [telling, still_open])
    mine = written(folder, 5, 1, start_ms=200)
    update_manifest(folder, [mine])
    assert load_manifest(folder) == [closed, still_open, mine]


async def test_what_was_written_over_is_not_missed_though_a_late_write_tells_of_it(
    tmp_path: Path,
) -> None:
    folder, lane = tmp_path / "s.rec", MediaLane()
    new = written(folder, 4, 1, start_ms=0)
    elsewhere = far(4, 2, 40)  # of node A while it was active again
    save_manifest(folder, [far(3, 1, 0), far(3, 2, 60_000), elsewhere])
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert recording.missing == (elsewhere,)
    assert recording.duration_ms == 40
    update_manifest(folder, [new])
    assert load_manifest(folder) == [new, elsewhere]
    lane.shutdown()


async def test_a_file_of_somebody_else_in_the_folder_begins_nothing(tmp_path: Path) -> None:
    folder, lane = tmp_path / "s.rec", MediaLane()
    info = written(folder, 4, 1, start_ms=100)
    (folder / "z.flv").write_bytes(
        (folder / info.file).read_bytes().replace(b"rtmpSync", b"elsewhat")
    )
    save_manifest(folder, [far(3, 1, 0), info])
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    assert recording.missing == (far(3, 1, 0),)
    update_manifest(folder, [info])
    assert load_manifest(folder) == [far(3, 1, 0), info]
    lane.shutdown()


def test_processes_of_the_same_id_on_two_hosts_do_not_write_into_each_others_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, first, second = Path.replace, far(3, 1, 0), far(4, 1, 0)

    def meanwhile(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        save_manifest(tmp_path, [second])
        return path.replace(target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    save_manifest(tmp_path, [first])
    assert load_manifest(tmp_path) == [first]
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 1e300])
async def test_numbers_that_nobody_wrote_are_none(tmp_path: Path, number: float) -> None:
    """A flipped bit, or somebody's joke."""
    folder, lane = tmp_path / "s.rec", MediaLane()
    path = folder / written(folder, 4, 1, start_ms=0).file
    content = path.read_bytes()
    for key in (b"startMs", b"lasttimestamp", b"epoch"):
        at = content.index(key) + len(key)
        content = content[: at + 1] + struct.pack(">d", number) + content[at + 9 :]
    path.write_bytes(content)
    recording = await Recording.open(tmp_path / "s", lane)
    assert recording is not None
    tags, _ = await recording.read(recording.begin, 1000)
    assert [tag.ms for tag in tags] == [0, 40]
    await recording.close()
    update_manifest(folder, [])
    (told,) = load_manifest(folder)
    assert (told.epoch, told.start_ms, told.duration_ms) == (0, 0, 40)
    lane.shutdown()


@pytest.mark.parametrize("content", ["[" * 100_000, "{}", '{"segments": [1]}'])
def test_a_manifest_that_is_nonsense_tells_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert load_manifest(tmp_path) == []


@pytest.mark.parametrize("number", [-1, 1 << 53])
def test_a_manifest_with_numbers_that_nobody_wrote_tells_nothing(
    tmp_path: Path, number: int
) -> None:
    save_manifest(tmp_path, [replace(far(3, 1, 0), start_ms=number)])
    assert load_manifest(tmp_path) == []


def test_a_manifest_that_is_lost_is_made_again_a_part_with_each_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_LOOKS", 2)
    segments = [written(tmp_path, 4, number, start_ms=100 * number) for number in range(5)]
    (tmp_path / MANIFEST).write_text("{")
    update_manifest(tmp_path, [segments[-1]])
    assert load_manifest(tmp_path) == segments[2:]  # the newest first
    update_manifest(tmp_path, [segments[-1]])
    assert load_manifest(tmp_path) == segments
