"""A stream is recorded and played while its origin is killed: it goes on, and plays as one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rtmp_sync.storage.manifest import SegmentInfo, load_manifest
from rtmp_sync.storage.segment import read_metadata
from tests.support.camera import Camera, Viewer
from tests.support.ffmpeg import decoding_errors, make_source, packets
from tests.support.pair import Pair, within
from tests.support.programs import require
from tests.support.single import Single

VIEWERS = 3
FRAMES = 40
TAG_MS = 41  # one frame of 25 a second, and rounding


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_source(tmp_path / "film.flv", 4)


@pytest.fixture
def solo(tmp_path: Path) -> Iterator[Single]:
    (tmp_path / "media").mkdir()
    single = Single(storage={"media": tmp_path / "media"})
    yield single
    single.clean_up()


def look_at(file: Path, info: SegmentInfo) -> None:
    """Other programs find in a segment what it and the manifest say of it."""
    probed = json.loads(
        subprocess.run(
            [require("ffprobe"), "-v", "error", "-show_format", "-of", "json", str(file)],
            check=True,
            capture_output=True,
            timeout=30,
        ).stdout
    )
    assert decoding_errors(file) == ""
    assert info.bytes == file.stat().st_size
    assert abs(float(probed["format"]["duration"]) * 1000 - info.duration_ms) <= 2 * TAG_MS
    video = packets(file, "v")
    assert abs(video[-1].dts - info.duration_ms) <= 2 * TAG_MS
    with file.open("rb") as content:
        metadata, _ = read_metadata(content)
    index = metadata["keyframes"]
    assert isinstance(index, dict)
    assert [round(1000 * at) for at in index["times"]] == [one.dts for one in video if one.key]
    assert metadata["filesize"] == info.bytes


async def seen(viewer: Viewer, count: int, after: float = 0.0) -> None:
    async def look() -> bool:
        return sum(frame[0] > after for frame in viewer.frames) >= count

    await within(20, f"{count} frames", look)


async def test_a_recording_goes_on_where_the_other_origin_takes_over(
    film: Path, tmp_path: Path
) -> None:
    """And then, of a stream whose publisher stays away, the last picture is shown at once."""
    async with running(Pair(replication={"warm_streams": True})) as pair:
        await record_over_a_takeover(pair, film, own_media=False, tmp_path=tmp_path)
        await show_what_was_seen_last(pair, film)


async def test_without_a_nas_the_manifest_says_what_is_where(film: Path, tmp_path: Path) -> None:
    async with running(Pair(own_media=True)) as pair:
        await record_over_a_takeover(pair, film, own_media=True, tmp_path=tmp_path)


@contextlib.asynccontextmanager
async def running(pair: Pair) -> AsyncIterator[Pair]:
    try:
        yield pair.start()
    except BaseException:
        print(pair.logs())
        raise
    finally:
        pair.clean_up()


async def record_over_a_takeover(
    pair: Pair, film: Path, *, own_media: bool, tmp_path: Path
) -> None:
    active, standby = await pair.settled()
    async with contextlib.AsyncExitStack() as stack:
        camera = await stack.enter_async_context(Camera(pair.url("live"), "s", film, "record"))
        viewers = [
            await stack.enter_async_context(Viewer(pair.url("live"), "s")) for _ in range(VIEWERS)
        ]
        for viewer in viewers:
            await seen(viewer, FRAMES)
        killed = pair.signal(active, signal.SIGKILL)
        for viewer in viewers:
            await seen(viewer, FRAMES, killed)
    firsts = [viewer.first_after(killed) for viewer in viewers]
    assert len(camera.accepted) == 2
    print(
        f"the publisher was accepted {1000 * (camera.accepted[1] - killed):.0f} ms after the kill"
    )
    for first in firsts:
        assert first is not None
        assert first[2]  # a key frame
        print(f"a player's next frame came {1000 * (first[0] - killed):.0f} ms after the kill")
    await pair.settled()  # the killed one lives again, and has mended what it had written
    roots = {
        node.id: pair.directory / (node.id if own_media else "") / "media" for node in pair.nodes()
    }
    folders = {node: root / "live" / "_definst_" / "s.rec" for node, root in roots.items()}
    infos = await within(
        10, "both segments complete", lambda: complete(folders[standby.id], own_media)
    )
    first_info, second_info = infos
    assert (first_info.node, second_info.node) == (active.id, standby.id)
    assert second_info.gap_ms > 0
    for info in infos:
        file = folders[info.node] / info.file
        (told,) = [one for one in load_manifest(folders[info.node]) if one.file == info.file]
        look_at(file, told)
    (listed,) = json.loads(pair.command("recordings", "--json").stdout)["recordings"]
    assert listed["name"] == "live/_definst_/s"
    assert [one["node"] for one in listed["segments"]] == [active.id, standby.id]
    assert [one["seconds"] for one in listed["gaps"]] == [second_info.gap_ms / 1000]
    assert listed["missing"] == []  # it looks into the folders of both
    if own_media:
        assert not (folders[standby.id] / first_info.file).exists()
        return
    assert second_info.start_ms == first_info.start_ms + first_info.duration_ms + second_info.gap_ms
    whole = tmp_path / "whole.flv"
    await play_whole(pair.url("live/s"), whole)
    played = packets(whole, "v")
    apart = [packets(folders[info.node] / info.file, "v") for info in infos]
    assert [one.hash for one in played] == [one.hash for part in apart for one in part]
    assert [one.dts for one in played] == sorted(one.dts for one in played)
    assert played[len(apart[0])].dts - played[0].dts >= second_info.start_ms - TAG_MS


async def show_what_was_seen_last(pair: Pair, film: Path) -> None:
    active, standby = await pair.settled()
    async with Camera(pair.url("live"), "warm", film, "live") as camera:
        async with Viewer(pair.url("live"), "warm") as viewer:
            await seen(viewer, FRAMES)
        camera.stay_away()
        killed = pair.signal(active, signal.SIGKILL)
        await pair.becomes_active(standby, seconds=20)
        async with Viewer(pair.url("live", standby.rtmp), "warm") as viewer:
            await seen(viewer, 1)
    first = viewer.first_after(killed)
    assert first is not None
    assert first[2]  # a key frame
    assert len(camera.accepted) == 1
    print(f"without a publisher a picture came {1000 * (first[0] - killed):.0f} ms after the kill")


async def complete(folder: Path, own_media: bool) -> list[SegmentInfo]:
    """The two segments once nobody has more to do with them; of a disk that is elsewhere a
    manifest knows only what was told last."""
    infos = load_manifest(folder)
    done = [one for one in infos if one.state != "open"]
    return infos if len(infos) == 2 and len(done) >= (1 if own_media else 2) else []


async def play_whole(url: str, file: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(require("ffmpeg"), "-nostdin", "-v", "error", "-rtmp_buffer", "100000", "-i", url),
        *("-c", "copy", "-copyts", "-f", "flv", str(file)),
    )
    async with asyncio.timeout(30):
        assert await process.wait() == 0


async def test_a_recording_plays_and_is_completed_after_its_only_origin_was_killed(
    solo: Single, film: Path, tmp_path: Path
) -> None:
    await solo.start()
    folder = tmp_path / "media" / "live" / "_definst_" / "s.rec"
    url = f"rtmp://{solo.address}/live"
    async with Camera(url, "s", film, "record"), Viewer(url, "s") as viewer:
        await seen(viewer, FRAMES)
        assert solo.process is not None
        solo.process.send_signal(signal.SIGSTOP)  # the guard must not end what is to be killed
        os.kill(solo.origin_pid(), signal.SIGKILL)
        solo.process.kill()
        solo.process.wait()
    (info,) = load_manifest(folder)
    assert info.state == "open"
    assert packets(folder / info.file, "v")
    await solo.start()

    async def mended() -> bool:
        return load_manifest(folder)[0].state == "repaired"

    await within(10, "the segment is completed", mended)
    (info,) = load_manifest(folder)
    look_at(folder / info.file, info)
