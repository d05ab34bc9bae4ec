"""Recording what is published: over real sockets, into real files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import MediaReceived, StatusReceived
from rtmp_sync.server import recordings, stream_registry
from rtmp_sync.server.stream_registry import ListedStream
from rtmp_sync.storage.manifest import load_manifest
from rtmp_sync.storage.segment import read_metadata
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader
from tests.support.fuse_disk import FuseDisk
from tests.support.origins import running, take_over, until
from tests.support.peer import Peer
from tests.support.tmpfs_disk import TmpfsDisk

AVC = b"\x17\0\0\0\0config"
METADATA = amf0.encode("@setDataFrame", "onMetaData", {"width": 320.0})
START, RECORDS = "NetStream.Publish.Start", "NetStream.Record.Start"
NO_ACCESS, FAILED = "NetStream.Record.NoAccess", "NetStream.Record.Failed"


@asynccontextmanager
async def studio(tmp_path: Path, **storage: Any) -> AsyncIterator[Origin]:
    storage = {"media": tmp_path / "media", "state": tmp_path / "state", **storage}
    async with running(tmp_path / "state", storage=storage) as origin:
        yield origin


async def publish(origin: Origin, kind: str = "record", name: str = "s") -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("publish", name, kind)
    return peer


async def recording(origin: Origin, kind: str = "record", name: str = "s") -> Peer:
    """A publisher whose stream is being recorded."""
    peer = await publish(origin, kind, name)
    await peer.until(lambda: RECORDS in peer.statuses())
    return peer


def film(peer: Peer, frames: int, *, start: int = 0) -> None:
    peer.push(DATA, start, METADATA)
    peer.push(VIDEO, start, AVC)
    for number in range(frames):
        payload = (b"\x27" if number % 5 else b"\x17") + b"\1\0\0\0%d" % number
        peer.push(VIDEO, start + 40 * number, payload)


def told(peer: Peer, code: str) -> str:
    """The descriptions of all statuses of that code."""
    seen = [one.info for one in peer.events if isinstance(one, StatusReceived)]
    return "\n".join(str(one["description"]) for one in seen if one.get("code") == code)


def says(peer: Peer, code: str, text: str) -> bool:
    return text in told(peer, code)


async def play(origin: Origin, name: str) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", name)
    return peer


async def leave(origin: Origin, peer: Peer, *, cleanly: bool = True) -> None:
    if cleanly:
        peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
        await peer.until(lambda: "NetStream.Unpublish.Success" in peer.statuses())
    peer.close()
    await until(lambda: len(origin.sessions) == 0)


def folder(tmp_path: Path, name: str = "s") -> Path:
    return tmp_path / "media" / "probe" / "live" / f"{name}.rec"


def states(folder: Path) -> list[str]:
    return [one.state for one in load_manifest(folder)]


async def closed(tmp_path: Path, count: int) -> None:
    def all_closed() -> bool:
        known = load_manifest(folder(tmp_path))
        return len(known) == count and all(one.state != "open" for one in known)

    await until(all_closed)


def frames_in(path: Path) -> list[tuple[int, bytes]]:
    tags = FlvReader().feed(path.read_bytes())
    return [(tag.timestamp, tag.payload) for tag in tags if tag.type == VIDEO][1:]


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


async def test_who_was_lost_and_comes_back_goes_on_with_its_recording(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        film(peer, 5)
        await until(lambda: origin.instances)
        await leave(origin, peer, cleanly=False)
        await closed(tmp_path, 1)
        peer = await publish(origin)  # "record" again, as encoders do
        await peer.until(lambda: RECORDS in peer.statuses())
        film(peer, 5)
        await leave(origin, peer)
        await closed(tmp_path, 2)
        first, second = load_manifest(folder(tmp_path))
        assert second.start_ms >= first.start_ms + first.duration_ms
        assert second.gap_ms == second.start_ms - first.duration_ms


async def test_a_recording_goes_on_after_a_restart_of_the_origin_and_its_file_is_repaired(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        film(peer, 5)
        await until(lambda: any(frames_in(path) for path in folder(tmp_path).glob("*.flv")))
        first = next(iter(folder(tmp_path).glob("*.flv"))).read_bytes()
        peer.close()
        await until(lambda: len(origin.sessions) == 0)
        registry = next(iter(origin.instances)).registry
        assert isinstance(registry.continues("s"), ListedStream)
        await origin.committed()
    # as if it had been killed: the file is what it was while it was written
    next(iter(folder(tmp_path).glob("*.flv"))).write_bytes(first[:-3])
    (folder(tmp_path) / "manifest.json").unlink()
    async with studio(tmp_path) as origin:
        await closed(tmp_path, 1)
        assert load_manifest(folder(tmp_path))[0].state == "repaired"
        peer = await recording(origin)
        film(peer, 5)
        await leave(origin, peer)
        await closed(tmp_path, 2)
        first_epoch, second_epoch = (one.epoch for one in load_manifest(folder(tmp_path)))
        assert second_epoch > first_epoch


async def test_players_that_stayed_see_time_go_on(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await publish(origin, "live")
        player = await play(origin, "s")
        await player.until(lambda: "NetStream.Play.Start" in player.statuses())
        await peer.until(lambda: START in peer.statuses())
        film(peer, 5, start=90_000)
        await player.until(lambda: times(player)[-1:] == [90_160])
        peer.close()
        await until(lambda: len(origin.sessions) == 1)
        peer = await publish(origin, "live")
        await peer.until(lambda: START in peer.statuses())
        film(peer, 5)  # an encoder starts at 0 again
        await player.until(lambda: len(times(player)) >= 10)
        assert times(player) == sorted(times(player))
        peer.close()
        player.close()


def times(peer: Peer) -> list[int]:
    seen = [one for one in peer.events if isinstance(one, MediaReceived)]
    return [one.timestamp for one in seen if one.type == VIDEO and one.payload[1] == 1]


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


async def test_segments_on_a_disk_of_the_other_origin_are_in_the_manifest(tmp_path: Path) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        film(peer, 5)
        await until(lambda: any(frames_in(path) for path in folder(tmp_path).glob("*.flv")))
        peer.close()
        await closed(tmp_path, 1)
        await origin.committed()
    (tmp_path / "media").rename(tmp_path / "disk-of-a")
    async with studio(tmp_path, media=tmp_path / "media") as origin:
        peer = await recording(origin)
        film(peer, 5)
        await leave(origin, peer)
        await closed(tmp_path, 2)
        first, second = load_manifest(folder(tmp_path))
        assert not (folder(tmp_path) / first.file).exists()
        assert (folder(tmp_path) / second.file).exists()
        assert (first.start_ms, first.duration_ms, first.state) == (0, 160, "closed")
        assert second.start_ms == 160 + second.gap_ms


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


async def test_of_more_lost_publishers_than_a_server_has_the_first_ones_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_registry, "_MAX_LOST", 10)
    async with studio(tmp_path) as origin:
        for number in range(12):
            peer = await publish(origin, "live", f"s-{number}")
            await peer.until(partial(says, peer, START, "s-"))
            peer.close()
            await until(lambda: len(origin.sessions) == 0)
        (instance,) = origin.instances
        continued = [instance.registry.continues(f"s-{number}") for number in range(12)]
        assert [one is not None for one in continued] == [False, False, *[True] * 10]
        listed = origin.state.find("probe/live", "streams", "V")
        assert listed is not None
        assert len(listed.slots) == 10


async def test_what_is_being_recorded_is_not_recorded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_PROVE_SECONDS", 0.2)
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        take = await origin.recordings.prepare("probe", "live", "s", "record")
        assert take.trouble == "it is recorded"
        peer.close()


async def test_a_publisher_that_returns_with_a_clock_of_its_own_goes_on_at_once(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path) as origin:
        peer = await publish(origin, "live")
        player = await play(origin, "s")
        await peer.until(lambda: START in peer.statuses())
        film(peer, 5)
        peer.push(DATA, 0, amf0.encode("@setDataFrame", "onMetaData", {"title": "late"}))
        await player.until(lambda: player.media()[-1:] and player.media()[-1].type == DATA)
        peer.close()
        await until(lambda: len(origin.sessions) == 1)
        peer = await publish(origin, "live")
        peer.push(DATA, 0, amf0.encode("@setDataFrame", "onMetaData", {"title": "again"}))
        film(peer, 0)
        peer.push(VIDEO, 3_600_000, b"\x17\1\0\0\0key")
        await player.until(lambda: len(times(player)) == 6)
        assert times(player) == [0, 40, 80, 120, 160, 161]
        peer.close()
        player.close()


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


async def test_what_the_application_records_goes_on_after_a_takeover_though_it_says_record(
    tmp_path: Path,
) -> None:
    async def film_recorded(origin: Origin, count: int) -> Peer:
        peer = await publish(origin, "live")
        await peer.until(lambda: START in peer.statuses())
        stream = next(iter(origin.instances)).application.stream("s")
        stream.record("record")
        film(peer, 5)
        await until(lambda: len(load_manifest(folder(tmp_path))) == count)
        await until(lambda: any(frames_in(path) for path in folder(tmp_path).glob("*.flv")))
        return peer

    async with studio(tmp_path) as origin:
        peer = await film_recorded(origin, 1)
        peer.close()
        await until(lambda: len(origin.sessions) == 0)
        await origin.committed()
    async with studio(tmp_path) as origin:
        peer = await film_recorded(origin, 2)
        assert [one.start_ms for one in load_manifest(folder(tmp_path))] == [0, 160]
        stream = next(iter(origin.instances)).application.stream("s")
        stream.record("record")  # once more is meant
        await until(lambda: [one.start_ms for one in load_manifest(folder(tmp_path))] == [0])
        peer.close()


async def test_who_publishes_again_stays_listed_when_the_grace_of_before_a_takeover_ends(
    tmp_path: Path,
) -> None:
    replication = {"reconnect_grace": 0.2}
    async with running(tmp_path / "state", replication=replication) as origin:
        lost = await publish(origin, "live")
        await lost.until(lambda: START in lost.statuses())
        (before,) = origin.instances
        await take_over(origin)  # its connection is gone only after that
        peer = await publish(origin, "live")
        await peer.until(lambda: START in peer.statuses())
        await until(lambda: not before.registry._lost)
        (instance,) = origin.instances
        assert instance is not before
        assert instance.registry._slot("streams", "s") is not None
        lost.close()
        peer.close()


async def test_what_an_application_plays_stays_listed_for_the_origin_that_takes_over(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path) as origin:
        peer = await publish(origin, "live", "camera")
        await peer.until(lambda: START in peer.statuses())
        (before,) = origin.instances
        before.application.stream("show").play("camera")
        await until(lambda: before.live.is_published("show"))
        await take_over(origin)
        (instance,) = origin.instances
        assert instance.registry.continues("show") is not None
        peer.close()
