"""What a recording consists of: `NAME.rec/manifest.json`, for people and for other programs.

    {"segments": [{"file", "node", "epoch", "number", "start_ms", "duration_ms", "bytes",
                   "gap_ms", "state"}, …]}

The segments tell the same of themselves, so that a manifest that is lost is made again. One node
writes at a time, the active one; what it finds of others it keeps.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Literal

__all__ = [
    "MANIFEST",
    "SegmentInfo",
    "load_manifest",
    "save_manifest",
    "segment_file",
    "segment_from",
    "update_manifest",
]

MANIFEST: Final = "manifest.json"
_MAX_BYTES: Final = 16 * 1024 * 1024  # some 80,000 segments

SegmentState = Literal["open", "closed", "repaired"]


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """start_ms: where it begins in the whole recording. gap_ms: what is missing before it.
    node: who wrote it, so on whose disk it is where the folder is not shared."""

    file: str
    node: str
    epoch: int
    number: int
    start_ms: int
    duration_ms: int = 0
    bytes: int = 0
    gap_ms: int = 0
    state: SegmentState = "open"

    @property
    def place(self) -> tuple[int, int]:
        """Segments in this order are the recording."""
        return self.epoch, self.number


def segment_file(epoch: int, number: int) -> str:
    """The name of a segment's file; names sort as segments do."""
    return f"{epoch:08d}-{number:06d}.flv"


def load_manifest(folder: Path) -> list[SegmentInfo]:
    """[] where there is none, or one that cannot be read. Blocks."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        return sorted((segment_from(one) for one in content["segments"]), key=lambda one: one.place)
    except (OSError, ValueError, KeyError, TypeError):
        return []


def save_manifest(folder: Path, segments: Iterable[SegmentInfo]) -> None:
    """Replace it as a whole. Blocks; raises OSError."""
    told = [asdict(one) for one in sorted(segments, key=lambda one: one.place)]
    temporary = folder / f".{MANIFEST}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps({"segments": told}, indent=1) + "\n")
        temporary.replace(folder / MANIFEST)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def update_manifest(
    folder: Path, segments: Iterable[SegmentInfo], *, gone: Iterable[str] = ()
) -> None:
    """Tell of these and of the files that are `gone` no longer; keep what it tells of others.
    Blocks; raises OSError."""
    known = {one.file: one for one in load_manifest(folder)}
    known.update((one.file, one) for one in segments)
    for file in gone:
        known.pop(file, None)
    save_manifest(folder, known.values())


def segment_from(told: Mapping[str, object]) -> SegmentInfo:
    """From its fields by name. Raises KeyError, TypeError or ValueError for what is none."""
    values: dict[str, object] = {}
    for field in fields(SegmentInfo):
        value = told[field.name]
        wanted = int if field.type == "int" else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TypeError(field.name)
        values[field.name] = value
    return SegmentInfo(**values)  # type: ignore[arg-type]  # each was looked at
