"""What a recording consists of: `NAME.rec/manifest.json`, for people and for other programs.

    {"segments": [{"file", "node", "epoch", "number", "start_ms", "duration_ms", "bytes",
                   "gap_ms", "state"}, …]}

The segments tell the same of themselves, and they are what counts. One node writes at a time, the
active one, and keeps what it finds of others; but a NAS may do a minute after a takeover what the
origin of before asked for. So who writes adds what the segments say that are here and not told of.
And nobody believes what is told of segments elsewhere that come before one that is here and begins
the recording: they were of one that was written over.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Literal

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.media_folders import FILE
from rtmp_sync.storage.segment import facts_in, read_metadata

__all__ = [
    "MANIFEST",
    "SegmentInfo",
    "describe",
    "elsewhere",
    "load_manifest",
    "save_manifest",
    "segment_file",
    "segment_from",
    "update_manifest",
    "whole",
]

MANIFEST: Final = "manifest.json"
_MAX_BYTES: Final = 16 * 1024 * 1024  # some 80,000 segments
_MAX_WHOLE: Final = 1 << 53  # as much as AMF's numbers tell exactly
_MAX_LOOKS: Final = 50  # at segments, with one writing: a stream waits for it

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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # JSON nests
        return []


def save_manifest(folder: Path, segments: Iterable[SegmentInfo]) -> None:
    """Replace it as a whole. Blocks; raises OSError."""
    told = [asdict(one) for one in sorted(segments, key=lambda one: one.place)]
    # of two hosts, processes can have the same id
    temporary = folder / f".{MANIFEST}.{secrets.token_hex(8)}"
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
    """Tell of these and of the files that are `gone` no longer; keep what it tells of others, as
    far as that may be true. Blocks; raises OSError."""
    here = {path.name for path in folder.glob("*" + FILE)}
    known = {one.file: one for one in load_manifest(folder)}
    told = {one.file: one for one in segments}
    looked = _look(folder, sorted(here - told.keys() - _complete(known.values()), reverse=True))
    known.update((one.file, one) for one in looked if one.file not in known or one.state != "open")
    known.update(told)
    for file in gone:
        known.pop(file, None)
    present = [one for one in known.values() if one.file in here]
    begins = (one.file for one in present if one.start_ms == 0)
    save_manifest(folder, [*present, *elsewhere(known.values(), here, begins)])


def elsewhere(
    told: Iterable[SegmentInfo], here: Iterable[str], begins: Iterable[str]
) -> tuple[SegmentInfo, ...]:
    """Those that are told of and not here, but may be on another disk. begins: which files here
    are the first one of a recording."""
    first = max(begins, default="")
    found = frozenset(here)
    return tuple(one for one in told if one.file not in found and one.file > first)


def describe(
    file: str, metadata: dict[str, object], *, repaired: bool = False
) -> SegmentInfo | None:
    """What a segment says of itself, as a manifest lists it; None for a file that is not ours."""
    facts = facts_in(metadata)
    node = facts.get("node")
    if not isinstance(node, str):
        return None
    return SegmentInfo(
        file,
        node,
        whole(facts.get("epoch")),
        whole(facts.get("number")),
        whole(facts.get("startMs")),
        whole(metadata.get("duration"), 1000),
        whole(metadata.get("filesize")),
        whole(facts.get("gapMs")),
        "repaired" if repaired else "closed" if "duration" in metadata else "open",
    )


def whole(value: object, times: int = 1) -> int:
    """What a file tells as a number, multiplied; 0 for what no field holds."""
    if not isinstance(value, float) or not 0 <= value * times < _MAX_WHOLE:
        return 0
    return round(value * times)


def _complete(told: Iterable[SegmentInfo]) -> set[str]:
    return {one.file for one in told if one.state != "open"}


def _look(folder: Path, files: Iterable[str]) -> Iterator[SegmentInfo]:
    """What segments say of themselves, the first ones of these. Raises OSError."""
    for _, name in zip(range(_MAX_LOOKS), files, strict=False):
        path = folder / name
        if path.is_symlink():  # it may lead anywhere
            continue
        try:
            with path.open("rb") as file:
                info = describe(name, read_metadata(file)[0])
        except (FileNotFoundError, RemoteProtocolError):  # gone meanwhile; not a byte of it came
            continue
        if info is not None:
            yield info


def segment_from(told: Mapping[str, object]) -> SegmentInfo:
    """From its fields by name. Raises KeyError, TypeError or ValueError for what is none."""
    values: dict[str, object] = {}
    for field in fields(SegmentInfo):
        value = told[field.name]
        wanted = int if field.type == "int" else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TypeError(field.name)
        if isinstance(value, int) and not 0 <= value < _MAX_WHOLE:
            raise ValueError(field.name)
        values[field.name] = value
    return SegmentInfo(**values)  # type: ignore[arg-type]  # each was looked at
