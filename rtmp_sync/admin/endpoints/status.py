"""GET /status: what this origin says of itself, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin import facts
from rtmp_sync.admin.endpoint import Endpoint

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


async def show(origin: Origin, _: web.Request) -> web.Response:
    return web.json_response(facts.status(origin), headers={"Cache-Control": "no-store"})


ENDPOINTS = (Endpoint("GET", "/status", show),)
