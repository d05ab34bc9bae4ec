"""Live streams for browsers, over real sockets: what comes, in which order, until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Origin
from rtmp_sync.admin.figures import gauges
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader
from tests.server.conftest import probe
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until
from tests.support.publisher import (
    AAC_HEADER,
    AVC_HEADER,
    METADATA,
    Publisher,
    inter,
    key,
    sound,
)

HTTP = {"listen": "127.0.0.1:0"}
KINDS = pytest.mark.parametrize("kind", ["http", "ws"])
Origins = AsyncIterator[Origin]


@pytest.fixture
async def origin(tmp_path: Path) -> Origins:
    async with running(tmp_path / "state", http=HTTP) as origin:
        probe(origin).said.clear()
        yield origin


def url(origin: Origin, kind: str = "http", path: str = "probe/live/s.flv") -> str:
    return f"{kind}://127.0.0.1:{origin.http_port}/{path}"


def has_begun(player: HttpPlayer) -> bool:
    """It has both headers and a picture."""
    return len(player.media()) == 3


async def received(origin: Origin, name: str = "s", app: str = "probe/live") -> Any:
    """The stream as the origin keeps it, once its publisher's messages have arrived."""
    instance = origin.instances.running(app)
    assert instance is not None
    await until(lambda: name in instance.live.names)
    return instance.live


@KINDS
async def test_a_late_joiner_begins_with_headers_and_the_last_key_frame(
    origin: Origin, kind: str
) -> None:
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin)) as early:
        publisher.begin()
        for at, payload in ((0, key(b"1")), (40, inter(b"2")), (80, key(b"3"))):
            publisher.push(VIDEO, at, payload)
        publisher.push(AUDIO, 90, sound(b"a"))
        await early.until(lambda: early.media() and early.media()[-1][1] == 90)
        async with HttpPlayer(url(origin, kind)) as player:
            await player.until(lambda: len(player.media()) == 4)
            publisher.push(VIDEO, 120, inter(b"4"))
            await player.until(lambda: len(player.media()) == 5)
        assert (player.reader.has_audio, player.reader.has_video) == (True, True)
        assert player.tags[0].type == DATA
        assert player.data() == [METADATA]
        assert player.media() == [
            (VIDEO, 80, AVC_HEADER),
            (AUDIO, 80, AAC_HEADER),
            (VIDEO, 80, key(b"3")),
            (AUDIO, 90, sound(b"a")),
            (VIDEO, 120, inter(b"4")),
        ]


@KINDS
async def test_every_payload_and_time_is_the_publishers(origin: Origin, kind: str) -> None:
    sent = [
        (VIDEO, 0xFFFFF0, b"\x90hvc1" + b"config"),
        (VIDEO, 0xFFFFF0, b"\x91hvc1\0\0\0" + b"k" * 70_000),
        (AUDIO, 0xFFFFF8, b"\x91Opus" + b"a" * 100),
        (VIDEO, 0x1000010, b"\xa3hvc1" + b"p" * 200),
        (VIDEO, 0x1000020, b"\x96\x11av01\1" + b"second track"),
        (VIDEO, 0xFFFFFFF0, b"\xa3hvc1" + b"late"),
    ]
    first = [(AUDIO, 0xFFFFF0, b"\x90Opus" + b"config"), (VIDEO, 0xFFFFF0, b"\x91hvc1\0\0\0key")]
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin, kind)) as player:
        for message in first:
            publisher.push(*message)
        await player.until(lambda: player.media() == first)
        for message in sent:
            publisher.push(*message)
        await player.until(lambda: len(player.media()) == len(first) + len(sent))
        assert player.media() == first + sent


async def test_data_of_the_publisher_comes_too(origin: Origin) -> None:
    text = amf0.encode("onTextData", {"text": "goal"})
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin)) as player:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        await player.until(lambda: len(player.media()) == 3)
        publisher.push(DATA, 10, text)
        await player.until(lambda: len(player.data()) == 2)
        assert player.data() == [METADATA, text]


