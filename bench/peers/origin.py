"""Our server, as `rtmp-sync serve --no-guard` runs it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from tests.support.single import SERVE, Single

__all__ = ["serving"]

START_SECONDS = 60.0


@contextmanager
def serving(**rtmp: object) -> Iterator[tuple[int, int]]:
    """An origin with these keys in `[rtmp]`: (port, process id).

    In this session, like other servers and the load: Linux shares the processors out by session.
    """
    single = Single(rtmp=rtmp)
    with single.output.open("wb") as output:
        process = subprocess.Popen(
            [*SERVE, "--config", str(single.config), "--no-guard"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _serves(single.health):
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"the origin did not start:\n{single.logs()}")
            time.sleep(0.05)
        yield int(single.address.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()
        single.clean_up()


def _serves(health: str) -> bool:
    try:
        with urlopen(f"http://{health}/health/active", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
