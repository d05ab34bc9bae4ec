"""Streams and recordings that go on: their publisher comes back, or their origin is another one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.server import stream_registry
from rtmp_sync.server.stream_registry import ListedStream
from rtmp_sync.storage.manifest import load_manifest
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import DATA, VIDEO
from tests.support.origins import running, take_over, until
from tests.support.peer import Peer
from tests.support.recordings import (
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
    studio,
    times,
)


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


@pytest.mark.parametrize(
    ("kind", "segments"), [("record", [(5, 0, 0)]), ("append", [(3, 0, 0), (5, 80, 0)])]
)
async def test_who_published_live_and_comes_back_to_record_begins_a_recording_of_its_own(
    tmp_path: Path, kind: str, segments: list[tuple[int, int, int]]
) -> None:
    async with studio(tmp_path) as origin:
        peer = await recording(origin)
        film(peer, 3)
        await leave(origin, peer)  # what was recorded once
        await closed(tmp_path, 1)
        peer = await publish(origin, "live")
        await peer.until(lambda: START in peer.statuses())
        film(peer, 5)
        await leave(origin, peer, cleanly=False)
        peer = await recording(origin, kind)
        film(peer, 5)
        await leave(origin, peer, cleanly=False)
        await closed(tmp_path, len(segments))
        assert [
            (len(frames_in(folder(tmp_path) / one.file)), one.start_ms, one.gap_ms)
            for one in load_manifest(folder(tmp_path))
        ] == segments
        peer = await recording(origin, kind)  # of this one it is the next segment
        film(peer, 5)
        await leave(origin, peer)
        await closed(tmp_path, len(segments) + 1)
        last = load_manifest(folder(tmp_path))[-1]
        assert last.start_ms >= segments[-1][1] + 160


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