@pytest.mark.parametrize(
    ("type", "first", "payload", "flags"),
    [(VIDEO, AVC_HEADER, key(), (False, True)), (AUDIO, AAC_HEADER, sound(), (True, False))],
    ids=["pictures", "sound"],
)
async def test_the_header_promises_no_track_that_is_not_there(
    origin: Origin, type: int, first: bytes, payload: bytes, flags: tuple[bool, bool]
) -> None:
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin)) as player:
        await until(lambda: ("play", "s", "") in probe(origin).said)
        publisher.push(type, 0, first)
        for at in range(0, 600, 100):
            publisher.push(type, at, payload)
        await player.until(lambda: player.media())
        publisher.push(type, 600, payload)
        await player.until(lambda: player.media()[-1] == (type, 600, payload))
        assert (player.reader.has_audio, player.reader.has_video) == flags
        assert player.media()[0][2] == first


@KINDS
async def test_who_comes_before_the_publisher_waits_for_it(origin: Origin, kind: str) -> None:
    async with HttpPlayer(url(origin, kind)) as player:
        await until(lambda: ("play", "s", "") in probe(origin).said)
        async with Publisher(origin, "s") as publisher:
            publisher.begin()
            publisher.push(VIDEO, 0, key(b"1"))
            await player.until(lambda: len(player.media()) == 3)


@KINDS
async def test_who_waits_for_nobody_is_told_so(tmp_path: Path, kind: str) -> None:
    async with (
        running(tmp_path, http={**HTTP, "publisher_wait": 0}) as origin,
        HttpPlayer(url(origin, kind)) as player,
    ):
        await player.over()
        assert player.status == 404


@KINDS
async def test_the_body_ends_with_its_publisher(origin: Origin, kind: str) -> None:
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin, kind)) as player:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        await player.until(lambda: len(player.media()) == 3)
        publisher.push(VIDEO, 40, inter(b"last"))
        await publisher.unpublish()
        await player.over()
        assert player.ended
        assert player.media()[-1] == (VIDEO, 40, inter(b"last"))
        assert player.reader.pending_bytes == 0


@KINDS
async def test_the_application_hears_of_who_comes_and_who_goes(origin: Origin, kind: str) -> None:
    async with Publisher(origin, "s") as publisher:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        async with HttpPlayer(url(origin, kind, "probe/live/s.flv?key=k")) as player:
            await player.until(lambda: len(player.media()) == 3)
            assert origin.counts()["clients"] == 2
            assert ("http_players", 1) in [one[:2] for one in gauges(origin)]
        await until(lambda: ("disconnect", "", "closed") in probe(origin).said)
        assert ("play", "s", "k") in probe(origin).said
        assert origin.counts()["clients"] == 1
        live = await received(origin)
        publisher.push(VIDEO, 40, inter())  # nobody is left who could hear it
        await until(lambda: live._channels["s"].stream.timestamp == 40)
        await publisher.unpublish()
        assert not live._channels


async def test_the_default_instance_and_names_with_slashes_have_addresses(origin: Origin) -> None:
    for app, path in (("probe", "probe/s.flv"), ("probe/live", "probe/live/a%20b/c.flv")):
        name = path.rpartition("/")[2].removesuffix(".flv") if app == "probe" else "a b/c"
        async with (
            Publisher(origin, name, app=app) as publisher,
            HttpPlayer(url(origin, path=path)) as player,
        ):
            publisher.begin()
            publisher.push(VIDEO, 0, key())
            await player.until(partial(has_begun, player))


async def test_an_old_client_gets_the_bytes_as_they_are(origin: Origin) -> None:
    async with Publisher(origin, "s") as publisher:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        await received(origin)
        assert origin.http_port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
        writer.write(b"GET /probe/live/s.flv HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"Content-Type: video/x-flv\r\n" in head
        flv, tags = FlvReader(), 0
        while tags < 4:
            tags += len(flv.feed(await reader.read(4096)))
        await publisher.unpublish()
        assert await reader.read() == b""
        writer.close()


async def test_a_stream_that_is_published_again_plays_for_who_asks_again(origin: Origin) -> None:
    for text in (b"first", b"second"):
        async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin)) as player:
            publisher.begin()
            publisher.push(VIDEO, 0, key(text))
            await player.until(partial(has_begun, player))
            assert player.media()[-1] == (VIDEO, 0, key(text))
            await publisher.unpublish()
            await player.over()


async def test_who_waits_for_a_second_track_waits_no_longer_when_the_clock_is_set_back(
    origin: Origin,
) -> None:
    async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin)) as player:
        await until(lambda: ("play", "s", "") in probe(origin).said)
        publisher.push(AUDIO, 90_000, AAC_HEADER)
        publisher.push(AUDIO, 90_000, sound())
        publisher.push(AUDIO, 0, sound())
        await player.until(lambda: player.media())
        assert not player.reader.has_video
