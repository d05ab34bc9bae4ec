"""Recordings for browsers: one FLV each, from the beginning or from a place in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.storage.segment import metadata_of
from rtmp_sync.wire.constants import AUDIO, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until
from tests.support.publisher import AAC_HEADER, AVC_HEADER, Publisher, inter, key, sound

HTTP = {"listen": "127.0.0.1:0", "publisher_wait": 0}
KINDS = pytest.mark.parametrize("kind", ["http", "ws"])
FRAMES = 60
PICTURE = b"." * 10_000  # so that it takes several reads


def film() -> list[tuple[int, int, bytes]]:
    """Two seconds and a half, with a key frame each second."""
    tags = [(VIDEO, 0, AVC_HEADER), (AUDIO, 0, AAC_HEADER)]
    for number in range(FRAMES):
        text = b"%d" % number + PICTURE
        tags.append((VIDEO, number * 40, inter(text) if number % 25 else key(text)))
        tags.append((AUDIO, number * 40 + 20, sound(text)))
    return tags


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    media = tmp_path / "media"
    folder = media / "probe" / "live"
    folder.mkdir(parents=True)
    content = b"".join(encode_tag(*tag) for tag in film())
    (folder / "film.flv").write_bytes(encode_file_header() + content)
    (folder / "broken.flv").write_bytes(b"no film")
    storage = {"state": tmp_path / "state", "media": media}
    async with running(tmp_path / "state", storage=storage, http=HTTP) as origin:
        yield origin


def url(origin: Origin, path: str, kind: str = "http") -> str:
    return f"{kind}://127.0.0.1:{origin.http_port}/probe/live/{path}"


@KINDS
async def test_a_recording_comes_whole(origin: Origin, kind: str) -> None:
    async with HttpPlayer(url(origin, "film.flv", kind)) as player:
        await player.over()
        assert player.ended
        assert player.media() == film()
        assert (player.reader.has_audio, player.reader.has_video) == (True, True)
        (metadata,) = player.data()
        assert metadata_of(metadata)["duration"] == film()[-1][1] / 1000
    await until(lambda: not origin.http)


async def test_it_begins_at_the_key_frame_before_what_was_asked_for(origin: Origin) -> None:
    async with HttpPlayer(url(origin, "film.flv?start=1.9")) as player:
        await player.over()
        headers = [(VIDEO, 1000, AVC_HEADER), (AUDIO, 1000, AAC_HEADER)]
        assert player.media() == headers + [tag for tag in film() if tag[1] >= 1000]


@pytest.mark.parametrize("start", ["-1", "soon", "nan", "inf", "1e308"])
async def test_a_place_that_is_none_is_refused(origin: Origin, start: str) -> None:
    async with HttpPlayer(url(origin, f"film.flv?start={start}")) as player:
        await player.over()
        assert player.status == 400


@KINDS
@pytest.mark.parametrize(("name", "status"), [("broken", 503), ("none", 404), ("..%2Ffilm", 404)])
async def test_what_cannot_be_played_has_a_status(
    origin: Origin, kind: str, name: str, status: int
) -> None:
    async with HttpPlayer(url(origin, f"{name}.flv?start=0", kind)) as player:
        await player.over()
        assert player.status == status


async def test_what_is_live_comes_before_its_recording(origin: Origin) -> None:
    async with (
        Publisher(origin, "film") as publisher,
        HttpPlayer(url(origin, "film.flv")) as player,
    ):
        publisher.begin()
        publisher.push(VIDEO, 0, key(b"live"))
        await player.until(lambda: len(player.media()) == 3)
        assert player.media()[-1] == (VIDEO, 0, key(b"live"))
