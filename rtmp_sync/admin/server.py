"""The two HTTP listeners of an origin: admin (everything) and health (checks and ping only).

Reading status, metrics and health needs no credentials; what changes state does, and the history,
and what tells of clients and streams. `access.py` says who may.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.access import ACCESS, Access, Denied
from rtmp_sync.admin.allowances import CHECKS
from rtmp_sync.admin.endpoint import RATES, Endpoint, answer, found_endpoints
from rtmp_sync.admin.listener import Listener
from rtmp_sync.admin.rates import Rates
from rtmp_sync.config_values import Address
from rtmp_sync.server.clock import now
from rtmp_sync.server.rate_limit import RateLimit

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["AdminServer"]

_CHECK_LIMIT = web.AppKey("check_limit", RateLimit)
_CHECK_PATHS = "/health/"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_REQUEST_BYTES = 16 * 1024  # no endpoint takes more than a few words
END_SECONDS = 2.0  # for requests under way when the origin stops


class AdminServer:
    """Serves what the modules in rtmp_sync/admin/endpoints define, for one origin."""

    def __init__(self, origin: Origin) -> None:
        """Raises ConfigError."""
        self._origin = origin
        self._access = Access(origin.config)
        self._runners: list[web.AppRunner] = []
        self._listeners: list[Listener] = []

    @property
    def refused(self) -> Counter[str]:
        """Requests and connections that were refused, by reason."""
        return self._access.refused

    async def start(self) -> None:
        """Listen on both addresses; raises ConfigError when one is taken."""
        config = self._origin.config
        access, check_limit, rates = self._access, RateLimit(CHECKS), Rates(now())
        endpoints = list(found_endpoints())
        on_health = [one for one in endpoints if one.on_health]
        listeners = (
            ("admin.listen", config.admin.listen, endpoints, [_limit_requests, _limit_addresses]),
            ("health.listen", config.health.listen, on_health, [_limit_requests]),
        )
        for key, address, served, middlewares in listeners:
            app = web.Application(middlewares=middlewares, client_max_size=MAX_REQUEST_BYTES)
            app[ACCESS], app[_CHECK_LIMIT], app[RATES] = access, check_limit, rates
            for endpoint in served:
                app.router.add_route(endpoint.method, endpoint.path, _bound(endpoint, self._origin))
            runner = web.AppRunner(
                app, access_log=None, handle_signals=False, shutdown_timeout=END_SECONDS
            )
            await runner.setup()
            self._runners.append(runner)
            assert runner.server is not None  # it was set up
            listener = Listener(runner.server, self._one_too_many)
            self._listeners.append(listener)
            await listener.start(key, address)

    async def stop(self) -> None:
        """Stop listening; requests under way may finish."""
        for listener in self._listeners:
            await listener.close()
        for runner in self._runners:
            await runner.cleanup()
        for listener in self._listeners:
            listener.cut()
        self._listeners.clear()
        self._runners.clear()

    @property
    def addresses(self) -> tuple[Address, Address]:
        """Where admin and health listen (the system's choice for port 0)."""
        admin, health = (listener.address for listener in self._listeners)
        return admin, health

    def _one_too_many(self) -> None:
        self._access.refused["connection"] += 1


def _bound(endpoint: Endpoint, origin: Origin) -> _Handler:
    """The endpoint as aiohttp calls it, behind its access check."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if endpoint.needs_admin:
                request.app[ACCESS].administrator(request)
            return await endpoint.handler(origin, request)
        except Denied as denied:
            return _refusal(denied)

    return handle


def _refusal(denied: Denied) -> web.Response:
    refusal = answer(denied.status, denied.text)
    if denied.status == 401:
        refusal.headers["WWW-Authenticate"] = 'Basic realm="rtmp_sync"'
    if denied.wait:
        refusal.headers["Retry-After"] = str(math.ceil(denied.wait))
    return refusal


@web.middleware
async def _limit_requests(request: web.Request, handler: _Handler) -> web.StreamResponse:
    is_check = request.path.startswith(_CHECK_PATHS)
    limit = request.app[_CHECK_LIMIT] if is_check else request.app[ACCESS].limit_of(request.path)
    if wait := limit.take(request.remote or "", now()):
        request.app[ACCESS].refused["rate"] += 1
        return _refusal(Denied(429, "too many requests", wait))
    return await handler(request)


@web.middleware
async def _limit_addresses(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not request.app[ACCESS].allows_address(request.remote or ""):
        request.app[ACCESS].refused["address"] += 1
        return _refusal(Denied(403, "admin.allow does not have this address"))
    return await handler(request)
