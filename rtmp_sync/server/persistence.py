"""What an origin keeps on its own disk, and when that holds back acknowledgements."""

from __future__ import annotations

import secrets
from pathlib import Path

from rtmp_sync.cluster.sink import DivergentTail
from rtmp_sync.config import Config
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.history import History
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState


class Persistence:
    def __init__(self, config: Config, state: ReplicatedState, commit: CommitPoint) -> None:
        self.boot_id = secrets.token_hex(8)
        self.directory: Path = config.storage.state
        self.failed = False
        self._commit = commit

    async def start(self, history: History) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        pass

    def write(self, batch: Batch) -> None:
        self._commit.disk_written(batch.last_seq)

    async def written(self, seq: int) -> None:
        pass

    def begin_anew(self) -> None:
        pass

    def save_divergent(self, tail: DivergentTail) -> None:
        pass
