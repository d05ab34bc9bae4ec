"""Recording what is published: over real sockets, into real files."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rtmp_sync import ConfigError, Origin
from rtmp_sync.server import recordings
from rtmp_sync.storage.manifest import SegmentInfo, load_manifest, segment_file
from rtmp_sync.storage.mending import mend
from rtmp_sync.storage.segment import Segment, read_metadata
from rtmp_sync.storage.state_directory import StateDirectory
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import VIDEO
from tests.support.fuse_disk import FuseDisk
from tests.support.origins import config_of, running, until
from tests.support.recordings import (
    FAILED,
    NO_ACCESS,
    RECORDS,
    START,
    closed,
    film,
    folder,
    frames_in,
    leave,
    play,
    publish,
    recording,
    says,
    states,
    studio,
    times,
    told,
)
from tests.support.tmpfs_disk import TmpfsDisk


async def test_a_stream_that_is_published_to_record_is_recorded(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        assert peer.statuses().index(START) < peer.statuses().index(RECORDS)
        film(peer, 10, start=500)
        await leave(origin, peer)
        assert "NetStream.Record.Stop" in peer.statuses()
        await closed(tmp_path, 1)
        (info,) = load_manifest(folder(tmp_path))
        with (folder(tmp_path) / info.file).open("rb") as file:
            metadata, _ = read_metadata(file)
        assert (metadata["width"], metadata["duration"]) == (320.0, 0.36)
        frames = frames_in(folder(tmp_path) / info.file)
        assert [at for at, _ in frames] == [40 * number for number in range(10)]
        assert origin.state.find("probe/live", "streams", "V").slots == {}  # type: ignore[union-attr]


async def test_recording_again_writes_over_it_and_appending_goes_on(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        for kind, count, starts in (
            ("record", 1, [0]),
            ("append", 2, [0, 160]),
            ("append", 3, [0, 160, 320]),
            ("record", 1, [0]),
        ):
            peer = await recording(origin, kind)
            film(peer, 5)
            await leave(origin, peer)
            await closed(tmp_path, count)
            assert [one.start_ms for one in load_manifest(folder(tmp_path))] == starts


@pytest.mark.parametrize("name", ["../s", "/etc/passwd", "a/../../b", "a\0b", ".s", "s.rec"])
async def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    async with studio(tmp_path) as origin:
        peer = await publish(origin, name=name)
        await peer.until(lambda: NO_ACCESS in peer.statuses())
        assert START not in peer.statuses()
        peer.close()
    assert not (tmp_path / "media").exists()


async def test_without_a_folder_nothing_is_recorded(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as origin:
        peer = await publish(origin)
        await peer.until(lambda: NO_ACCESS in peer.statuses())
        peer.close()


def put_in_the_way(place: Path) -> bool:
    """A file where the folder is; whether it was quicker than who makes the folder."""
    try:
        place.rmdir()
        place.write_text("in the way")
    except OSError:
        return False
    return True


async def test_a_disk_that_refuses_ends_the_recording_and_not_the_stream(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        await until(lambda: put_in_the_way(folder(tmp_path)))
        film(peer, 5)
        await peer.until(lambda: FAILED in peer.statuses())
        player = await play(origin, "s")
        await player.until(lambda: times(player))
        peer.close()
        player.close()


async def test_a_name_that_is_taken_is_not_written_over(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        film(peer, 5)
        await until(lambda: any(frames_in(path) for path in folder(tmp_path).glob("*.flv")))
        other = await publish(origin)
        await other.until(lambda: "NetStream.Publish.BadName" in other.statuses())
        other.close()
        await until(lambda: len(origin.sessions) == 1)
        await leave(origin, peer)
        await closed(tmp_path, 1)


async def test_a_folder_that_cannot_be_made_is_told_and_the_stream_is_published(
    tmp_path: Path,
) -> None:
    (tmp_path / "media").write_text("no folder")
    async with studio(tmp_path) as origin:
        peer = await publish(origin)
        await peer.until(lambda: FAILED in peer.statuses())
        assert START in peer.statuses()
        assert RECORDS not in peer.statuses()
        peer.close()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("s", "flv:s"),
        ("s", "s.flv"),
        ("archive/s", "mirror/s"),
        ("archive/deep/s", "deep/s"),
        ("link/s", "archive/s"),
    ],
)
async def test_two_names_of_one_place_are_not_recorded_at_the_same_time(
    tmp_path: Path, first: str, second: str
) -> None:
    archive = tmp_path / "archive"
    (archive / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(archive)
    virtual = {
        "/archive": archive,
        "/mirror": archive,
        "/deep": archive / "deep",
        "/link": tmp_path / "link",
    }
    async with studio(tmp_path, virtual=virtual) as origin:
        peer = await recording(origin, name=first)
        film(peer, 5)
        await until(lambda: any(tmp_path.rglob("*.flv")))
        other = await publish(origin, name=second)
        await other.until(lambda: NO_ACCESS in other.statuses())
        assert START not in other.statuses()
        other.close()
        await until(lambda: len(origin.sessions) == 1)
        film(peer, 10, start=1000)
        await leave(origin, peer)
        await until(lambda: [len(frames_in(file)) for file in tmp_path.rglob("*.flv")] == [16])
        again = await publish(origin, name=second)  # the place is free
        await again.until(lambda: RECORDS in again.statuses())
        again.close()


async def test_who_records_again_at_once_waits_until_its_file_is_complete(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        for _ in range(5):
            peer = await recording(origin, "append")
            film(peer, 5)
            peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
            peer.close()
            await until(lambda: len(origin.sessions) == 0)
        await closed(tmp_path, 5)
        found = load_manifest(folder(tmp_path))
        assert [one.start_ms for one in found] == [0, 160, 320, 480, 640]


async def test_a_file_that_was_put_there_plays_and_is_appended_to(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin, "record", "t")
        film(peer, 5)
        await leave(origin, peer)
        await until(lambda: load_manifest(folder(tmp_path, "t"))[:1])
        await until(lambda: load_manifest(folder(tmp_path, "t"))[0].state == "closed")
        file = folder(tmp_path, "t") / load_manifest(folder(tmp_path, "t"))[0].file
        copy = folder(tmp_path).with_name("s.flv")
        copy.write_bytes(file.read_bytes())
        found = await origin.recordings.find("probe", "live", "s")
        assert found is not None
        assert found.duration_ms == 160
        await found.close()
        peer = await recording(origin, "append")
        film(peer, 5)
        await leave(origin, peer)
        await closed(tmp_path, 1)
        found = await origin.recordings.find("probe", "live", "s")
        assert found is not None
        tags, _ = await found.read(found.begin, 1 << 20)
        await found.close()
        frames = [tag.ms for tag in tags if tag.type == VIDEO and tag.payload[1] == 1]
        assert frames == [0, 40, 80, 120, 160, 160, 200, 240, 280, 320]


async def test_a_disk_that_becomes_full_ends_the_recording_with_a_segment_that_plays(
    tmp_path: Path,
) -> None:
    disk = TmpfsDisk(tmp_path / "media", size=512 * 1024)
    try:
        async with studio(tmp_path) as origin:
            peer = await recording(origin)
            film(peer, 5)
            peer.push(VIDEO, 200, b"\x17\1\0\0\0" + bytes(600_000))
            await peer.until(lambda: FAILED in peer.statuses())
            assert "No space left" in told(peer, FAILED)
            await closed(tmp_path, 1)
            disk.fill()
            other = await publish(origin, name="other")
            film(other, 5)
            await other.until(lambda: FAILED in other.statuses())
            player = await play(origin, "other")
            await player.until(lambda: times(player))  # and what is live is live
            (info,) = load_manifest(folder(tmp_path))
            path = folder(tmp_path) / info.file
            assert info.bytes == path.stat().st_size
            assert [at for at, _ in frames_in(path)] == [0, 40, 80, 120, 160]
            for one in (peer, other, player):
                one.close()
    finally:
        disk.close()


async def test_a_nas_that_hangs_holds_up_nothing_but_its_own_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_PROVE_SECONDS", 0.5)
    nas = FuseDisk(tmp_path / "nas", tmp_path / "beneath")
    (tmp_path / "media").mkdir()
    try:
        async with studio(tmp_path, virtual={"/nas": nas.path}) as origin:
            origin.recordings.limits = replace(origin.recordings.limits, stall_seconds=0.5)
            peer = await recording(origin, name="nas/s")
            film(peer, 5)
            await until(lambda: any(frames_in(path) for path in nas.beneath.rglob("*.flv")))
            nas.hang()
            late = [await publish(origin, name=f"nas/late-{number}") for number in range(5)]
            for one in late:
                await one.until(partial(says, one, FAILED, "does not answer"))
                assert START in one.statuses()
            at = 200
            while FAILED not in peer.statuses():  # a camera goes on
                peer.push(VIDEO, at, b"\x27\1\0\0\0more")
                at += 40
                await asyncio.sleep(0.02)
            assert "does not answer" in told(peer, FAILED)
            local = await recording(origin)
            film(local, 5)
            player = await play(origin, "s")
            await player.until(lambda: times(player))
            local.send(local.rtmp.command("deleteStream", 0, None, 1.0))
            await closed(tmp_path, 1)
            nas.heal()
            await until(lambda: states(nas.beneath / "s.rec") == ["repaired"])
            for one in (peer, *late, local, player):
                one.close()
    finally:
        nas.close()


async def test_a_nas_that_hangs_keeps_an_origin_that_stops_from_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_END_SECONDS", 600.0)
    nas = FuseDisk(tmp_path / "nas", tmp_path / "beneath")
    written = asyncio.Event()

    try:
        origin = Origin(config_of(tmp_path / "state", storage={"media": nas.path}))
        await origin.start()
        peer = await recording(origin)
        film(peer, 5)
        await until(lambda: any(frames_in(path) for path in nas.beneath.rglob("*.flv")))
        nas.hang()
        write = origin.persistence.stop

        async def stop() -> None:
            await write()
            written.set()

        monkeypatch.setattr(origin.persistence, "stop", stop)
        stopping = asyncio.ensure_future(origin.stop())
        async with asyncio.timeout(20):
            await written.wait()
        with pytest.raises(ConfigError, match=r"storage\.state"):  # it still writes: not yet
            StateDirectory(tmp_path / "state", "A").open()
        nas.heal()
        await stopping
        peer.close()
    finally:
        nas.close()


async def test_a_folder_that_cannot_be_mended_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [folder(tmp_path, name) for name in "abc"]
    for one in folders:
        one.mkdir(parents=True)
        segment = Segment({"node": "A", "epoch": 1.0, "number": 1.0, "startMs": 0.0, "gapMs": 0.0})
        key = b"\x17\1\0\0\0key"
        data = segment.begin() + segment.tag(VIDEO, 0, key, media.classify(VIDEO, key))
        (one / segment_file(1, 1)).write_bytes(data)
    refused: list[Path] = []

    def mend_but_the_first(one: Path, node_id: str) -> list[SegmentInfo]:
        if not refused:
            refused.append(one)
            raise PermissionError("not this one")
        return mend(one, node_id)

    monkeypatch.setattr(recordings, "mend", mend_but_the_first)
    async with studio(tmp_path):
        await until(lambda: [states(one) for one in folders].count(["repaired"]) == 2)
        assert states(refused[0]) == []


async def test_ten_thousand_names_leave_nothing_behind(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await publish(origin, "live", "first")
        await peer.until(lambda: START in peer.statuses())
        for batch in range(100):
            for number in range(100):  # a publish over a publish ends the first one
                name = f"stream-{batch}-{number}"
                peer.tell("publish", name, "live")
            await peer.until(partial(says, peer, START, name))
            peer.events.clear()
        (instance,) = origin.instances
        assert instance.live.names == [name]
        listed = origin.state.find("probe/live", "streams", "V")
        assert listed is not None
        assert list(listed.slots) == [name]
        assert len(listed.tombstones) <= 1024
        await leave(origin, peer)
        assert instance.live.names == []
        assert listed.slots == {}


async def test_what_is_being_recorded_is_not_recorded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_PROVE_SECONDS", 0.2)
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        take = await origin.recordings.prepare("probe", "live", "s", "record")
        assert take.trouble == "it is recorded"
        peer.close()


async def test_players_that_wait_for_the_disk_leave_threads_to_who_records(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        stuck = folder(tmp_path, "stuck")
        stuck.mkdir(parents=True)
        os.mkfifo(stuck / "00000001-000001.flv")  # whoever looks at it waits
        waiting = [await play(origin, "stuck") for _ in range(10)]
        peer = await recording(origin)
        film(peer, 5)
        peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
        await closed(tmp_path, 1)
        with (stuck / "00000001-000001.flv").open("wb"):
            for one in (peer, *waiting):
                one.close()
            await until(lambda: len(origin.sessions) == 0)
