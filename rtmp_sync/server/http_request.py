"""What a browser asks for, and for whom.

/APP/INSTANCE/STREAM.flv   STREAM may have further slashes
/APP/STREAM.flv            of the instance that `rtmp://host/APP` leads to
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from rtmp_sync.server.instances import DEFAULT_INSTANCE
from rtmp_sync.server.networks import Networks, address_of

__all__ = ["Cors", "HttpRefused", "StreamUrl", "forwarded_for"]

_SUFFIX: Final = ".flv"
_METHODS: Final = "GET, HEAD, OPTIONS"
_LONGEST_SECONDS: Final = 2**31  # of a recording
_MAX_AGE_SECONDS: Final = 86_400  # for which a browser remembers what it may do


class HttpRefused(Exception):
    """status: of the response; the text is its body."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """query: as it came, without the question mark. start: seconds, see `admit_player`."""

    app: str
    instance: str
    stream: str
    query: str
    start: float

    @classmethod
    def of(cls, request: web.BaseRequest) -> StreamUrl:
        """Raises HttpRefused for what cannot be the address of a stream."""
        url = request.rel_url
        path = url.raw_path
        parts = path.removesuffix(_SUFFIX).strip("/").split("/", 2)
        if not path.endswith(_SUFFIX) or len(parts) < 2 or not all(parts):
            raise HttpRefused(404, "The address of a stream is /APP/INSTANCE/STREAM.flv.")
        if len(parts) == 2:
            parts.insert(1, DEFAULT_INSTANCE)
        try:
            app, instance, stream = (unquote(part, errors="strict") for part in parts)
        except UnicodeDecodeError:
            raise HttpRefused(404, "A stream's name is written in UTF-8.") from None
        if "?" in stream:  # who asks whether it may be played takes what follows for a query
            raise HttpRefused(404, "No stream has a question mark in its name.")
        return cls(app, instance, stream, url.raw_query_string, _start(url.query.get("start")))


def _start(text: str | None) -> float:
    """Where to begin in a recording; nothing: what is live, or else a recording."""
    if text is None:
        return -2.0
    try:
        start = float(text)
    except ValueError:
        start = math.nan
    if not 0 <= start < _LONGEST_SECONDS:
        raise HttpRefused(400, "start is the second of a recording to begin at.")
    return start


class Cors:
    """Which pages may play: `http.origins`."""

    def __init__(self, origins: Collection[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origins)

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """What to tell the browser. Raises HttpRefused: of a WebSocket it asks nobody else."""
        origin = request.headers.get("Origin")
        if self._all:
            return {"Access-Control-Allow-Origin": "*"}
        if origin is None:
            return {"Vary": "Origin"}
        if origin not in self._origins:
            raise HttpRefused(403, "http.origins does not have the origin of this page.")
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight(self, request: web.BaseRequest) -> dict[str, str]:
        """The same of a question beforehand."""
        asked = request.headers.get("Access-Control-Request-Headers")
        return {
            **self.headers(request),
            "Allow": _METHODS,
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
            **({"Access-Control-Allow-Headers": asked} if asked else {}),
        }


def forwarded_for(request: web.BaseRequest, proxies: Networks) -> str | None:
    """The address of the client of reverse proxies: the last one that is none of theirs."""
    told = ",".join(request.headers.getall("X-Forwarded-For", []))
    for text in reversed(told.split(",")):
        address = address_of(text.strip())
        if address is None:
            return None
        if (host := str(address)) not in proxies:
            return host
    return None
