"""Ending an instance that is in use, because an operator says so.

everybody is told AppShutdown, or else cut off ─► `on_disconnect` for each ─► `on_app_stop`
who comes in meanwhile ─► waits, then begins another instance
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.app import Client
    from rtmp_sync.server.instance import Instance
    from rtmp_sync.server.instances import Instances
    from rtmp_sync.server.sessions import Sessions

__all__ = ["unload", "unload_all"]

_LEAVE_SECONDS: Final = 2.0  # for the farewell to be acknowledged and read; then it is cut off
_CUT_SECONDS: Final = 2.0  # for those that were cut off to be gone; then it goes on without them
_LOOK_SECONDS: Final = 0.01
_SHUT_DOWN: Final = "The application was shut down by an administrator."


async def unload_all(instances: Instances, sessions: Sessions, running: Sequence[Instance]) -> int:
    """At once; returns how many clients were disconnected. Raises Deposed."""
    return sum(await asyncio.gather(*(unload(instances, sessions, one) for one in running)))


async def unload(instances: Instances, sessions: Sessions, instance: Instance) -> int:
    """Returns how many clients were disconnected. Raises Deposed."""
    if not instances.retire(instance):
        return 0
    told: set[Client] = set()
    cut_from = now() + _LEAVE_SECONDS
    while instance.clients and now() < cut_from + _CUT_SECONDS:
        by_client = {one.client: one for one in sessions if one.joined}
        for client in list(instance.clients.values()):
            session = by_client.get(client)
            if session is not None and now() >= cut_from:
                session.end("its application was shut down")
            elif client in told:
                continue
            elif session is not None:
                session.link.shut_down(_SHUT_DOWN)
            else:  # it has no RTMP session
                client.disconnect(_SHUT_DOWN)
            told.add(client)
        await asyncio.sleep(_LOOK_SECONDS)
    instances.end(instance)
    return len(told)
