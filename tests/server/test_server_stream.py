"""Streams that an application plays, records and relays by itself, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.errors import ConnectError
from rtmp_sync.server import instances, server_playlist
from rtmp_sync.server.server_stream import ServerStream
from rtmp_sync.server.standby_object import REPLAYING
from rtmp_sync.server.timeline import Timeline
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, VIDEO
from tests.support.joined import Joined, begin, instance, join, play, publish
from tests.support.origins import running, until, url
from tests.support.publisher import AVC_HEADER, METADATA, inter, key
from tests.support.single import free_ports

HEVC_HEADER = b"\x90hvc1config"
HEVC_KEY = b"\x91hvc1\0\0\0key"


def stream_of(origin: Origin, name: str) -> ServerStream:
    return instance(origin).application.stream(name)


def told_by(stream: ServerStream) -> list[str]:
    """The codes that it tells from now on."""
    codes: list[str] = []
    stream.on_status = lambda info: codes.append(info["code"])
    return codes


def pictures(player: Joined) -> list[bytes]:
    return [payload for type, _, payload in player.frames if type == VIDEO]


async def test_a_playlist_of_live_streams_is_one_stream_that_goes_on_at_key_frames(
    origin: Origin,
) -> None:
    first, second = await publish(origin, "a"), await publish(origin, "b")
    begin(first)
    show = stream_of(origin, "show")
    codes = told_by(show)
    player = await play(origin, "show")
    show.play("a")
    show.play("b", reset=False)
    await until(lambda: pictures(player) == [AVC_HEADER, key(b"1")])
    second.stream.send(VIDEO, 70_000, HEVC_HEADER)
    second.stream.send(VIDEO, 70_000, b"\x91hvc1\0\0\0old key")
    first.stream.send(VIDEO, 40, inter(b"2"))
    await until(lambda: len(pictures(player)) == 3)
    await until(lambda: instance(origin).live.audience("b") == 0)
    await first.stream.unpublish()
    await until(lambda: instance(origin).live.audience("b") == 1)
    second.stream.send(VIDEO, 70_040, b"\xa1hvc1\0\0\0inter")
    second.stream.send(AUDIO, 70_050, b"\xaf\1a")
    second.stream.send(VIDEO, 70_080, HEVC_KEY)
    await until(lambda: HEVC_KEY in pictures(player))
    assert pictures(player) == [AVC_HEADER, key(b"1"), inter(b"2"), HEVC_HEADER, HEVC_KEY]
    times = [timestamp for _, timestamp, _ in player.frames]
    assert times == sorted(times)
    assert times[-1] - times[-2] == 30  # sound and picture keep their distance
    assert times[-1] < 70_000
    await second.stream.unpublish()
    await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)
    assert codes == ["NetStream.Play.Start", "NetStream.Play.Switch", "NetStream.Play.Complete"]


async def test_the_metadata_of_whoever_publishes_it_is_told(origin: Origin) -> None:
    publisher = await publish(origin, "a")
    stream = stream_of(origin, "a")
    assert stream.metadata == stream_of(origin, "nothing").metadata == {}
    begin(publisher)
    await until(lambda: stream.metadata == {"width": 320.0})
    await publisher.stream.unpublish()
    await until(lambda: stream.metadata == {})


async def test_one_picture_is_waited_for_and_is_the_end(origin: Origin) -> None:
    player = await play(origin, "show")
    show = stream_of(origin, "show")
    codes = told_by(show)
    show.play("a", start=-1, length=0)
    await until(lambda: show.published)
    assert codes == []
    camera = await publish(origin, "a")
    begin(camera)
    camera.stream.send(VIDEO, 40, inter(b"2"))
    await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)
    assert pictures(player) == [AVC_HEADER, key(b"1")]
    assert METADATA in [payload for _, _, payload in player.heard]
    assert codes == ["NetStream.Play.Start", "NetStream.Play.Complete"]
    assert instance(origin).live.names == ["a"]


async def test_a_source_that_fails_in_an_unforeseen_way_costs_only_itself(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Timeline):
        def switch(self) -> None:
            if not failed:
                failed.append(True)
                raise LookupError("as no code foresees")
            super().switch()

    failed: list[bool] = []
    monkeypatch.setattr(server_playlist, "Timeline", Broken)
    begin(await publish(origin, "a"))
    player = await play(origin, "show")
    show = stream_of(origin, "show")
    codes = told_by(show)
    show.play("a")
    show.play("a", reset=False)
    await until(lambda: key(b"1") in pictures(player))
    assert codes[0] == "NetStream.Play.Failed"


async def test_what_is_live_is_played_for_the_time_that_was_asked_for(origin: Origin) -> None:
    begin(await publish(origin, "a"))
    player = await play(origin, "show")
    show = stream_of(origin, "show")
    codes = told_by(show)
    show.play("a", length=0.05)
    await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)
    assert pictures(player) == [AVC_HEADER, key(b"1")]
    assert codes == ["NetStream.Play.Start", "NetStream.Play.Complete"]


async def test_what_plays_is_replaced_at_once_unless_it_is_to_go_on(origin: Origin) -> None:
    first, second = await publish(origin, "a"), await publish(origin, "b")
    begin(first)
    begin(second)
    player = await play(origin, "show")
    show = stream_of(origin, "show")
    show.play("a")
    await until(lambda: key(b"1") in pictures(player))
    show.play("b")
    await until(lambda: instance(origin).live.audience("b") == 1)
    first.stream.send(VIDEO, 40, key(b"of a"))
    second.stream.send(VIDEO, 40, key(b"of b"))
    await until(lambda: pictures(player)[-1] == key(b"of b"))
    assert key(b"of a") not in pictures(player)
    show.stop()
    await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)


async def test_a_stream_is_recorded_whoever_publishes_it_and_played_before_a_live_one(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "state", storage={"media": tmp_path / "media"}) as origin:
        camera = await publish(origin, "camera")
        begin(camera)
        recorded = stream_of(origin, "camera")
        codes = told_by(recorded)
        recorded.record()
        await until(lambda: codes == ["NetStream.Record.Start"])
        camera.stream.send(VIDEO, 40, inter(b"2"))
        await camera.stream.unpublish()
        await until(lambda: codes[1:] == ["NetStream.Record.Stop"])
        again = await publish(origin, "camera")
        await until(lambda: len(codes) == 3)
        again.stream.send(VIDEO, 0, AVC_HEADER)
        again.stream.send(VIDEO, 0, key(b"3"))
        await until(lambda: instance(origin).live.names == ["camera"])
        watcher = await play(origin, "camera")
        await until(lambda: key(b"3") in pictures(watcher))
        recorded.record(False)
        await until(lambda: len(codes) == 4)
        await until_written(recorded)
        player = await play(origin, "show")
        live = await publish(origin, "studio")
        begin(live)
        show = stream_of(origin, "show")
        show.play("camera", start=0)
        show.play("studio", reset=False)
        await until(lambda: key(b"3") in pictures(player))
        await until(lambda: instance(origin).live.audience("studio") == 1)
        live.stream.send(VIDEO, 80, key(b"live"))
        await until(lambda: key(b"live") in pictures(player))
        shown = [one for one in pictures(player) if one != AVC_HEADER]
        assert shown == [key(b"1"), inter(b"2"), key(b"3"), key(b"live")]
        times = [timestamp for _, timestamp, _ in player.frames]
        assert times == sorted(times)


async def until_written(stream: ServerStream) -> None:
    """Its recording has been written."""
    async with asyncio.timeout(10):
        while await stream.length() < 0.04:  # noqa: ASYNC110  # the disk tells nobody
            await asyncio.sleep(0.001)


async def test_what_is_not_recorded_is_left_out(origin: Origin) -> None:
    live = await publish(origin, "a")
    begin(live)
    show = stream_of(origin, "show")
    codes = told_by(show)
    player = await play(origin, "show")
    show.play("nothing", start=0)
    show.play("a", reset=False)
    await until(lambda: key(b"1") in pictures(player))
    assert codes == ["NetStream.Play.StreamNotFound", "NetStream.Play.Start"]


async def test_recording_without_a_folder_says_so(origin: Origin) -> None:
    await publish(origin, "a")
    stream = stream_of(origin, "a")
    codes = told_by(stream)
    stream.record("append")
    await until(lambda: codes == ["NetStream.Record.NoAccess"])


async def test_a_stream_cannot_play_itself_not_through_others_either(origin: Origin) -> None:
    await join(origin)
    first, second, third = (stream_of(origin, name) for name in "abc")
    codes, others = told_by(first), told_by(third)
    first.play("a")
    await until(lambda: codes[:1] == ["NetStream.Play.Failed"])
    first.play("b", start=-1)
    second.play("c", start=-1)
    await until(lambda: instance(origin).live.audience("c") == 1)
    third.play("a", start=-1)
    await until(lambda: others[:1] == ["NetStream.Play.Failed"])
    assert instance(origin).live.audience("a") == 0


async def test_a_name_that_is_taken_is_not_played_over(origin: Origin) -> None:
    begin(await publish(origin, "a"))
    await publish(origin, "show")
    show = stream_of(origin, "show")
    codes = told_by(show)
    show.play("a")
    await until(lambda: codes == ["NetStream.Publish.BadName"])


async def test_data_reaches_who_plays_and_metadata_who_comes_later(origin: Origin) -> None:
    await publish(origin, "a")
    early = await play(origin, "a")
    stream = stream_of(origin, "a")
    stream.send("onCue", "now")
    stream.send("@setDataFrame", "onMetaData", {"width": 320.0})
    await until(lambda: METADATA in [payload for _, _, payload in early.heard])
    assert amf0.encode("onCue", "now") in [payload for _, _, payload in early.heard]
    late = await play(origin, "a")
    await until(lambda: METADATA in [payload for _, _, payload in late.heard])


async def test_a_stream_is_pushed_and_pulled_under_other_names_until_that_is_stopped(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "to") as there, running(tmp_path / "from") as here:
        there_player, here_player = await play(there, "pushed"), await play(here, "pulled")
        camera = await publish(here, "camera")
        begin(camera)
        camera_stream = stream_of(here, "camera")
        codes = told_by(camera_stream)
        stop = camera_stream.publish_to(url(there, "probe"), "pushed")
        await until(lambda: key(b"1") in pictures(there_player))
        pulled = stream_of(here, "pulled")
        pulled.pull_from(url(there, "probe"), "pushed")
        await until(lambda: key(b"1") in pictures(here_player))
        assert {"camera", "pulled"} == set(instance(here).live.names)
        pulled.close()
        await until(lambda: "NetStream.Play.UnpublishNotify" in here_player.told)
        stop()
        await until(lambda: "NetStream.Play.UnpublishNotify" in there_player.told)
        assert codes == ["NetStream.Publish.Start"]


async def test_an_address_that_is_none_is_refused_at_once(origin: Origin) -> None:
    await join(origin)
    with pytest.raises(ConnectError):
        stream_of(origin, "a").publish_to("http://host/app")


async def test_in_a_call_that_is_replayed_nothing_is_done(origin: Origin) -> None:
    begin(await publish(origin, "a"))
    show = stream_of(origin, "show")
    token = REPLAYING.set(True)
    try:
        show.play("a")
        show.record()
        show.publish_to(url(origin, "probe"), "b")
        show.pull_from(url(origin, "probe"), "a")
        show.send("onCue")
    finally:
        REPLAYING.reset(token)
    assert not show.at_work


async def test_a_closed_stream_does_nothing_more(origin: Origin) -> None:
    begin(await publish(origin, "a"))
    show = stream_of(origin, "show")
    show.play("a")
    await until(lambda: instance(origin).live.audience("a") == 1)
    show.close()
    await until(lambda: instance(origin).live.audience("a") == 0)
    show.play("a")
    assert not show.at_work
    assert stream_of(origin, "show") is not show


async def test_an_error_in_the_applications_listener_ends_nothing(origin: Origin) -> None:
    player = await play(origin, "show")
    begin(await publish(origin, "a"))
    show = stream_of(origin, "show")

    def fail(info: dict[str, str]) -> None:
        raise RuntimeError("the application's")

    show.on_status = fail
    show.play("a")
    await until(lambda: key(b"1") in pictures(player))


async def test_the_streams_of_an_instance_that_is_let_go_end_with_it(origin: Origin) -> None:
    player = await play(origin, "show")
    begin(await publish(origin, "a"))
    show = stream_of(origin, "show")
    show.play("a")
    await until(lambda: AVC_HEADER in pictures(player))
    show.publish_to(f"rtmp://127.0.0.1:{free_ports(1)[0]}/nobody")
    instance(origin).let_go()
    assert not show.at_work
    await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)


async def test_an_instance_at_work_does_not_end_for_having_no_clients(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "IDLE_SECONDS", 0.01)
    client = await join(origin)
    show = stream_of(origin, "show")
    stop = show.pull_from(f"rtmp://127.0.0.1:{free_ports(1)[0]}/nobody")
    await client.connection.close()
    await until(lambda: not instance(origin).clients)
    idle = origin.instances._idle
    await until(lambda: idle)
    first = idle["probe/_definst_"]
    await until(lambda: idle.get("probe/_definst_", first) is not first)  # looked at, and left
    assert len(origin.instances) == 1
    stop()
    await until(lambda: len(origin.instances) == 0)


async def test_instances_of_the_configuration_run_before_anybody_comes(tmp_path: Path) -> None:
    async with running(tmp_path / "state", apps={"probe": {"start": ["radio"]}}) as origin:
        assert instance(origin).name == "radio"
        await instance(origin).ready
