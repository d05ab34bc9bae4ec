"""What a writer that died left behind is completed by its own node, and by no other."""

from __future__ import annotations

from pathlib import Path

from rtmp_sync.storage.manifest import SegmentInfo, load_manifest, save_manifest, segment_file
from rtmp_sync.storage.mending import mend, recordings_in
from rtmp_sync.storage.segment import read_metadata
from tests.support.segments import write_segment


def written(folder: Path, number: int, *, node: str = "A", closed: bool = False) -> Path:
    """A segment of two pictures."""
    return write_segment(folder, 3, number, node=node, start_ms=100, gap_ms=20, closed=closed)


def test_an_open_segment_is_completed_and_told_so(tmp_path: Path) -> None:
    path = written(tmp_path / "s.rec", 1)
    with path.open("ab") as file:
        file.write(b"\x09half a tag")
    (mended,) = mend(path.parent, "A")
    size = path.stat().st_size
    assert mended == SegmentInfo(path.name, "A", 3, 1, 100, 40, size, 20, "repaired")
    assert load_manifest(path.parent) == [mended]
    with path.open("rb") as file:
        assert read_metadata(file)[0]["duration"] == 0.04
    assert mend(path.parent, "A") == []


def test_a_complete_segment_that_its_manifest_calls_open_is_told_closed(tmp_path: Path) -> None:
    path = written(tmp_path / "s.rec", 1, closed=True)
    save_manifest(path.parent, [SegmentInfo(path.name, "A", 3, 1, 100, gap_ms=20)])
    (mended,) = mend(path.parent, "A")
    assert (mended.state, mended.duration_ms) == ("closed", 40)
    assert mended.bytes == path.stat().st_size


def test_a_segment_of_another_node_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "s.rec", 1, node="B")
    before = path.read_bytes()
    assert mend(path.parent, "A") == []
    assert path.read_bytes() == before


def test_a_file_in_which_nothing_is_whole_goes_away_if_it_is_known_as_ours(tmp_path: Path) -> None:
    folder = tmp_path / "s.rec"
    folder.mkdir()
    ours, foreign = folder / segment_file(3, 1), folder / segment_file(3, 2)
    ours.write_bytes(b"FLV")
    foreign.write_bytes(b"FLV")
    save_manifest(
        folder,
        [SegmentInfo(ours.name, "A", 3, 1, 0), SegmentInfo(foreign.name, "B", 3, 2, 0)],
    )
    assert mend(folder, "A") == []
    assert not ours.exists()
    assert foreign.exists()
    assert [one.file for one in load_manifest(folder)] == [foreign.name]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = written(tmp_path / "outside", 1)
    folder = tmp_path / "s.rec"
    folder.mkdir()
    (folder / outside.name).symlink_to(outside)
    before = outside.read_bytes()
    assert mend(folder, "A") == []
    assert outside.read_bytes() == before


def test_recordings_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("live/a/s.rec", "live/a/b/c/t.rec"):
        written(tmp_path / name, 1)
    found = {path.relative_to(tmp_path).as_posix() for path in recordings_in(tmp_path)}
    assert found == {"live/a/s.rec", "live/a/b/c/t.rec"}
