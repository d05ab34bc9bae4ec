"""The event loop of a serving process: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from rtmp_sync.server.descriptors import raise_limit

__all__ = ["run"]

T = TypeVar("T")

# A full collection over a large state stops the loop for tens of milliseconds, and state makes
# no cycles: look at new objects less often, and at all of them rarely.
GC_THRESHOLDS = (20_000, 20, 100)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end with as many file descriptors as the system lets us have."""
    raise_limit()
    gc.freeze()  # what was imported stays: nothing to look through again
    gc.set_threshold(*GC_THRESHOLDS)
    factory = None
    with contextlib.suppress(ImportError):  # no wheel for this platform or interpreter
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
