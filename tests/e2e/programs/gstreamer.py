"""GStreamer: its own RTMP elements, and the older ones that stand on librtmp."""

from __future__ import annotations

import subprocess
from typing import Final

from tests.support.clips import PLAIN
from tests.support.flv_tags import read_tags, same_frames
from tests.support.stream_ends import watching

from .row import Check, Row
from .scene import Scene

PROGRAM = "GStreamer"
LAUNCH = "gst-launch-1.0"
NEEDS = (LAUNCH,)


def version() -> str:
    command = [LAUNCH, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def publish(sink: str, options: str = "") -> Check:
    async def check(scene: Scene) -> str:
        """Its FLV muxer counts composition times anew: what it sends is told by a file beside."""
        clip, file = await scene.clip(PLAIN), scene.new()
        async with watching(scene.address, file.stem) as witness:
            await scene.run(
                *(LAUNCH, "-q"),
                *("filesrc", f"location={clip.file}", "!", "flvdemux", "name=in"),
                *("flvmux", "name=out", "streamable=true", "!", "tee", "name=both"),
                *("both.", "!", "queue", "!", sink, f"location={scene.url(file.stem)}{options}"),
                *("both.", "!", "queue", "!", "filesink", f"location={file}"),
                *("in.video", "!", "queue", "!", "out.video"),
                *("in.audio", "!", "queue", "!", "out.audio"),
            )
            return same_frames(read_tags(file), await witness.end())

    return check


def play(source: str, options: str = "") -> Check:
    """rtmp2src ends at StreamEOF, sometimes before it has handed on the last frame."""

    async def check(scene: Scene) -> str:
        clip, file = await scene.clip(PLAIN), scene.new()
        player = (*_source(scene, source, file.stem + options), "filesink", f"location={file}")
        async with scene.running(*player) as running:
            await scene.playing(file.stem)
            await scene.publish(clip, file.stem)
            await running.done()
        return same_frames(clip.tags, read_tags(file), loses_last=True)

    return check


async def play_recorded(scene: Scene) -> str:
    clip, file = await scene.clip(PLAIN), scene.new()
    name = await scene.recorded(clip)
    await scene.run(*_source(scene, "rtmp2src", name), "filesink", f"location={file}")
    return same_frames(clip.tags, read_tags(file), loses_last=True)


def _source(scene: Scene, source: str, name: str) -> tuple[str, ...]:
    return (LAUNCH, "-q", source, f"location={scene.url(name)}", "!")


ROWS: Final = [
    Row(PROGRAM, f"publish {PLAIN} (rtmp2sink)", publish("rtmp2sink"), NEEDS),
    Row(PROGRAM, f"play {PLAIN} (rtmp2src)", play("rtmp2src"), NEEDS),
    Row(PROGRAM, f"play a recording of {PLAIN} (rtmp2src)", play_recorded, NEEDS),
    Row(PROGRAM, f"publish {PLAIN} (rtmpsink)", publish("rtmpsink", " live=1"), NEEDS),
    Row(PROGRAM, f"play {PLAIN} (rtmpsrc)", play("rtmpsrc", " live=1"), NEEDS),
]
VERSIONS: Final = {PROGRAM: version}
