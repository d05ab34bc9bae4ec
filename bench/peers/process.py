"""What another process uses, by the kernel's word."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["cpu_seconds", "own_memory"]


def cpu_seconds(pid: int) -> float:
    """CPU time of all its threads, counted in nanoseconds."""
    return time.clock_gettime((~pid << 3) | 2)


def own_memory(pid: int) -> int:
    """Resident bytes that no file stands behind."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024
