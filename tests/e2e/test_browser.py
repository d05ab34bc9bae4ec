"""Chromium plays what ffmpeg publishes, with mpegts.js, from a page of another server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, mpegts_js
from tests.support.ffmpeg import make_source, publish, published
from tests.support.single import Single, free_ports

SECONDS = 20  # of the film; it is over long before
FRAMES = 50  # two seconds of it

PAGE = """<!doctype html>
<video id="http" muted></video> <video id="ws" muted></video> <video id="recorded" muted></video>
<script src="/mpegts.js"></script>
<script>
function report(name, values) {
  fetch("/report/" + name, {method: "POST", body: JSON.stringify(values)})
}
function play(name, url, isLive) {
  const video = document.getElementById(name)
  const player = mpegts.createPlayer({type: "flv", isLive: isLive, url: url})
  player.on(mpegts.Events.ERROR, (kind, detail) => report(name, {error: kind + " " + detail}))
  player.attachMediaElement(video)
  player.load()
  player.play()
  setInterval(() => report(name, {
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    audio_bytes: video.webkitAudioDecodedByteCount,
    width: video.videoWidth,
    time: video.currentTime,
  }), 200)
}
play("http", "http://ORIGIN/live/show/s.flv", true)
play("ws", "ws://ORIGIN/live/show/s.flv", true)
play("recorded", "http://ORIGIN/live/show/film.flv", false)
</script>
"""


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


async def test_a_browser_shows_what_is_published_and_what_was_recorded(
    site: tuple[Single, str], tmp_path: Path
) -> None:
    single, http = site
    await single.start()
    source = tmp_path / "media" / "live" / "show" / "film.flv"
    url = f"rtmp://{single.address}/live/show/s"
    publisher = await publish(source, url, tmp_path / "publisher.log")
    try:
        await published(publisher, 1)
        files = {"/mpegts.js": mpegts_js()}
        async with Browser(PAGE.replace("ORIGIN", http), files, tmp_path / "log") as browser:
            for name in ("http", "ws", "recorded"):
                await browser.until(name, "frames", FRAMES)
                await browser.until(name, "audio_bytes", 1)
                assert "error" not in browser.reports[name]
                assert browser.reports[name]["width"] == 320
    finally:
        publisher.terminate()
        await publisher.wait()
