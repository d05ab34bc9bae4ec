"""The recordings of one origin: where they are, who writes them, what is left of a former life."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from rtmp_sync.config import Config
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.manifest import SegmentInfo, load_manifest, save_manifest
from rtmp_sync.storage.media_folders import RECORDING, MediaFolders
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.recorder import Recorder, RecordLimits, Take
from rtmp_sync.storage.recording import Recording
from rtmp_sync.storage.segment import facts_in, read_metadata, repair

__all__ = ["Recordings"]

_END_SECONDS = 10.0  # for what waits for the disk when a stream ends
_PROVE_SECONDS = 5.0  # for a folder to answer, before somebody is told that it does not


class Recordings:
    """`begin` at the start, `stop` at the end. epoch: of the origin that serves, now."""

    def __init__(self, config: Config, *, epoch: Callable[[], int]) -> None:
        storage = config.storage
        self.folders = MediaFolders(storage.media, storage.virtual)
        self.lane = MediaLane()
        self.limits = RecordLimits(
            storage.segment_seconds, storage.segment_bytes, storage.record_queue_bytes
        )
        self._roots = [
            root for root in (storage.media, *storage.virtual.values()) if root is not None
        ]
        self._node_id = config.node.id
        self._epoch = epoch
        self._recorders: set[Recorder] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._repairing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("rtmp_sync.recordings")

    async def find(self, app: str, instance: str, name: str) -> Recording | None:
        """A recording to play; None if there is none. Raises NameRefused, OSError (TimeoutError
        when the disk does not answer) and RemoteProtocolError."""
        if not self.folders.any:
            return None
        async with asyncio.timeout(_PROVE_SECONDS):
            return await Recording.open(await self._prove(app, instance, name), self.lane)

    async def prepare(
        self, app: str, instance: str, name: str, kind: str, *, at_least_ms: int | None = None
    ) -> Take:
        """A place for a new recording ("record") or for more of one ("append", "appendWithGap").

        at_least_ms: where a stream that is continued would be by now; what is missing before it
        is the gap. Raises NameRefused and OSError.
        """
        async with asyncio.timeout(_PROVE_SECONDS):
            path = await self._prove(app, instance, name)
            folder = path.with_name(path.name + RECORDING)
            take = Take(folder, name, self._node_id, self._epoch())
            if kind == "record" and at_least_ms is None:
                await asyncio.get_running_loop().run_in_executor(self.lane, _remove, folder)
                return take
            known = await Recording.open(path, self.lane)
            if known is None:
                return take
            end = max(
                known.duration_ms, *(one.start_ms + one.duration_ms for one in known.missing), 0
            )
            await known.close()
        start = max(end, at_least_ms or 0)
        return replace(take, start_ms=start, gap_ms=start - end)

    def record(
        self, take: Take, metadata: dict[str, object], on_failed: Callable[[str], None]
    ) -> Recorder:
        """Begin to record; give it to `end` when its stream ends."""
        log = self._log.bind(stream=take.stream)

        def failed(reason: str) -> None:
            log.error("record_failed", reason=reason)
            on_failed(reason)

        def told(info: SegmentInfo) -> None:
            log.info("segment", file=info.file, state=info.state, start_ms=info.start_ms)

        recorder = Recorder(
            take, self.limits, self.lane, metadata=metadata, on_segment=told, on_failed=failed
        )
        self._recorders.add(recorder)
        recorder.begin()
        return recorder

    def end(self, recorder: Recorder) -> None:
        """Its stream has ended: complete the file, beside everything else."""
        self._recorders.discard(recorder)
        task = asyncio.ensure_future(self._end(recorder))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        """Complete every file, if the disks answer."""
        for recorder in list(self._recorders):
            self.end(recorder)
        if self._repairing is not None:
            self._repairing.cancel()
            await asyncio.wait([self._repairing])
        if self._ending:
            await asyncio.wait(self._ending)
        self.lane.shutdown()

    def begin(self) -> None:
        """Complete the segments that a former life of this node left open: beside everything
        else, for a NAS may hang."""
        self._repairing = asyncio.ensure_future(self._repair())

    async def _repair(self) -> None:
        for root in self._roots:
            try:
                found = await asyncio.get_running_loop().run_in_executor(
                    self.lane, _repair_all, root, self._node_id
                )
            except OSError as error:
                self._log.warning("media_not_looked_at", folder=str(root), error=str(error))
                continue
            for name in found:
                self._log.info("segment_repaired", file=name)

    async def _prove(self, app: str, instance: str, name: str) -> Path:
        self.folders.locate(app, instance, name)  # what needs no disk first
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.lane, self.folders.prove, app, instance, name)

    async def _end(self, recorder: Recorder) -> None:
        with contextlib.suppress(TimeoutError):  # it goes on if the disk ever answers
            async with asyncio.timeout(_END_SECONDS):
                await recorder.end()


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _repair_all(root: Path, node_id: str) -> list[str]:
    """The files that were completed. Only this node's own: another one may still write to its."""
    repaired = []
    for folder in _recordings(root):
        known = {one.file: one for one in load_manifest(folder)}
        changed = False
        for path in sorted(folder.glob("*.flv")):
            info = known.get(path.name)
            if info is not None and info.state != "open":
                continue
            if (done := _repair_one(path, node_id)) is not None:
                known[path.name] = done
                repaired.append(str(path))
                changed = True
        if changed:
            save_manifest(folder, known.values())
    return repaired


def _repair_one(path: Path, node_id: str) -> SegmentInfo | None:
    with path.open("r+b") as file:
        try:
            facts = facts_in(read_metadata(file)[0])
            if facts.get("node") != node_id:
                return None
            segment = repair(file)
        except RemoteProtocolError:  # it was begun, and not a byte came
            return None
    if segment is None:
        return None
    epoch, number, start, gap = (
        int(value) if isinstance(value := facts.get(key), float) else 0
        for key in ("epoch", "number", "startMs", "gapMs")
    )
    return SegmentInfo(
        path.name, node_id, epoch, number, start, segment.last_ms, segment.size, gap, "repaired"
    )


def _recordings(root: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(root):
        for name in [name for name in names if name.endswith(RECORDING)]:
            names.remove(name)
            yield Path(folder, name)
