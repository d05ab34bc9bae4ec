"""A log file that a thread writes: the loop waits for no disk, and what the thread cannot keep up
with is dropped and counted.

The file is opened again when something else has moved it away (logrotate), and after `max_bytes`
it is moved away here: `FILE.1` is the newest of the `keep` old ones.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final

import structlog

__all__ = ["AccessFile"]

WAITING_MAX: Final = 10_000  # lines
STOP_SECONDS: Final = 2.0  # for what still waits: a hung disk does not keep an origin

Line = Callable[[], str]


class AccessFile:
    """header: goes to the top of each file. dropped: lines that nobody will read."""

    def __init__(self, path: Path, *, max_bytes: int, keep: int, header: str = "") -> None:
        self.dropped = 0
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._header = header
        self._waiting: queue.Queue[Line | None] = queue.Queue(WAITING_MAX)
        self._file: FileIO | None = None
        self._failing = False
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._log = structlog.get_logger("rtmp_sync.access").bind(file=str(path))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, if that does not take long."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(STOP_SECONDS)

    def put(self, line: Line) -> None:
        """Never waits. line: makes the text, in the thread."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def _write_all(self) -> None:
        while True:
            lines = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while lines[-1] is not None:
                    lines.append(self._waiting.get_nowait())
            texts = [line() for line in lines if line is not None]
            try:
                if texts:
                    self._write("".join(f"{text}\n" for text in texts).encode())
                self._failing = False
            except OSError as error:
                self.dropped += len(texts)
                if not self._failing:
                    self._log.error("access_log_failed", error=str(error))
                self._failing = True
            if lines[-1] is None:
                break
        if self._file is not None:
            self._file.close()

    def _write(self, data: bytes) -> None:
        file = self._opened()
        while data:
            data = data[file.write(data) or 0 :]
        if file.tell() >= self._max_bytes:
            self._move_away()

    def _opened(self) -> FileIO:
        if self._file is not None and not self._is_there(self._file):
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
            if self._header and not self._file.tell():
                self._file.write(self._header.encode())
        return self._file

    def _is_there(self, file: FileIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _move_away(self) -> None:
        names = [self._path, *(self._old(number) for number in range(1, self._keep + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if not self._keep:
            self._path.unlink(missing_ok=True)

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
