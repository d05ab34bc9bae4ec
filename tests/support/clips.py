"""Short films in the codecs that encoders send over RTMP, made by a current ffmpeg.

It is the binary of the wheel `imageio-ffmpeg`: unlike Debian's it writes enhanced RTMP.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import imageio_ffmpeg

FRAMES_PER_SECOND: Final = 25
GROUP_FRAMES: Final = 25  # a key frame each second

PLAIN: Final = "H.264 + AAC"
HEVC: Final = "HEVC + AAC"
AV1: Final = "AV1 + Opus"
TWO_TRACKS: Final = "2 x H.264 + 2 x AAC"

_X264 = ("-c:v", "libx264", "-preset", "ultrafast")
_X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")
_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
_AAC = ("-c:a", "aac", "-b:a", "64k")
_TWICE = ("-map", "0:v", "-map", "1:a", "-map", "0:v", "-map", "1:a")

CODECS: Final[dict[str, tuple[str, ...]]] = {
    PLAIN: (*_X264, "-bf", "2", *_AAC),
    HEVC: (*_X265, f"log-level=error:keyint={GROUP_FRAMES}:bframes=2", *_AAC),
    AV1: ("-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"),
    "VP9 + FLAC": (*_VP9, "-c:a", "flac"),
    "H.264 + AC-3": (*_X264, "-bf", "0", "-c:a", "ac3"),
    TWO_TRACKS: (*_X264, *_AAC, *_TWICE, "-filter:v:1", "scale=80:60"),
}


def current_ffmpeg() -> str:
    """Its path."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def make_clip(codecs: str, file: Path, seconds: float = 2.0) -> Path:
    """`codecs`: a name of CODECS."""
    encoded = file.with_suffix(".encoded.flv")
    _run(
        *("-f", "lavfi", "-i", f"testsrc=size=160x120:rate={FRAMES_PER_SECOND}"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
        *("-t", str(seconds), "-pix_fmt", "yuv420p", "-g", str(GROUP_FRAMES)),
        *(*CODECS[codecs], str(encoded)),
    )
    # What it reads of an FLV file is not always all of it: of FLAC the last frame is lost.
    _run("-i", str(encoded), "-map", "0", "-c", "copy", str(file))
    encoded.unlink()
    return file


def _run(*arguments: str) -> None:
    command = [current_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if made.returncode:
        raise RuntimeError(f"no clip could be made: {made.stderr}")
