"""Servers of asyncio that stop listening, and whom they had accepted in that very turn.

asyncio's own loop makes the transport of a connection a turn after it was accepted; that fails, in
silence, if its server was closed meanwhile, and the socket is left to the garbage collector.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

__all__ = ["stop_listening"]


async def stop_listening(servers: Sequence[asyncio.Server]) -> None:
    """Accept nobody from this instant, and close when all who were accepted have a transport.
    Their `connection_made` may come after this."""
    try:
        for server in servers:
            loop = server.get_loop()
            for listener in server.sockets:
                with contextlib.suppress(NotImplementedError):  # Windows has no readers
                    loop.remove_reader(listener.fileno())  # uvloop has none, and needs none
        if servers:
            await asyncio.sleep(0)
    finally:
        for server in servers:
            server.close()
