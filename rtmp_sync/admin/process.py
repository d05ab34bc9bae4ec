"""What this process takes of the machine; 0 where the system does not tell."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_seconds", "machine_bytes", "resident_bytes"]


def cpu_seconds() -> float:
    """Of all threads, in user space and in the kernel, since the process began."""
    return sum(os.times()[:2])


def resident_bytes() -> int:
    """Memory of the machine that the process has now (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_bytes() -> int:
    """Memory of the machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 0
