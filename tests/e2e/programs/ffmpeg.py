"""ffmpeg, twice: Debian 12's, which many run, and a current one, which speaks enhanced RTMP."""

from __future__ import annotations

import subprocess
from typing import Final

from tests.support.clips import CODECS, HEVC, PLAIN, TWO_TRACKS, current_ffmpeg
from tests.support.flv_tags import read_tags, same_frames
from tests.support.stream_ends import watching

from .row import Check, Row
from .scene import Scene

DEBIAN = "ffmpeg, Debian 12's"
CURRENT = "ffmpeg, current"
# It reads 3 seconds ahead before it seeks, and cannot seek once it has seen the end.
SOUGHT_SECONDS = 6.0
SEEK_MS = 4200  # behind a key frame by more than ffmpeg goes back for B-frames
WRAP_24_SECONDS = "16776.6"  # after 0.6 s of it a timestamp needs more than 24 bits
QUIET = ("-nostdin", "-hide_banner", "-v", "warning", "-y")


def version(path: str) -> str:
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def publish(path: str, codecs: str, *options: str) -> Check:
    async def check(scene: Scene) -> str:
        clip, name = await scene.clip(codecs), scene.new().stem
        async with watching(scene.address, name) as witness:
            source = ("-re", "-i", str(clip.file), "-map", "0", "-c", "copy", *options)
            await scene.run(path, *QUIET, *source, "-f", "flv", scene.url(name))
            return same_frames(clip.tags, await witness.end())

    return check


def be_recorded(path: str, codecs: str) -> Check:
    async def check(scene: Scene) -> str:
        clip, name = await scene.clip(codecs), scene.new().stem
        source = ("-re", "-i", str(clip.file), "-map", "0", "-c", "copy")
        await scene.run(path, *QUIET, *source, "-f", "flv", scene.url(name, "archive"))
        await scene.logged("segment", stream=name, state="closed")
        (file,) = scene.recorded_files(name, "archive")
        return same_frames(clip.tags, read_tags(file))

    return check


def play(path: str, codecs: str) -> Check:
    async def check(scene: Scene) -> str:
        clip, file = await scene.clip(codecs), scene.new()
        async with scene.running(path, *_copy(scene.url(file.stem), file)) as player:
            await scene.playing(file.stem)
            await scene.publish(clip, file.stem)
            await player.done()
        return same_frames(clip.tags, read_tags(file))

    return check


def play_recorded(path: str, codecs: str) -> Check:
    async def check(scene: Scene) -> str:
        clip, file = await scene.clip(codecs), scene.new()
        name = await scene.recorded(clip)
        await scene.run(path, *_copy(scene.url(name), file))
        return same_frames(clip.tags, read_tags(file))

    return check


def seek(path: str, codecs: str) -> Check:
    async def check(scene: Scene) -> str:
        clip, file = await scene.clip(codecs, SOUGHT_SECONDS), scene.new()
        name = await scene.recorded(clip)
        await scene.run(path, *_copy(scene.url(name), file, "-ss", str(SEEK_MS / 1000)))
        sent, got = clip.tags, read_tags(file)
        first = next((tag for tag in got if tag.is_key), None)
        assert first is not None, "no key frame came"
        assert 0 < first.ms <= SEEK_MS, f"it begins with the key frame at {first.ms} ms"
        seen = same_frames(sent, got, late=True)
        return f"asked for {SEEK_MS} ms: from the key frame at {first.ms} ms on {seen}"

    return check


def cannot_publish(path: str) -> Check:
    async def check(scene: Scene) -> str:
        source = ("-f", "lavfi", "-i", "testsrc=size=160x120", "-t", "1", "-c:v", "libx265")
        return await scene.run(path, *QUIET, *source, "-f", "flv", scene.url(scene.new().stem))

    return check


def _copy(url: str, file: object, *options: str) -> tuple[str, ...]:
    copy = ("-map", "0", "-c", "copy", "-copyts", "-f", "flv", str(file))
    return (*QUIET, *options, "-i", url, *copy)


def _rows(program: str, path: str, codecs: tuple[str, ...], needs: tuple[str, ...]) -> list[Row]:
    rows = []
    for one in codecs:
        rows += [
            Row(program, f"publish {one}", publish(path, one), needs),
            Row(program, f"publish {one}, recorded", be_recorded(path, one), needs),
            Row(program, f"play {one}", play(path, one), needs),
            Row(program, f"play a recording of {one}", play_recorded(path, one), needs),
        ]
        if one != TWO_TRACKS:  # behind a seek it copies the first track only
            rows.append(Row(program, f"seek in a recording of {one}", seek(path, one), needs))
    offset = ("-output_ts_offset", WRAP_24_SECONDS)
    check = publish(path, PLAIN, *offset)
    return [*rows, Row(program, "publish past 24 bits of time", check, needs)]


# Debian's knows nothing of enhanced RTMP, which came with ffmpeg 6.1.
ROWS: Final = [
    *_rows(DEBIAN, "ffmpeg", (PLAIN,), ("ffmpeg",)),
    Row(
        DEBIAN, f"publish {HEVC}", cannot_publish("ffmpeg"), ("ffmpeg",), "not compatible with flv"
    ),
    Row(DEBIAN, f"play {HEVC}", play("ffmpeg", HEVC), ("ffmpeg",), "not implemented"),
    *_rows(CURRENT, current_ffmpeg(), tuple(CODECS), ()),
]
VERSIONS: Final = {
    DEBIAN: lambda: version("ffmpeg"),
    CURRENT: lambda: version(current_ffmpeg()),
}
