"""What an application has asked of one shared object: who is told of it, how returners catch up.

It is memory of this process. On a standby it waits for the promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ObjectSettings", "OnMessage", "OnSync", "SyncItem"]

SyncItem = dict[str, str]
OnSync = Callable[[list[SyncItem]], object]
OnMessage = Callable[..., object]


@dataclass(slots=True)
class ObjectSettings:
    """on_sync, on_message, resync_depth: see `SharedObject`. purged: who saw an older version
    gets everything."""

    on_sync: OnSync | None = None
    on_message: OnMessage | None = None
    resync_depth: int = -1
    purged: int = 0

    def of_nobody(self) -> ObjectSettings:
        """For another application object, which has asked nothing yet; what is gone stays gone."""
        return ObjectSettings(purged=self.purged)

    def oldest(self, version: int) -> int:
        """The oldest version that a client may catch up from, when the object has `version`."""
        if self.resync_depth < 0:
            return self.purged
        return max(self.purged, version - self.resync_depth + 1)
