"""How patient the rules are, shortened for the model: so many ticks are as good as more. None
of these keeps two nodes apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

from rtmp_sync.cluster import failover, pace, situation
from rtmp_sync.cluster.rows import active, fenced, switchover

__all__ = ["short_patience"]

PATIENCE: Final = (
    (failover, "RETRY_SECONDS", 1.0),
    (situation, "FENCED_SECONDS", 2.0),
    (situation, "AHEAD_SECONDS", 2.0),
    (active, "HOLD_AGAIN_SECONDS", 1.0),
    (fenced, "RECLAIM_SECONDS", 1.0),
    (fenced, "STAND_BACK_SECONDS", 2.0),
    (switchover, "SWITCH_AGAIN_SECONDS", 2.0),
    (switchover, "SWITCHOVER_SECONDS", 1.0),
    (active, "UNASKED", dict.fromkeys(active.UNASKED, 4.0)),
    (pace, "STALL_SECONDS", 1.0),
)


@contextmanager
def short_patience() -> Iterator[None]:
    with ExitStack() as stack:
        for module, name, value in PATIENCE:
            stack.enter_context(patch.object(module, name, value))
        yield
