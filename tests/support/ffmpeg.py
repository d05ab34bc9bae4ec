"""ffmpeg as publisher, player and judge, driven from outside like any other program."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import require


def make_source(file: Path, seconds: float) -> Path:
    """An FLV of `seconds`: H.264 with B-frames, a key frame each second, and AAC."""
    subprocess.run(
        [
            *(require("ffmpeg"), "-v", "error", "-y"),
            *("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25"),
            *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"),
            *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"),
            *("-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-b:a", "64k", "-f", "flv", str(file)),
        ],
        check=True,
        timeout=60,
    )
    return file


async def spawn(*arguments: str, log: Path) -> asyncio.subprocess.Process:
    """Start ffmpeg with its messages (warnings and worse) in `log`."""
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(require("ffmpeg"), "-nostdin", "-hide_banner", "-v", "warning", "-y", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )


async def publish(source: Path, url: str, log: Path) -> asyncio.subprocess.Process:
    """Publish at real-time speed; progress lines (frame=N) come on its stdout."""
    return await spawn(
        *("-progress", "pipe:1", "-re", "-i", str(source), "-c", "copy", "-f", "flv", url), log=log
    )


async def published(publisher: asyncio.subprocess.Process, frames: int) -> None:
    """Read the publisher's progress until it has sent at least `frames` video frames."""
    assert publisher.stdout is not None
    async for line in publisher.stdout:
        name, _, value = line.decode().strip().partition("=")
        if name == "frame" and int(value) >= frames:
            return
    raise AssertionError(f"the publisher ended before frame {frames}")


async def play(url: str, file: Path, log: Path) -> asyncio.subprocess.Process:
    """Record a stream as it is, timestamps included."""
    return await spawn("-i", url, "-c", "copy", "-copyts", "-f", "flv", str(file), log=log)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a file: its bytes' hash, times in milliseconds, key frame or not."""

    hash: str
    dts: int
    pts: int
    key: bool


def packets(file: Path, kind: str) -> list[Packet]:
    """The packets of the first stream of `kind` ("v" or "a")."""
    output = subprocess.run(
        [
            *(require("ffprobe"), "-v", "error", "-select_streams", f"{kind}:0"),
            *("-show_packets", "-show_data_hash", "md5", "-of", "json", str(file)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    return [
        Packet(entry["data_hash"], int(entry["dts"]), int(entry["pts"]), "K" in entry["flags"])
        for entry in json.loads(output)["packets"]
    ]


def decoding_errors(file: Path) -> str:
    """What ffmpeg complains about when it decodes the whole file; empty is right."""
    return subprocess.run(
        [require("ffmpeg"), "-v", "error", "-i", str(file), "-f", "null", "-"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    ).stderr
