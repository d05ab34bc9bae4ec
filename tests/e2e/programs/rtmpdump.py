"""rtmpdump, and with it librtmp, which many programs play and publish with."""

from __future__ import annotations

import re
import subprocess
from typing import Final

from tests.support.clips import PLAIN
from tests.support.flv_tags import Tag, read_tags, same_frames

from .row import Row
from .scene import Scene

PROGRAM = "rtmpdump"
NEEDS = (PROGRAM,)
INCOMPLETE = 2  # its exit code for "stopped before the end, try --resume"
STOP_SECONDS = "3.2"


def version() -> str:
    said = subprocess.run([PROGRAM, "-h"], capture_output=True, text=True, check=False)
    found = re.search(r"RTMPDump v(\S+)", said.stderr)
    return found[1] if found else "unknown"


async def play(scene: Scene) -> str:
    clip, file = await scene.clip(PLAIN), scene.new()
    async with scene.running(*_dump(scene, file.stem, file, "--live")) as player:
        await scene.playing(file.stem)
        await scene.publish(clip, file.stem)
        code = await player.end()  # what is live is never complete to it
    assert code in (0, INCOMPLETE), f"exit code {code}"
    return same_frames(clip.tags, read_tags(file))


async def play_recorded(scene: Scene) -> str:
    clip, file = await scene.clip(PLAIN), scene.new()
    await scene.run(*_dump(scene, await scene.recorded(clip), file))
    return same_frames(clip.tags, read_tags(file))


async def resume(scene: Scene) -> str:
    """The first part, then the rest of it: from the last key frame of what is there."""
    clip, file = await scene.clip(PLAIN, 6.0), scene.new()
    name = await scene.recorded(clip)
    async with scene.running(*_dump(scene, name, file, "--stop", STOP_SECONDS)) as player:
        assert await player.end() == INCOMPLETE, player.said
    first = _frames(read_tags(file))
    assert 0 < first < _frames(clip.tags)
    await scene.run(*_dump(scene, name, file, "--resume"))
    return f"{first} frames, then resumed: {same_frames(clip.tags, read_tags(file))}"


async def part(scene: Scene) -> str:
    clip, file = await scene.clip(PLAIN, 6.0), scene.new()
    name = await scene.recorded(clip)
    await scene.run(*_dump(scene, name, file, "--start", "2"))
    played = read_tags(file)
    late = [tag for tag in played if tag.type == 9 or tag.ms >= 2000]
    return f"asked for 2 s: from the key frame there on {same_frames(clip.tags, late, late=True)}"


def _dump(scene: Scene, name: str, file: object, *options: str) -> tuple[str, ...]:
    return (PROGRAM, "-q", "-r", scene.url(name), "-o", str(file), *options)


def _frames(tags: list[Tag]) -> int:
    return sum(tag.is_frame for tag in tags)


ROWS: Final = [
    Row(PROGRAM, f"play {PLAIN}", play, NEEDS),
    Row(PROGRAM, f"play a recording of {PLAIN}", play_recorded, NEEDS),
    Row(PROGRAM, "resume a recording that was played in part", resume, NEEDS),
    Row(PROGRAM, "play a recording from second 2 on", part, NEEDS),
]
VERSIONS: Final = {PROGRAM: version}
