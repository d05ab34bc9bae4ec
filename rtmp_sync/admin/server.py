"""The two HTTP listeners of an origin: admin (everything) and health (checks and ping only).

Reading status, metrics and health needs no credentials; what changes state does, and the history.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.credentials import Credentials
from rtmp_sync.admin.endpoint import Endpoint, answer, found_endpoints
from rtmp_sync.admin.rate_limit import API, CHECKS, WRONG_CREDENTIALS_COST, RateLimit
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["CREDENTIALS", "AdminServer"]

CREDENTIALS = web.AppKey("credentials", Credentials)
_LIMIT = web.AppKey("limit", RateLimit)
_CHECK_LIMIT = web.AppKey("check_limit", RateLimit)
_CHECK_PATHS = "/health/"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_REQUEST_BYTES = 16 * 1024  # no endpoint takes more than a few words


class AdminServer:
    """Serves what the modules in rtmp_sync/admin/endpoints define, for one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listen on both addresses; raises ConfigError when one is taken."""
        config = self._origin.config
        credentials, limit, check_limit = Credentials(config), RateLimit(API), RateLimit(CHECKS)
        endpoints = list(found_endpoints())
        listeners = (
            ("admin.listen", config.admin.listen, endpoints),
            ("health.listen", config.health.listen, [one for one in endpoints if one.on_health]),
        )
        for key, address, served in listeners:
            app = web.Application(middlewares=[_limit_requests], client_max_size=MAX_REQUEST_BYTES)
            app[CREDENTIALS], app[_LIMIT], app[_CHECK_LIMIT] = credentials, limit, check_limit
            for endpoint in served:
                app.router.add_route(endpoint.method, endpoint.path, _bound(endpoint, self._origin))
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, address.host, address.port, reuse_address=True)
            try:
                await site.start()
            except OSError as error:
                fix = f"cannot listen there ({error.strerror}); the port is in use, or not ours"
                raise ConfigError(key, str(address), fix) from None

    async def stop(self) -> None:
        """Stop listening; requests under way may finish."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    @property
    def addresses(self) -> tuple[Address, Address]:
        """Where admin and health listen (the system's choice for port 0)."""
        admin, health = (Address(*runner.addresses[0][:2]) for runner in self._runners)
        return admin, health


def _bound(endpoint: Endpoint, origin: Origin) -> _Handler:
    """The endpoint as aiohttp calls it, behind its access check."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.needs_admin and (refusal := _refusal(request)) is not None:
            return refusal
        return await endpoint.handler(origin, request)

    return handle


def _refusal(request: web.Request) -> web.Response | None:
    """Why the request may not change anything; None when it may."""
    # A browser that knows the password must not be led here by another site.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return answer(403, "not from another site")
    if request.app[CREDENTIALS].match_header(request.headers.get("Authorization", "")):
        return None
    wrong_credentials(request)
    refusal = answer(401, "give admin.user and its password (HTTP basic)")
    refusal.headers["WWW-Authenticate"] = 'Basic realm="rtmp_sync"'
    return refusal


def wrong_credentials(request: web.Request) -> None:
    """Make guessing slow."""
    request.app[_LIMIT].charge(request.remote or "", WRONG_CREDENTIALS_COST)


@web.middleware
async def _limit_requests(request: web.Request, handler: _Handler) -> web.StreamResponse:
    kind = _CHECK_LIMIT if request.path.startswith(_CHECK_PATHS) else _LIMIT
    if wait := request.app[kind].take(request.remote or "", now()):
        refusal = answer(429, "too many requests")
        refusal.headers["Retry-After"] = str(math.ceil(wait))
        return refusal
    return await handler(request)
