"""The one clock of a node: CLOCK_BOOTTIME, seconds.

It is not moved by wall-clock changes and goes on while the machine is suspended, so a
deadline that passed during a suspend is seen as passed. Wall time is for logs only.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # only Linux has BOOTTIME


def now() -> float:
    """Seconds since an arbitrary point, comparable between processes of one machine."""
    return time.clock_gettime(_CLOCK)
