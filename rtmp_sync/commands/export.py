"""`export`: a recording as one file that other programs play.

    .flv            written here: the same tags, with an index of key frames
    .mp4, .mkv, …   by ffmpeg, which gets the tags and copies them: nothing is encoded again

The segments come in their order and with their times, so a gap stays as long as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmp_sync.commands import terminal
from rtmp_sync.commands.recordings import Found, describe, find_recording
from rtmp_sync.commands.terminal import CommandFailed, WrongUse
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.media_folders import FILE, RECORDING
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.recording import Cursor, RecordedTag, Recording
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire.flv import encode_file_header, encode_tag

__all__ = ["Span", "export", "parse_time"]

_READ_BYTES = 1 << 20
_FAST_START = (".mp4", ".m4v", ".mov", ".m4a")  # players begin before they have the whole file


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of it, in ms; it begins at the key frame at or before `begin_ms`."""

    begin_ms: int = 0
    end_ms: int | None = None


def parse_time(text: str) -> int:
    """`90`, `1:30` or `0:01:30.5` in ms. Raises WrongUse."""
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or not all(0 <= number < 1e6 for number in numbers):
        raise WrongUse(f"{text!r} is no time: give seconds, M:SS or H:MM:SS")
    seconds = 0.0
    for number in numbers:
        seconds = seconds * 60 + number
    return round(seconds * 1000)


def export(
    wanted: str,
    target: Path,
    media: Callable[[], Sequence[Path]],
    span: Span,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """wanted: APP/INSTANCE/NAME, or a path of a `.rec` folder or an `.flv` file. media: finds
    the folders to look in."""
    if target.exists() and not force:
        raise WrongUse(f"{target} is there already: give --force, or another name")
    if not target.suffix:
        raise WrongUse(f"{target}: its end tells the format, as .mp4 or .flv")
    if span.end_ms is not None and span.end_ms <= span.begin_ms:
        raise WrongUse("--to is not behind --from")
    path = Path(wanted)
    if path.suffix in (RECORDING, FILE) and path.exists():
        found = Found(path.stem, (path.with_suffix(""),))
    else:
        found = find_recording(wanted, media())
    partial = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        with terminal.progress("export", quiet=as_json) as tell:
            told = asyncio.run(_export(found, partial, span, tell))
        partial.replace(target)
    except (OSError, RemoteProtocolError) as error:
        raise CommandFailed(f"{found.name} was not exported: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    told |= {"file": str(target), "file_bytes": target.stat().st_size}
    for missing in told["missing"]:
        terminal.print_error(f"not here, left out: {missing['file']} of {missing['node']}")
    if as_json:
        terminal.print_json(told)
    else:
        size = told["file_bytes"] / 1e6
        text = f"{target}: {told['exported_seconds']:.1f} s, {size:.1f} MB"
        terminal.console().print(text, markup=False)
    return 0


async def _export(
    found: Found, target: Path, span: Span, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Raises OSError, RemoteProtocolError and CommandFailed."""
    lane = MediaLane()
    first, *others = found.paths
    recording = await Recording.open(first, lane, *others)
    if recording is None or not recording.size:
        raise CommandFailed(f"of {found.name} nothing is here")
    if span.begin_ms > recording.duration_ms:
        raise WrongUse(f"--from is behind the end: it has {recording.duration_ms / 1000:.1f} s")
    try:
        write = _write_flv if target.suffix.lower() == FILE else _write_through_ffmpeg
        last_ms = await write(_tags(recording, span, tell), recording.metadata, target)
        return {**describe(found, recording), "exported_seconds": last_ms / 1000}
    finally:
        await recording.close()
        lane.shutdown()


async def _tags(
    recording: Recording, span: Span, tell: Callable[[str], None]
) -> AsyncIterator[RecordedTag]:
    """From 0 on. Headers first."""
    cursor = recording.seek(span.begin_ms) if span.begin_ms else recording.begin
    end_ms = recording.duration_ms + 1 if span.end_ms is None else span.end_ms
    for header in await recording.headers(cursor):
        yield header._replace(ms=0)
    at: Cursor | None = cursor
    begin_ms: int | None = None
    shown = 0
    while at is not None:
        tags, at = await recording.read(at, _READ_BYTES)
        for tag in tags:
            if begin_ms is None:
                begin_ms = tag.ms
            if tag.ms >= end_ms:
                return
            yield tag._replace(ms=max(0, tag.ms - begin_ms))
        if tags and begin_ms is not None:
            percent = 100 * (tags[-1].ms - begin_ms) // max(1, end_ms - begin_ms)
            if percent >= shown + 10:
                shown = percent
                tell(f"{percent} %")


async def _write_flv(
    tags: AsyncIterator[RecordedTag], metadata: dict[str, object], target: Path
) -> int:
    """Returns the time of the last tag. Raises OSError."""
    segment = Segment({}, dict(metadata))
    with target.open("wb") as file:  # nothing else runs in this process
        file.write(segment.begin())
        async for tag in tags:
            file.write(segment.tag(tag.type, tag.ms, tag.payload, tag.flags))
        for at, data in segment.end():
            file.seek(at)
            file.write(data)
    return segment.last_ms


async def _write_through_ffmpeg(
    tags: AsyncIterator[RecordedTag], metadata: dict[str, object], target: Path
) -> int:
    """Returns the time of the last tag. Raises CommandFailed."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise CommandFailed(
            f"ffmpeg makes {target.suffix} files, and is not installed: apt-get install ffmpeg; "
            "or export to .flv"
        )
    options = ("-movflags", "+faststart") if target.suffix.lower() in _FAST_START else ()
    process = await asyncio.create_subprocess_exec(
        *(program, "-nostdin", "-hide_banner", "-v", "error", "-y", "-f", "flv", "-i", "pipe:0"),
        *("-map", "0:v?", "-map", "0:a?", "-c", "copy", *options, f"file:{target}"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    last_ms = 0
    try:
        with contextlib.suppress(ConnectionError):  # it has ended, and says why
            process.stdin.write(encode_file_header())
            async for tag in tags:
                process.stdin.write(encode_tag(tag.type, tag.ms, tag.payload))
                await process.stdin.drain()
                last_ms = max(last_ms, tag.ms)
            process.stdin.close()
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = (await complaints).decode(errors="replace").strip().splitlines()
    if code:
        raise CommandFailed(f"ffmpeg: {said[-1] if said else f'exit code {code}'}")
    return last_ms
