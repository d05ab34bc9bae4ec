"""systemd's end of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType


class NotifySocket:
    """Collects what is said to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> NotifySocket:
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def environment(self, *, watchdog_seconds: float, pid: int | None = None) -> dict[str, str]:
        """What systemd sets for a service; `pid` is the one that it started, or this one."""
        return {
            "NOTIFY_SOCKET": str(self._path),
            "WATCHDOG_USEC": str(round(watchdog_seconds * 1_000_000)),
            "WATCHDOG_PID": str(pid or os.getpid()),
        }

    @property
    def lines(self) -> list[str]:
        """Everything heard so far."""
        while True:
            try:
                self._lines.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self._lines

    def heard(self, *texts: str) -> bool:
        """Each of them, at some time."""
        return set(texts) <= set(self.lines)
