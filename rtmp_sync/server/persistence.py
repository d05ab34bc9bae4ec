"""What an origin keeps on its own disk, and how that holds back acknowledgements.

With `disk = journal` or `fsync` what a client is told waits for this node's own write too.
A disk that is full or hangs is an alarm, `persist_failed`: serving goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable

import structlog

from rtmp_sync.cluster.sink import DivergentTail
from rtmp_sync.config import Config
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.history import History
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.journal_file import JournalFile, LoadReport
from rtmp_sync.storage.journal_format import UnknownFormat
from rtmp_sync.storage.state_directory import StateDirectory

__all__ = ["Persistence"]

COPY_SECONDS = 0.5  # a small copy is written within that, and no takeover feels it
STOP_SECONDS = 2.0  # for each thing that a hung disk may hold up


class Persistence:
    """The state directory of this node, the journal in it, and this boot's id."""

    def __init__(self, config: Config, state: ReplicatedState, commit: CommitPoint) -> None:
        self.boot_id = secrets.token_hex(8)
        self.failures = 0  # how often the disk failed
        self._grace = config.replication.reconnect_grace
        self._disk = config.storage.disk
        self._state = state
        self._commit = commit
        self._directory = StateDirectory(config.storage.state, config.node.id)
        self._journal = JournalFile(config.storage.state, mode=self._disk)
        self._history: History | None = None
        self._complete = False  # everything is on the disk, for good
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._saving: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("rtmp_sync.persistence")

    @property
    def failed(self) -> bool:
        """`persist_failed`: what happens now is not on this disk."""
        return self._journal.failed

    @property
    def written_seq(self) -> int:
        """Everything up to it is on this disk."""
        return self._journal.written_seq

    @property
    def compactions(self) -> int:
        """Snapshots that were written."""
        return self._journal.compactions

    async def start(self) -> History:
        """Lock the directory and fill the state with what is in it. Raises ConfigError."""
        self._directory.open()
        self._history = History(self._directory.path / "history.jsonl")
        report = await asyncio.to_thread(self._load)
        for damage in report.damage:
            self._history.record("journal_damaged", damage=str(damage))
        self._journal.on_written = self._written
        self._journal.on_failed = self._failed
        self._journal.on_recovered = self._recovered
        self._journal.begin()
        return self._history

    async def stop(self) -> None:
        """Write what is queued, if the disk takes it."""
        self._complete = await self._journal.stop()
        if self._saving:
            await asyncio.wait(self._saving, timeout=STOP_SECONDS)
        if self._history is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._history.flush()

    def close(self) -> None:
        """After `stop`, when nothing of this life writes anywhere: give the directory free. Who
        came next would not know of what is written later: if the disk did not take all of it, it
        is free when this process ends."""
        if self._complete:
            self._directory.close()

    def write(self, batch: Batch) -> None:
        """Put a batch of this turn, or of the active origin, into the journal file."""
        self._journal.write(batch)

    async def written(self, seq: int) -> None:
        """Return when everything up to `seq` is on the disk, or the disk has failed.

        A copy that came from the other origin a moment ago may take long to write: a takeover
        does not wait for that.
        """
        if self._disk == "off" or self.failed or self._journal.written_seq >= seq:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((seq, future))
        wait = asyncio.get_running_loop().call_later(COPY_SECONDS, self._journal.go_on_without)
        try:
            await future
        finally:
            wait.cancel()

    def begin_anew(self) -> None:
        """Another copy took this one's place: so it does on the disk."""
        self._journal.begin_anew()

    def save_divergent(self, tail: DivergentTail, let_go: Callable[[], None]) -> None:
        """Keep what this copy has and the pair never will, for an operator to look at.

        let_go: called when it is saved and listed, or cannot be.
        """
        task = asyncio.get_running_loop().create_task(self._save_divergent(tail))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        task.add_done_callback(lambda _: let_go())

    async def _save_divergent(self, tail: DivergentTail) -> None:
        assert self._history is not None  # there is a tail only after `start`
        try:
            path = await self._directory.save_divergent(tail.epoch, tail.batches)
        except OSError as error:
            self._history.record("divergent_not_saved", epoch=tail.epoch, error=str(error))
            return
        self._history.record("divergent_saved", epoch=tail.epoch, file=str(path))

    def _load(self) -> LoadReport:
        try:
            return self._journal.load(self._state, reconnect_grace=self._grace)
        except (OSError, UnknownFormat) as error:
            self._directory.close()
            cure = "look after the disk" if isinstance(error, OSError) else "start that version"
            fix = f"cannot be read ({error}); {cure}, or give another directory"
            raise ConfigError("storage.state", str(self._directory.path), fix) from error

    def _written(self, seq: int) -> None:
        self._commit.disk_written(seq)
        self._wake(seq)

    def _failed(self, reason: str) -> None:
        assert self._history is not None  # nothing is written before `start`
        self.failures += 1
        self._history.record("persist_failed", reason=reason)
        self._commit.set_require_disk(False)
        self._wake(None)

    def _recovered(self) -> None:
        assert self._history is not None
        self._history.record("persist_recovered")
        self._commit.set_require_disk(True)

    def _wake(self, seq: int | None) -> None:
        """Let those go on who wait for up to `seq`; everyone if None."""
        still: list[tuple[int, asyncio.Future[None]]] = []
        for wanted, future in self._waiters:
            if seq is not None and wanted > seq:
                still.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = still
