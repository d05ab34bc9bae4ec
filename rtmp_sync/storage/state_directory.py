"""A node's state directory: private to one node, used by one process at a time.

owner                     {"node": id}; another node's directory is refused
lock                      flock'ed while a process uses the directory
snapshot, journal.*       see `journal_format`
*.aside                   one of these that could not be used, for an operator to look at
divergent-<epoch>.msgpack what this node's copy had and the pair never will
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtmp_sync.errors import ConfigError
from rtmp_sync.state.journal import Batch
from rtmp_sync.wire.packing import pack

__all__ = ["StateDirectory"]

_KEY: Final = "storage.state"


class StateDirectory:
    """`open` before anything in it is read, `close` at the end."""

    def __init__(self, path: Path, node_id: str) -> None:
        self.path = path
        self._node_id = node_id
        self._lock = -1

    def open(self) -> None:
        """Make the directory if needed, lock it, check whose it is. Raises ConfigError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            fix = f"not usable ({error.strerror}); give a directory that this user may write"
            raise ConfigError(_KEY, str(self.path), fix) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            fix = "another process uses it; stop that one, or give this node its own directory"
            raise ConfigError(_KEY, str(self.path), fix) from error
        self._check_owner()

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def save_divergent(self, epoch: int, batches: Sequence[Batch]) -> Path:
        """Keep Changes that are about to be dropped; where. Raises OSError."""
        return await asyncio.to_thread(self._keep_divergent, epoch, batches)

    def _check_owner(self) -> None:
        owner = self.path / "owner"
        try:
            if not owner.exists():
                _write(owner, json.dumps({"node": self._node_id}).encode())
            found = json.loads(owner.read_text())["node"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            fix = f"its owner file cannot be read ({error}); give this node its own directory"
            raise ConfigError(_KEY, str(self.path), fix) from error
        if found != self._node_id:
            self.close()
            fix = f"it belongs to node {found!r}; give node {self._node_id!r} its own directory"
            raise ConfigError(_KEY, str(self.path), fix)

    def _keep_divergent(self, epoch: int, batches: Sequence[Batch]) -> Path:
        content = pack(
            {
                "epoch": epoch,
                "first_seq": batches[0].first_seq,
                "changes": [change for batch in batches for change in batch.changes()],
            }
        )
        stem = f"divergent-{epoch}"
        path = self.path / f"{stem}.msgpack"
        number = 1
        while path.exists():
            if path.read_bytes() == content:  # the link ended before the copy was taken
                return path
            number += 1
            path = self.path / f"{stem}.{number}.msgpack"
        _write(path, content)
        return path


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, even when the power goes."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
