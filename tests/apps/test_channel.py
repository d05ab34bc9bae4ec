"""The television channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.wire.constants import VIDEO
from tests.support.origins import SHIPPED_APPS, running, take_over, until, url

HEADER = b"\x17\0\0\0\0config"
CLIP = b"\x17\1\0\0\0clip"
STUDIO = b"\x17\1\0\0\0studio"


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with running(
        tmp_path / "state",
        apps={"directory": SHIPPED_APPS, "channel": {"start": ["one"]}},
        storage={"media": tmp_path / "media"},
        application_object={"programme": ["clip"]},
    ) as origin:
        yield origin


async def publish(connection: NetConnection, name: str, kind: str, frame: bytes) -> RemoteStream:
    stream = await connection.create_stream()
    await stream.publish(name, kind)
    stream.send(VIDEO, 0, HEADER)
    stream.send(VIDEO, 0, frame)
    stream.send(VIDEO, 40, frame)
    return stream


async def test_the_programme_is_repeated_and_the_studio_comes_in_between(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "channel/one"))
        seen: list[tuple[int, bytes]] = []

        def see(message: MediaReceived) -> None:
            if message.type == VIDEO and message.payload != HEADER:
                seen.append((message.timestamp, message.payload))

        viewer = await connection.create_stream()
        viewer.on_media = see
        await viewer.play("air")
        await (await publish(connection, "clip", "record", CLIP)).unpublish()
        await until(lambda: [frame for _, frame in seen].count(CLIP) >= 4)
        studio = await publish(connection, "studio", "live", STUDIO)
        await until(lambda: seen[-1][1] == STUDIO)
        await studio.unpublish()
        await until(lambda: seen[-1][1] == CLIP)
        times = [timestamp for timestamp, _ in seen]
        assert times == sorted(times)


async def test_the_programme_goes_on_after_a_takeover(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "channel/one"))
        await (await publish(connection, "clip", "record", CLIP)).unpublish()
        async with asyncio.timeout(20):
            while not await connection.call("getStreamLength", "clip"):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.01)  # it is on its way to the disk
    await take_over(origin)
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "channel/one"))
        viewer = await connection.create_stream()
        seen: list[bytes] = []
        viewer.on_media = lambda message: seen.append(message.payload)
        await viewer.play("air")
        await until(lambda: CLIP in seen)
