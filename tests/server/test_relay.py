"""Relays of the configuration, between origins on real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import CallError
from rtmp_sync.server import relay_push
from rtmp_sync.server.relay import Remote
from rtmp_sync.server.relay_push import RelayPush
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from tests.support.http_player import HttpPlayer
from tests.support.joined import begin, instance, join, play, publish
from tests.support.origins import running, take_over, until, url
from tests.support.publisher import AAC_HEADER, AVC_HEADER, METADATA, inter, key


def relays(*tables: dict[str, Any]) -> dict[str, Any]:
    """A section `apps` whose application `probe` has these relays."""
    return {"probe": {"relays": list(tables)}}


async def test_a_stream_is_pushed_from_its_last_key_frame_on_and_as_long_as_it_lasts(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "to") as target:
        push = relays({"push": url(target, "probe")})
        async with running(tmp_path / "from", apps=push) as origin:
            player = await play(target)
            publisher = await publish(origin)
            begin(publisher)
            publisher.stream.send(VIDEO, 40, inter(b"2"))
            await until(lambda: len(player.frames) == 4)
            assert player.frames == [
                (VIDEO, 0, AVC_HEADER),
                (AUDIO, 0, AAC_HEADER),
                (VIDEO, 0, key(b"1")),
                (VIDEO, 40, inter(b"2")),
            ]
            assert (DATA, 0, METADATA) in player.heard
            await publisher.stream.unpublish()
            await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)
            assert instance(target).live.names == []


async def test_a_target_that_comes_late_gets_the_stream_from_a_key_frame(tmp_path: Path) -> None:
    async with running(tmp_path / "to") as target:
        port = target.rtmp_port
    push = relays({"push": f"rtmp://127.0.0.1:{port}/probe", "streams": ["s*"]})
    async with running(tmp_path / "from", apps=push) as origin:
        publisher = await publish(origin)
        begin(publisher)
        begin(await publish(origin, "not this one"))
        await publish(origin, "same instance", "probe/room")
        room = origin.instances.running("probe/room")
        assert room is not None
        assert list(instance(origin).relays._pushes) == ["s"]
        assert not room.relays._pushes
        listen = {"listen": f"127.0.0.1:{port}"}
        async with running(tmp_path / "late", rtmp=listen) as target:
            player = await play(target)
            await until(lambda: len(player.frames) == 3)
            assert player.frames[-1] == (VIDEO, 0, key(b"1"))
            assert instance(target).live.names == ["s"]


async def test_a_stream_is_pulled_for_its_first_player_and_let_go_after_the_last(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "from") as source:
        pull = relays({"pull": url(source, "probe"), "linger": 0.0})
        async with running(tmp_path / "to", apps=pull) as origin:
            publisher = await publish(source)
            begin(publisher)
            player = await play(origin)
            await until(lambda: len(player.frames) == 3)
            assert player.frames[-1] == (VIDEO, 0, key(b"1"))
            heard = [payload for type, _, payload in player.heard if type == DATA]
            assert len(heard) == len(set(heard)) == 3  # |RtmpSampleAccess, Data.Start, onMetaData
            assert instance(source).live.audience("s") == 1
            player.stream.close()
            await until(lambda: instance(source).live.audience("s") == 0)
            assert instance(origin).live.names == []


async def test_a_pulled_stream_goes_on_when_its_server_comes_back_and_time_does_not_go_back(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "first") as source:
        listen = {"listen": f"127.0.0.1:{source.rtmp_port}"}
        pull = relays({"pull": url(source, "probe")})
        origin_is_up = running(tmp_path / "to", apps=pull)
        origin = await origin_is_up.__aenter__()
        publisher = await publish(source)
        begin(publisher)
        publisher.stream.send(VIDEO, 5000, key(b"2"))
        player = await play(origin)
        await until(lambda: player.frames and player.frames[-1] == (VIDEO, 5000, key(b"2")))
    async with running(tmp_path / "second", rtmp=listen) as source:
        publisher = await publish(source)
        begin(publisher)
        await until(lambda: player.frames[-1][2] == key(b"1"))
        times = [timestamp for _, timestamp, _ in player.frames]
        assert times == sorted(times)
        assert "NetStream.Play.UnpublishNotify" in player.told
        await origin_is_up.__aexit__(None, None, None)


async def test_two_origins_that_pull_from_each_other_do_not_run_in_circles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path / "a") as first:
        port = first.rtmp_port
    async with (
        running(
            tmp_path / "b", apps=relays({"pull": f"rtmp://127.0.0.1:{port}/probe", "linger": 0.0})
        ) as second,
        running(
            tmp_path / "a2",
            rtmp={"listen": f"127.0.0.1:{port}"},
            apps=relays({"pull": url(second, "probe"), "linger": 0.0}),
        ) as first,
    ):
        player = await play(first)
        await until(lambda: "the relays form a circle" in capsys.readouterr().out)
        assert instance(first).live.audience("s") == instance(second).live.audience("s") == 1
        player.stream.close()
        await until(lambda: instance(second).live.audience("s") == 0)
        await until(lambda: instance(first).live.audience("s") == 0)


async def test_two_origins_that_push_to_each_other_carry_a_stream_once(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as first:
        port = first.rtmp_port
    async with (
        running(tmp_path / "b", apps=relays({"push": f"rtmp://127.0.0.1:{port}/probe"})) as second,
        running(
            tmp_path / "a2",
            rtmp={"listen": f"127.0.0.1:{port}"},
            apps=relays({"push": url(second, "probe")}),
        ) as first,
    ):
        player = await play(second)
        publisher = await publish(first)
        begin(publisher)
        await until(lambda: len(player.frames) == 3)
        publisher.stream.send(VIDEO, 40, inter(b"2"))
        await until(lambda: len(player.frames) == 4)


async def test_a_relay_that_brings_a_stream_back_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as origin:
        await publish(origin, "other")
        path = f"elsewhere/x {instance(origin).live.hop}/s"
        back = await join(origin, relayPath=path)
        try:
            await back.stream.publish("s")
            refused = ""
        except CallError as error:
            refused = str(error)
        assert "circle" in refused
        assert instance(origin).live.names == ["other"]


async def test_a_target_that_takes_nothing_delays_nobody_and_loses_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_push, "_QUEUE_BYTES", 1_000_000)
    monkeypatch.setattr(relay_push, "_STALLED_SECONDS", 0.2)
    told: list[str] = []
    async with running(tmp_path / "to") as target, running(tmp_path / "from") as origin:
        publisher, player = await publish(origin), await play(origin)
        begin(publisher)
        remote = Remote(url(target, "probe"), "s")
        push = RelayPush(instance(origin).live, "s", remote, lambda *one: told.append(one[0]))
        await until(lambda: told == ["NetStream.Publish.Start"])
        for session in target.sessions:
            session.hold()
        for number in range(60):
            publisher.stream.send(VIDEO, 40 * number, inter(bytes(300_000)))
            await publisher.stream.drain()
        await until(lambda: len(player.frames) == 63)
        await until(lambda: push.dropped > 0)
        await until(lambda: told.count("NetStream.Publish.Start") == 2)
        assert told[1] == "NetStream.Publish.BadName"  # it was given up in between
        push.close()


async def test_a_target_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_push, "SETUP_SECONDS", 0.05)
    told: list[str] = []
    dials: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: dials.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with running(tmp_path / "from") as origin:
        begin(await publish(origin))
        remote = Remote(f"rtmp://127.0.0.1:{port}/live", "s?key=secret")
        push = RelayPush(instance(origin).live, "s", remote, lambda *one: told.append(one[1]))
        await until(lambda: len(dials) == 2)
        push.close()
    assert told == [f"rtmp://127.0.0.1:{port}/live/s: no answer in time"]
    for writer in dials:
        writer.close()
    silent.close()


async def test_who_goes_over_to_a_stream_that_can_be_pulled_has_it_pulled(tmp_path: Path) -> None:
    async with running(tmp_path / "from") as source:
        pull = relays({"pull": url(source, "probe"), "streams": ["far"], "linger": 0.0})
        async with running(tmp_path / "to", apps=pull) as origin:
            far, near = await publish(source, "far"), await publish(origin, "near")
            begin(near)
            player = await play(origin, "near")
            with pytest.raises(CallError, match="There is no place in other"):
                await player.stream.switch("other")
            await player.stream.switch("far")
            begin(far)
            await until(lambda: instance(origin).live.is_published("far"))
            far.stream.send(VIDEO, 40, key(b"2"))
            await until(lambda: player.frames[-1][2] == key(b"2"))
            assert instance(origin).live.audience("near") == 0


async def test_a_stream_is_pulled_for_a_browser_too(tmp_path: Path) -> None:
    async with running(tmp_path / "from") as source:
        pull = relays({"pull": url(source, "probe")})
        http = {"listen": "127.0.0.1:0"}
        async with running(tmp_path / "to", apps=pull, http=http) as origin:
            begin(await publish(source))
            address = f"http://127.0.0.1:{origin.http_port}/probe/s.flv"
            async with HttpPlayer(address) as player:
                await until(lambda: len(player.media()) == 3)


async def test_after_a_takeover_streams_are_pushed_again_once_they_are_published(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "to") as target:
        push = relays({"push": url(target, "probe")})
        async with running(tmp_path / "from", apps=push) as origin:
            begin(await publish(origin))
            player = await play(target)
            await until(lambda: len(player.frames) == 3)
            await take_over(origin)
            await until(lambda: "NetStream.Play.UnpublishNotify" in player.told)
            begin(await publish(origin))
            await until(lambda: len(player.frames) == 6)


async def test_a_stream_that_a_client_publishes_first_is_not_pulled_any_more(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "from") as source:
        pull = relays({"pull": url(source, "probe")})
        async with running(tmp_path / "to", apps=pull) as origin:
            player = await play(origin)
            await until(lambda: len(source.instances))
            await until(lambda: instance(source).live.audience("s") == 1)
            begin(await publish(origin))
            await until(lambda: instance(source).live.audience("s") == 0)
            await until(lambda: len(player.frames) == 3)
