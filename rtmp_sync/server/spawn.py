"""Starts programs without waiting for more than that.

A new process has copies of all our descriptors, and closes them before its program begins. Of a
file on a NAS that hangs, such as a recording, closing a copy hangs, too. Who starts programs by
`fork`, as uvloop does, waits for that, and its loop stands still as long as the NAS. By
`posix_spawn` it is the new process alone that hangs, where its caller's deadline finds it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["ended", "spawn"]

_LOOK_SECONDS = 0.02  # where the system has no descriptors of processes


def spawn(
    command: Sequence[str],
    *,
    stdin: int,
    stderr: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program; its output is a pipe. Raises OSError.

    variables: added to the environment. It stays in this process's group, and has none of its
    descriptors but those that were made to be inherited.
    """
    path = shutil.which(command[0])
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    return subprocess.Popen(
        command,
        executable=os.path.abspath(path),
        env={**os.environ, **(variables or {})},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,
        close_fds=False,  # or it would be `fork`
    )


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process; its exit code, or minus the signal that ended it."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        while process.poll() is None:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(_LOOK_SECONDS)
        return process.wait()
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()
