"""The recordings of one origin: where they are, who writes them, what is left of a former life.

    prepare  a place for one: proven, mended, nobody else writes there    ─► Take
    record   a stream goes there; decided again, in the loop              ─► Recorder
    end      the stream has ended; the folder is free once all is written

A folder has one writer, whatever names lead to it (`a` and `flv:a`, two virtual folders of one
place, a file system that does not tell a from A): its identity on the disk counts. A disk that
does not answer in time refuses the recording, never the stream. Each folder of the configuration
has threads of its own, so that one that hangs holds up nothing in the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog

from rtmp_sync.config import Config
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.storage.manifest import SegmentInfo
from rtmp_sync.storage.media_folders import RECORDING, MediaFolders, NameRefused
from rtmp_sync.storage.media_lane import MediaLane
from rtmp_sync.storage.mending import mend, recordings_in
from rtmp_sync.storage.recorder import Recorder, RecordLimits, Take, segments_after
from rtmp_sync.storage.recording import Recording

__all__ = ["Continued", "Recordings"]

_END_SECONDS = 4.0  # for all files at the end; the guard gives a whole stop 10 s
_PROVE_SECONDS = 5.0  # for a folder to answer, before somebody is told that it does not

T = TypeVar("T")

Identity = tuple[int, int]  # (device, inode) of a folder


class Continued(NamedTuple):
    """What a publisher that came back goes on with. elapsed_ms: where the recording would be by
    now. segments: as its origins told each other, for a disk that has not all of them."""

    elapsed_ms: int
    segments: Sequence[SegmentInfo] = ()


class Recordings:
    """`begin` at the start, `stop` at the end. epoch: of the origin that serves, now."""

    def __init__(self, config: Config, *, epoch: Callable[[], int]) -> None:
        storage = config.storage
        self.folders = MediaFolders(storage.media, storage.virtual)
        self.limits = RecordLimits(
            storage.segment_seconds, storage.segment_bytes, storage.record_queue_bytes
        )
        roots = (storage.media, *storage.virtual.values())
        self._lanes = {root: MediaLane() for root in roots if root is not None}
        # Players have threads of their own: however many look at how much, writing goes on.
        self._reading = {root: MediaLane() for root in self._lanes}
        self._node_id = config.node.id
        self._epoch = epoch
        self._writing: set[Recorder] = set()  # until all is written
        self._mended: dict[Identity, asyncio.Task[None]] | None = {}  # None: all are
        self._tasks: set[asyncio.Task[None]] = set()
        self._mending: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("rtmp_sync.recordings")

    async def find(self, app: str, instance: str, name: str) -> Recording | None:
        """A recording to play; None if there is none. Raises NameRefused, OSError (TimeoutError
        when the disk does not answer) and RemoteProtocolError."""
        if not self.folders.any:
            return None
        lane = self._reading[self.folders.root(app, instance, name)]
        async with asyncio.timeout(_PROVE_SECONDS):
            path = await _in(lane, self.folders.prove, app, instance, name)
            return await Recording.open(path, lane)

    async def prepare(
        self, app: str, instance: str, name: str, kind: str, continued: Continued | None = None
    ) -> Take:
        """A place for a new recording ("record") or for more of one ("append", "appendWithGap").

        A stream that is `continued` goes on with what it has recorded, and what is missing is the
        gap. Raises NameRefused.
        """
        root = self.folders.root(app, instance, name)
        scope = f"{app}/{instance}"
        take = Take(root, name, self._node_id, self._epoch(), root=root, instance=scope)
        lane = self._lanes[root]
        try:
            async with asyncio.timeout(_PROVE_SECONDS):
                path = await _in(lane, self.folders.prove, app, instance, name)
                take = replace(take, folder=_folder(path))
                take = await self._settle(take, lane)
                if kind == "record" and continued is None:
                    later = await _in(lane, segments_after, take.folder, take.epoch)
                    return replace(take, anew=True, later=later)
                return await _behind(take, path, lane, continued)
        except (OSError, RemoteProtocolError) as error:
            rival = self._rival(take)
            busy = rival is not None and not rival.ending
            reason = str(error) or ("it is recorded" if busy else "the disk does not answer")
            self._log.error("record_failed", stream=name, reason=reason)
            return replace(take, trouble=reason)

    def record(
        self,
        take: Take,
        metadata: dict[str, object],
        on_failed: Callable[[str], None],
        on_segment: Callable[[SegmentInfo], None] = lambda _: None,
    ) -> Recorder:
        """Begin to record; give it to `end` when its stream ends."""
        log = self._log.bind(stream=take.stream)

        def failed(reason: str) -> None:
            log.error("record_failed", reason=reason)
            on_failed(reason)

        def told(info: SegmentInfo) -> None:
            if info.state != "open" or not info.duration_ms:  # it is told of progress, too
                log.info("segment", file=info.file, state=info.state, start_ms=info.start_ms)
            on_segment(info)

        rival = self._rival(take)
        if rival is not None:  # began since the place was prepared
            take = replace(take, trouble=f"it is recorded as {rival.take.stream}")
        recorder = Recorder(
            take,
            self.limits,
            self._lanes[take.root],
            metadata=metadata,
            on_segment=told,
            on_failed=failed,
        )
        recorder.begin()
        if not recorder.failed:
            self._writing.add(recorder)
            self._start(self._watch(recorder))
        return recorder

    def end(self, recorder: Recorder) -> None:
        """Its stream has ended: complete the file, beside everything else."""
        self._start(recorder.end())

    async def stop(self) -> None:
        """Complete every file, if the disks answer."""
        for recorder in self._writing:
            self.end(recorder)
        if self._mending is not None:
            self._mending.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        for task in self._tasks:
            task.cancel()
        for lane in (*self._lanes.values(), *self._reading.values()):
            lane.shutdown()

    # -- one writer a folder --------------------------------------------------------------

    async def _settle(self, take: Take, lane: MediaLane) -> Take:
        """Make the folder, and wait until nobody writes there. Raises NameRefused, OSError."""
        while True:
            identity = await _in(lane, _make_folder, take.folder)
            await self._mend(take.folder, identity, lane)
            take = replace(take, identity=identity)
            rival = self._rival(take)
            if rival is None:
                return take
            same = (rival.take.instance, rival.take.stream) == (take.instance, take.stream)
            if not same and not rival.ending:
                raise NameRefused(f"it is recorded as {rival.take.stream}")
            await rival.finished()  # its connection was lost, or it has ended

    def _rival(self, take: Take) -> Recorder | None:
        """Who writes there."""
        for recorder in self._writing:
            if take.identity == recorder.take.identity or take.folder == recorder.take.folder:
                return recorder
        return None

    async def _watch(self, recorder: Recorder) -> None:
        try:
            await recorder.finished()
        finally:
            self._writing.discard(recorder)

    # -- what a former life left ----------------------------------------------------------

    def begin(self) -> None:
        """Complete the segments that a former life of this node left open: beside everything
        else, for a NAS may hang."""
        self._mending = self._start(self._mend_all())

    async def _mend_all(self) -> None:
        missed: list[Path] = []

        def miss(folder: Path, error: OSError) -> None:
            missed.append(folder)
            self._log.warning("media_not_looked_at", folder=str(folder), error=str(error))

        for root, lane in self._lanes.items():
            try:
                found = await _in(lane, _folders_in, root)
            except OSError as error:
                miss(root, error)
                continue
            for folder, identity in found:
                try:
                    await self._mend(folder, identity, lane)
                except OSError as error:  # the others are still to be mended
                    miss(folder, error)
        if not missed:
            self._mended = None

    async def _mend(self, folder: Path, identity: Identity, lane: MediaLane) -> None:
        """Once in a life, and before anything is written there in this one. Raises OSError."""
        if self._mended is None:
            return
        task = self._mended.get(identity)
        if task is None or (task.done() and task.exception() is not None):
            task = self._mended[identity] = self._start(self._mend_now(folder, lane))
        await asyncio.shield(task)

    async def _mend_now(self, folder: Path, lane: MediaLane) -> None:
        for info in await _in(lane, mend, folder, self._node_id):
            self._log.info("segment_repaired", folder=str(folder), file=info.file)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited knows it; nobody may have waited


async def _in(lane: MediaLane, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(lane, work, *arguments)


async def _behind(take: Take, path: Path, lane: MediaLane, continued: Continued | None) -> Take:
    """Where more of what is recorded begins. Raises OSError and RemoteProtocolError."""
    known = await Recording.open(path, lane)
    told = continued.segments if continued is not None else ()
    ends = [one.start_ms + one.duration_ms for one in told]
    if known is not None:
        ends += [known.duration_ms, *(one.start_ms + one.duration_ms for one in known.missing)]
        await known.close()
    end = max(ends, default=0)
    least = 1 if ends else 0  # where 0 is, a recording begins
    start = max(end, least, continued.elapsed_ms if continued is not None else 0)
    return replace(take, start_ms=start, gap_ms=start - end, known=tuple(told))


def _folder(path: Path) -> Path:
    return path.with_name(path.name + RECORDING)


def _make_folder(folder: Path) -> Identity:
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    return found.st_dev, found.st_ino


def _folders_in(root: Path) -> list[tuple[Path, Identity]]:
    found = []
    for folder in recordings_in(root):
        with contextlib.suppress(FileNotFoundError):  # nothing was recorded, and it went again
            status = folder.stat()
            found.append((folder, (status.st_dev, status.st_ino)))
    return found
