"""POST /failback: return the service to the first node of the pair file, as planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.endpoint import Endpoint

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


async def fail_back(origin: Origin, _: web.Request) -> web.Response:
    result = await origin.watchdog.request_failback()
    return web.json_response(
        {"id": origin.node_id, "done": result.done, "result": result.text},
        status=200 if result.done else 409,
    )


ENDPOINTS = (Endpoint("POST", "/failback", fail_back, needs_admin=True),)
