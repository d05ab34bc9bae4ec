"""The event loop of a serving process: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end with as many file descriptors as the system lets us have."""
    _raise_descriptor_limit()
    factory = None
    with contextlib.suppress(ImportError):  # no wheel for this platform or interpreter
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def _raise_descriptor_limit() -> None:
    """The soft limit is often 1,024: less than the clients of one origin."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows; or not permitted
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
