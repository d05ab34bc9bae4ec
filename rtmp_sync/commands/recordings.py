"""`recordings`: what is recorded, and what of it is here.

The folders are those of a configuration, of both origins of a `pair`, or given one by one: of two
origins without a NAS the disks of both are looked at together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from rtmp_sync.commands import terminal
from rtmp_sync.commands.terminal import CommandFailed, WrongUse
from rtmp_sync.config import load_config
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.server.pair_directory import pair_config
from rtmp_sync.storage.manifest import SegmentInfo, load_manifest
from rtmp_sync.storage.media_folders import FILE, RECORDING
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.mending import recordings_in
from rtmp_sync.storage.recording import Recording

__all__ = ["Found", "describe", "find_media", "find_recording", "show_recordings"]

_DEFAULT_INSTANCE = "_definst_"


@dataclass(frozen=True, slots=True)
class Found:
    """paths: where it is, each without its suffix."""

    name: str
    paths: tuple[Path, ...]


def find_media(directory: Path, config: Path | None, media: Sequence[Path]) -> list[Path]:
    """The folders that the options mean. Raises ConfigError and WrongUse."""
    if media:
        for folder in media:
            if not folder.is_dir():
                raise WrongUse(f"--media {folder}: there is no such folder")
        return list(media)
    configs = [config] if config is not None else sorted(directory.glob("*/config.toml"))
    if not configs:
        raise WrongUse(f"there is no pair in {directory}: give --dir, --config or --media")
    folders: dict[Path, None] = {}
    for one in configs:
        storage = (load_config if one == config else pair_config)(one).storage
        found = (storage.media, *storage.virtual.values())
        folders.update((folder, None) for folder in found if folder is not None)
    if not folders:
        raise WrongUse(f"{configs[0]} has no folder for recordings: set storage.media")
    return list(folders)


def find_recording(wanted: str, media: Sequence[Path]) -> Found:
    """By its place below the folders, APP/INSTANCE/NAME or APP/NAME. Raises WrongUse."""
    name = wanted.strip("/").removesuffix(RECORDING).removesuffix(FILE)
    app, _, rest = name.partition("/")
    for place in (name, f"{app}/{_DEFAULT_INSTANCE}/{rest}"):
        paths = tuple(folder / place for folder in media)
        there = tuple(path for path in paths if _is_there(path))
        if there:
            return Found(place, there)
    looked = ", ".join(str(folder) for folder in media)
    raise WrongUse(f"{wanted} is not recorded in {looked}; `rtmp-sync recordings` lists what is")


def show_recordings(media: Sequence[Path], *, as_json: bool) -> int:
    """List them all."""
    told = asyncio.run(_describe_all(list(_all_recordings(media))))
    if as_json:
        terminal.print_json({"recordings": told})
        return 0
    table = terminal.table("", "recording", "seconds", "MB", "segments", "gaps", "not here")
    for one in told:
        table.add_row(
            escape(one["name"]),
            f"{one['seconds']:.1f}",
            f"{one['bytes'] / 1e6:.1f}",
            str(len(one["segments"])) if one["segments"] else "",
            ", ".join(f"{gap['seconds']:.1f} s at {gap['at']:.1f}" for gap in one["gaps"]),
            ", ".join(f"{missing['file']} on {missing['node']}" for missing in one["missing"]),
        )
    terminal.console().print(table)
    return 0


def _segments(found: Found) -> list[SegmentInfo]:
    """What the manifests say, in its order."""
    known: dict[str, SegmentInfo] = {}
    for path in found.paths:
        for one in load_manifest(path.with_name(path.name + RECORDING)):
            if one.file not in known or one.state != "open":
                known[one.file] = one
    return sorted(known.values(), key=lambda one: one.place)


def describe(found: Found, recording: Recording) -> dict[str, Any]:
    """As `--json` prints it: times in seconds."""
    segments = _segments(found)
    return {
        "name": found.name,
        "seconds": recording.duration_ms / 1000,
        "bytes": recording.size,
        "segments": [{"file": one.file, "node": one.node, "state": one.state} for one in segments],
        "gaps": [
            {"at": (one.start_ms - one.gap_ms) / 1000, "seconds": one.gap_ms / 1000}
            for one in segments
            if one.gap_ms
        ],
        "missing": [{"file": one.file, "node": one.node} for one in recording.missing],
    }


async def _describe_all(all_found: Iterable[Found]) -> list[dict[str, Any]]:
    lane, told = MediaLane(), []
    for found in all_found:
        first, *others = found.paths
        try:
            recording = await Recording.open(first, lane, *others)
        except (OSError, RemoteProtocolError) as error:
            raise CommandFailed(f"{found.name} cannot be read: {error}") from None
        if recording is not None:
            told.append(describe(found, recording))
    lane.shutdown()
    return told


def _all_recordings(media: Sequence[Path]) -> Iterator[Found]:
    places: dict[str, list[Path]] = {}
    for folder in media:
        here = {path.with_suffix("") for path in recordings_in(folder)}
        here |= {
            path.with_suffix("")
            for path in folder.rglob("*" + FILE)
            if path.parent.suffix != RECORDING
        }
        for path in here:
            places.setdefault(path.relative_to(folder).as_posix(), []).append(path)
    for name in sorted(places):
        yield Found(name, tuple(places[name]))


def _is_there(path: Path) -> bool:
    return any(path.with_name(path.name + suffix).exists() for suffix in (RECORDING, FILE))
