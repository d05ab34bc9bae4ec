"""`rtmp-sync export` and `rtmp-sync recordings`, judged by ffprobe."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from rtmp_sync.storage.manifest import SegmentInfo, save_manifest, segment_file
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader, encode_file_header, encode_tag
from tests.support.ffmpeg import decoding_errors, make_source, packets
from tests.support.programs import require

SECONDS = 4
GAP_MS = 1500


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("film") / "film.flv", SECONDS)


def record(folder: Path, film: Path, node: str, epoch: int, start_ms: int) -> SegmentInfo:
    """A segment as an origin would have written it."""
    facts = {"stream": "s", "node": node, "epoch": float(epoch), "number": 1.0}
    segment = Segment({**facts, "startMs": float(start_ms), "gapMs": 0.0})
    folder.mkdir(parents=True, exist_ok=True)
    name = segment_file(epoch, 1)
    with (folder / name).open("wb") as file:
        file.write(segment.begin())
        for tag in FlvReader().feed(film.read_bytes()):
            if tag.type != DATA:
                flags = media.classify(tag.type, tag.payload)
                file.write(segment.tag(tag.type, tag.timestamp, tag.payload, flags))
        for at, data in segment.end():
            file.seek(at)
            file.write(data)
    return SegmentInfo(name, node, epoch, 1, start_ms, segment.last_ms, segment.size, 0, "closed")


@pytest.fixture
def disks(tmp_path: Path, film: Path) -> list[Path]:
    """Those of two origins without a NAS; the second took over."""
    roots = [tmp_path / "a", tmp_path / "b"]
    first, second = (root / "live" / "_definst_" / "s.rec" for root in roots)
    begun = record(first, film, "A", 1, 0)
    start_ms = begun.duration_ms + GAP_MS
    gone_on = record(second, film, "B", 2, start_ms)
    save_manifest(first, [begun])
    save_manifest(second, [begun, replace(gone_on, gap_ms=GAP_MS)])
    return roots


def run(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


def probe(file: Path) -> dict[str, Any]:
    command = [require("ffprobe"), "-v", "error", "-show_format", "-show_streams", "-of", "json"]
    output = subprocess.run([*command, str(file)], check=True, capture_output=True, timeout=30)
    probed: dict[str, Any] = json.loads(output.stdout)
    return probed


@pytest.mark.parametrize("suffix", ["mp4", "flv"])
def test_a_recording_of_two_origins_becomes_one_file(
    disks: list[Path], tmp_path: Path, suffix: str, film: Path
) -> None:
    require("ffmpeg")
    target = tmp_path / f"s.{suffix}"
    options = [option for disk in disks for option in ("--media", disk)]
    assert run("export", "live/s", target, *options) == 0
    probed = probe(target)
    assert {one["codec_name"] for one in probed["streams"]} == {"h264", "aac"}
    assert abs(float(probed["format"]["duration"]) - (2 * SECONDS + GAP_MS / 1000)) < 0.2
    assert len(packets(target, "v")) == 2 * len(packets(film, "v"))
    assert decoding_errors(target) == ""
    assert list(tmp_path.glob(".*part*")) == []


def test_what_is_on_another_disk_is_left_out_and_told(
    disks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], film: Path
) -> None:
    target = tmp_path / "s.flv"
    assert run("export", "live/s", target, "--media", disks[1], "--json") == 0
    output = capsys.readouterr()
    assert "not here, left out: 00000001-000001.flv of A" in output.err
    told = json.loads(output.out)
    assert told["missing"] == [{"file": "00000001-000001.flv", "node": "A"}]
    assert packets(target, "v")[0].dts == packets(film, "v")[0].dts


def test_a_part_begins_at_a_key_frame_and_ends_where_it_should(
    disks: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "s.flv"
    folder = disks[0] / "live" / "_definst_" / "s.rec"
    assert run("export", folder, target, "--from", "0:01.5", "--to", "3") == 0
    video = packets(target, "v")
    assert video[0].key
    assert abs(video[-1].dts - video[0].dts - 2000) <= 80


def test_nothing_is_written_over_unless_that_is_wanted(
    disks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "s.flv"
    target.write_text("mine")
    assert run("export", "live/s", target, "--media", disks[0]) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert run("export", "live/s", target, "--media", disks[0], "--force") == 0
    assert target.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("live/other", "o.mp4"), "is not recorded"),
        (("live/s", "o"), "tells the format"),
        (("live/s", "o.flv", "--from", "soon"), "is no time"),
        (("live/s", "o.flv", "--from", "3", "--to", "2"), "--to is not behind --from"),
        (("live/s", "o.flv", "--from", "1:00"), "behind the end"),
    ],
)
def test_wrong_use_is_told(
    disks: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    wanted, target, *more = arguments
    assert run("export", wanted, tmp_path / target, "--media", disks[0], *more) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / target).exists()


def test_without_ffmpeg_its_package_is_named(
    disks: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("export", "live/s", tmp_path / "s.mp4", "--media", disks[0]) == 1
    assert "apt-get install ffmpeg" in capsys.readouterr().err


def test_recordings_are_listed_with_what_is_not_here(
    disks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], film: Path
) -> None:
    (disks[1] / "live" / "_definst_" / "old.flv").write_bytes(film.read_bytes())
    assert run("recordings", "--media", disks[1], "--json") == 0
    old, show = json.loads(capsys.readouterr().out)["recordings"]
    assert (old["name"], show["name"]) == ("live/_definst_/old", "live/_definst_/s")
    assert abs(old["seconds"] - SECONDS) < 0.1
    assert [(one["node"], one["state"]) for one in show["segments"]] == [
        ("A", "closed"),
        ("B", "closed"),
    ]
    assert [gap["seconds"] for gap in show["gaps"]] == [GAP_MS / 1000]
    assert show["missing"] == [{"file": "00000001-000001.flv", "node": "A"}]
    assert run("recordings", "--media", disks[1]) == 0
    assert "00000001-000001.flv on A" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["[bold]x", "[", "[red]y"])
def test_a_name_is_shown_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "live" / "_definst_"
    folder.mkdir(parents=True)
    tag = encode_tag(VIDEO, 0, b"\x17\x01" + bytes(8))
    (folder / f"{name}.flv").write_bytes(encode_file_header() + tag)
    assert run("recordings", "--media", tmp_path) == 0
    assert f"live/_definst_/{name} " in capsys.readouterr().out
    target = tmp_path / "[bold]z.flv"
    assert run("export", f"live/{name}", target, "--media", tmp_path) == 0
    assert str(target) in capsys.readouterr().out
