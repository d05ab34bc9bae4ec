"""Processes that outlive their parent: adopted by the guard, so that it can wait for them.

A helper that hangs on a NAS can't be killed at once. As long as one of a dead origin's is not
reaped, it may still write, so nothing is released before.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os

__all__ = ["adopt_orphans", "reap_group"]

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

POLL_SECONDS = 0.005  # the helper of a killed origin is gone within a millisecond or two


def adopt_orphans() -> None:
    """From now on orphans among this process's descendants become its children (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def reap_group(group: int) -> None:
    """Wait for every process of a killed process group."""
    while True:
        try:
            pid, _ = os.waitpid(-group, os.WNOHANG)  # noqa: ASYNC222  (WNOHANG returns at once)
        except ChildProcessError:
            return
        if pid == 0:
            await asyncio.sleep(POLL_SECONDS)
