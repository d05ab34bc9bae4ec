"""File descriptors: every client holds one, and the system lets a process have only so many."""

from __future__ import annotations

import contextlib
from typing import Final

__all__ = ["SPARE", "allowed", "raise_limit"]

SPARE: Final = 200  # for all that is no client: logs, journal, recordings, store, the other origin


def allowed() -> int | None:
    """How many `raise_limit` leads to; None: the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def raise_limit() -> None:
    """The soft limit is often 1,024: less than the clients of one origin."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows; or not permitted
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
