"""What an endpoint is, and how the files that hold them are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin import endpoints
from rtmp_sync.admin.rates import Rates

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["RATES", "Endpoint", "answer", "found_endpoints"]

RATES = web.AppKey("rates", Rates)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`handler(origin, request)` answers `method path`.

    on_health: it is also on the health listener. needs_admin: asks for the admin's credentials
    (HTTP basic); everything that changes state does.
    """

    method: str
    path: str
    handler: Callable[[Origin, web.Request], Awaitable[web.StreamResponse]]
    on_health: bool = False
    needs_admin: bool = False


def found_endpoints() -> Iterator[Endpoint]:
    """Every endpoint of every module in rtmp_sync/admin/endpoints."""
    for module in pkgutil.iter_modules(endpoints.__path__):
        loaded = importlib.import_module(f"{endpoints.__name__}.{module.name}")
        yield from loaded.ENDPOINTS


def answer(status: int, text: str) -> web.Response:
    """A plain line; caches must not keep it."""
    return web.Response(status=status, text=text + "\n", headers={"Cache-Control": "no-store"})
