"""GET /health/*: one question each, answered by the HTTP status, for load balancers and probes.

/health/active   200 only while the gate is open and the authority is valid; who asks from
                 outside the pair is taken for the load balancer
/health/standby  200 only while this origin could take over at once
/health/live     200 while the process answers at all
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.endpoint import Endpoint, answer
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


async def active(origin: Origin, request: web.Request) -> web.Response:
    origin.load_balancer.seen(request.remote or "", now())
    return _verdict(origin, origin.watchdog.health_active())


async def standby(origin: Origin, _: web.Request) -> web.Response:
    return _verdict(origin, origin.watchdog.health_standby())


async def live(origin: Origin, _: web.Request) -> web.Response:
    return _verdict(origin, True)


def _verdict(origin: Origin, good: bool) -> web.Response:
    return answer(200 if good else 503, f"{origin.node_id} {origin.watchdog.state}")


ENDPOINTS = tuple(
    Endpoint("GET", f"/health/{handler.__name__}", handler, on_health=True)
    for handler in (active, standby, live)
)
