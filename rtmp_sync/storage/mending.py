"""What a writer that died left behind: segments without an end, which the manifest calls open.

A node completes its own segments only: another one may still be writing to its. All of it blocks,
for the media lane.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.manifest import SegmentInfo, describe, load_manifest, update_manifest
from rtmp_sync.storage.media_folders import FILE, RECORDING
from rtmp_sync.storage.segment import facts_in, read_metadata, repair

__all__ = ["discard", "mend", "mend_segment", "recordings_in"]


def recordings_in(root: Path) -> Iterator[Path]:
    """The folders of all recordings below `root`. Raises OSError."""
    for folder, names, _ in os.walk(root):
        for name in [name for name in names if name.endswith(RECORDING)]:
            names.remove(name)
            yield Path(folder, name)


def mend(folder: Path, node_id: str) -> list[SegmentInfo]:
    """Complete this node's segments of one recording; those that were not complete, or that its
    manifest did not know so. Raises OSError."""
    known = {one.file: one for one in load_manifest(folder)}
    found = []
    for path in sorted(folder.glob("*" + FILE)):
        info = known.get(path.name)
        if (info is not None and info.state != "open") or path.is_symlink():
            continue
        mended = mend_segment(path, node_id)
        if mended is not None:
            found.append(mended)
        elif info is not None and info.node == node_id:
            discard(path)
    if found:
        update_manifest(folder, found)
    return found


def discard(path: Path) -> None:
    """Remove a segment in which nothing is whole: no program would read it. Raises OSError."""
    path.unlink()
    update_manifest(path.parent, [], gone=[path.name])


def mend_segment(path: Path, node_id: str) -> SegmentInfo | None:
    """Complete one segment; None for what this node has not written. Raises OSError."""
    with path.open("r+b") as file:
        try:
            metadata, _ = read_metadata(file)
            if facts_in(metadata).get("node") != node_id:
                return None
            segment = repair(file)
        except RemoteProtocolError:  # it was begun, and not a byte came
            return None
    if segment is None:
        return describe(path.name, metadata)
    told = {**metadata, "duration": segment.last_ms / 1000, "filesize": float(segment.size)}
    return describe(path.name, told, repaired=True)
