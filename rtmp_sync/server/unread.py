"""Connections whose other end takes nothing of what it is sent, and holds them for that."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

__all__ = ["give_up_unread"]

# How long what is sent may stay unacknowledged, or the other end's window shut (RFC 5482; Linux).
_OPTION: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


def give_up_unread(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the system end the connection when what is sent has not been taken for so long, also
    while it is being closed. Nothing changes where the system has no such clock."""
    endpoint = transport.get_extra_info("socket")
    if endpoint is not None and _OPTION is not None:
        with contextlib.suppress(OSError):  # it was reset before we looked
            endpoint.setsockopt(socket.IPPROTO_TCP, _OPTION, round(seconds * 1000))
