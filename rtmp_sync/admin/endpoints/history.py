"""GET /history: the last events of this node, of its former lives too, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.endpoint import Endpoint

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


async def show(origin: Origin, _: web.Request) -> web.Response:
    content = {"id": origin.node_id, "events": list(origin.history.events())}
    return web.json_response(content, headers={"Cache-Control": "no-store"})


ENDPOINTS = (Endpoint("GET", "/history", show, needs_admin=True),)
