"""Chromium plays what ffmpeg publishes, with mpegts.js, from a page of another server: the one of
docs/browsers.md, which asks again when its stream has ended."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.wire.constants import VIDEO
from tests.support.browser import Browser, mpegts_js
from tests.support.ffmpeg import make_source, published, spawn
from tests.support.haproxy import Haproxy
from tests.support.http_player import HttpPlayer
from tests.support.pair import ROOT, Pair, get, within
from tests.support.publisher import Publisher, key
from tests.support.single import Single, free_ports

SECONDS = 6  # of the film, which is published over and over
FRAMES = 50  # two seconds of it

# Beside the page's own player, over a WebSocket: HTTP, and a recording.
MORE = """
<video id="http" muted></video> <video id="recorded" muted></video>
<script>
function report(video) {
  fetch("/report/" + video.id, {method: "POST", body: JSON.stringify({
    source: video.src,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    audio_bytes: video.webkitAudioDecodedByteCount,
    width: video.videoWidth,
  })})
}
for (const [id, name, isLive] of [["http", "main", true], ["recorded", "film", false]]) {
  const url = "http://host:8080/live/show/" + name + ".flv"
  const player = mpegts.createPlayer({type: "flv", isLive: isLive, url: url})
  player.attachMediaElement(document.getElementById(id))
  player.load()
  player.play()
}
for (const video of document.getElementsByTagName("video")) setInterval(report, 200, video)
</script>
"""


def page(http: str) -> str:
    """http: where the origin is."""
    text = (ROOT / "docs" / "browsers.md").read_text()
    (found,) = re.findall(r"```html\n(.*?)```", text, re.DOTALL)
    whole: str = found + MORE
    return whole.replace("host:8080", http)


async def on_air(film: Path, url: str, log: Path) -> asyncio.subprocess.Process:
    """A publisher that has begun."""
    loop = ("-progress", "pipe:1", "-re", "-stream_loop", "-1", "-i", str(film))
    publisher = await spawn(*loop, "-c", "copy", "-f", "flv", url, log=log)
    await published(publisher, 1)
    return publisher


def plays(told: dict[str, Any]) -> bool:
    return bool(told.get("frames", 0) >= FRAMES and told["audio_bytes"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Single, str]]:
    """An origin with a recording, and where browsers reach it."""
    http = f"127.0.0.1:{free_ports(1)[0]}"
    folder = tmp_path / "media" / "live" / "show"
    folder.mkdir(parents=True)
    make_source(folder / "film.flv", SECONDS)
    single = Single(http={"listen": http}, storage={"media": tmp_path / "media"})
    yield single, http
    single.clean_up()


async def test_a_browser_shows_what_is_published_again_and_again_and_what_was_recorded(
    site: tuple[Single, str], tmp_path: Path
) -> None:
    single, http = site
    await single.start(seconds=60)
    film = tmp_path / "media" / "live" / "show" / "film.flv"
    url = f"rtmp://{single.address}/live/show/main"
    publisher = await on_air(film, url, tmp_path / "publisher.log")
    try:
        files = {"/mpegts.js": mpegts_js()}
        async with Browser(page(http), files, tmp_path / "chromium.log") as browser:
            for name in ("video", "http", "recorded"):
                await browser.until(name, plays)
                assert browser.reports[name]["width"] == 320
            first = browser.reports["video"]["source"]
            publisher.kill()
            await publisher.wait()
            publisher = await on_air(film, url, tmp_path / "second.log")
            await browser.until("video", lambda told: told["source"] != first and plays(told))
    finally:
        publisher.kill()
        await publisher.wait()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair(http=True).start()
    yield pair
    pair.clean_up()


async def test_players_go_on_behind_a_load_balancer_when_the_active_origin_crashes_or_freezes(
    pair: Pair, tmp_path: Path
) -> None:
    """Behind the front door of the pair, and behind HAProxy: there it is marked down, and who
    played is cut off, of a frozen origin too."""
    with Haproxy(pair.nodes(), tmp_path) as haproxy:
        for sign in (signal.SIGKILL, signal.SIGSTOP):
            active, standby = await pair.settled()
            await haproxy.leads_to(active)
            async with AsyncExitStack() as stack:
                players = await begin(pair, haproxy, stack)
                # frozen as its whole host: nobody is left to kill it
                pair.signal(active, sign, guard=sign == signal.SIGSTOP)
                for player in players:
                    await player.over()
                    assert player.lost
            await pair.becomes_active(standby, seconds=15)
            await haproxy.leads_to(standby)
            await leads_again(pair)
            async with AsyncExitStack() as stack:
                await begin(pair, haproxy, stack)


async def begin(pair: Pair, haproxy: Haproxy, stack: AsyncExitStack) -> list[HttpPlayer]:
    """A stream and its players, each with a picture."""
    publisher = Publisher(pair.port, "main", app="live/show")
    await stack.enter_async_context(publisher)
    publisher.begin()
    publisher.push(VIDEO, 0, key())
    players = []
    for kind in ("http", "ws"):
        for front in (pair.front_http, haproxy.http):
            player = HttpPlayer(f"{kind}://{front}/live/show/main.flv")
            players.append(await stack.enter_async_context(player))
    for player in players:
        await player.until(partial(has_picture, player))
    return players


def has_picture(player: HttpPlayer) -> bool:
    return len(player.media()) == 3


async def leads_again(pair: Pair) -> None:
    """Both ports of the front door have found the one that serves now."""

    async def reached() -> bool:
        status, _ = await get(f"http://{pair.front_http}/")
        if status != 404:
            return False
        reader, writer = await asyncio.open_connection("127.0.0.1", pair.port)
        writer.write(b"\x03" + bytes(1536))  # C0 and C1 of a handshake
        async with asyncio.timeout(5):
            answered = await reader.read(1)
        writer.close()
        return answered == b"\x03"

    await within(10, "the front door leads to an origin", reached)
