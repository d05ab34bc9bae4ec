"""What the replication link refused, by name: counted, logged, listed in `history`.

Every name of `Reason` is counted from the start. A peer that is refused five times a second
fills neither log nor history: a reason is said at once, then after 10 s, 20 s, 40 s … up to an
hour, with how often it came meanwhile; after a time without it, at once again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from rtmp_sync.server.clock import now
from rtmp_sync.wire.refusals import Reason

__all__ = ["Refusals"]

_SAY_SECONDS: Final = 10.0
_SAY_SECONDS_MAX: Final = 3600.0
# One flipped bit is a bad cable's; three within a minute are worth an operator's look.
BAD_MACS: Final = 3
BAD_MAC_SECONDS: Final = 60.0


class Refusals:
    """history(event, fields) is called as hooks have it."""

    def __init__(self, node_id: str, history: Callable[..., None]) -> None:
        self.counts: dict[str, int] = {reason.value: 0 for reason in Reason}
        self._history = history
        # When it was said, the count then, and how long it is not said again.
        self._said: dict[Reason, tuple[float, int, float]] = {}
        self._bad_macs: deque[float] = deque(maxlen=BAD_MACS)
        self._log = structlog.get_logger("rtmp_sync.replication").bind(node=node_id)

    def add(self, reason: Reason, text: str, peer: str = "") -> None:
        """One more. peer: its address or its id, as far as known."""
        self.counts[reason.value] += 1
        count = self.counts[reason.value]
        if reason is Reason.BAD_MAC:
            self._bad_macs.append(now())
        said_at, said_count, wait = self._said.get(reason, (-math.inf, 0, _SAY_SECONDS))
        since = now() - said_at
        if since < wait:
            return
        again = since < 2 * wait
        wait = min(2 * wait, _SAY_SECONDS_MAX) if again else _SAY_SECONDS
        self._said[reason] = (now(), count, wait)
        fields = {"reason": reason.value, "text": text, "peer": peer, "times": count - said_count}
        self._log.warning("refused", **fields)
        self._history("link_refused", **fields)

    @property
    def alarms(self) -> dict[str, str]:
        """Name -> what it means now."""
        macs = self._bad_macs
        if len(macs) == BAD_MACS and now() - macs[0] <= BAD_MAC_SECONDS:
            return {
                "bad_mac": f"{BAD_MACS} messages of the other origin were altered on their way "
                f"within {BAD_MAC_SECONDS:.0f} s: look at the network between the two"
            }
        return {}
