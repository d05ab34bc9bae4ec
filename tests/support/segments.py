"""Segments of recordings, written as the recorder writes them."""

from __future__ import annotations

from pathlib import Path

from rtmp_sync.storage.manifest import segment_file
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import VIDEO

KEY = b"\x17\1\0\0\0key"


def write_segment(
    folder: Path,
    epoch: int,
    number: int,
    *,
    node: str,
    start_ms: float,
    gap_ms: float = 0.0,
    closed: bool,
) -> Path:
    """One of two pictures, 40 ms apart."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"stream": "s", "node": node, "epoch": float(epoch), "number": float(number)}
    segment = Segment({**facts, "startMs": float(start_ms), "gapMs": float(gap_ms)})
    path = folder / segment_file(epoch, number)
    with path.open("wb") as file:
        file.write(segment.begin())
        for ms in (0, 40):
            file.write(segment.tag(VIDEO, ms, KEY, media.classify(VIDEO, KEY)))
        for at, data in segment.end() if closed else ():
            file.seek(at)
            file.write(data)
    return path
