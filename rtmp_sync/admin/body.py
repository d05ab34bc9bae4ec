"""The body of a request, which has to come in time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from rtmp_sync.admin.access import Denied

__all__ = ["body_of"]

BODY_SECONDS = 10.0  # for a few words


async def body_of(request: web.Request) -> bytes:
    """Raises Denied when it has not come by then."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Denied(408, f"the body did not come within {BODY_SECONDS:g} s") from None
