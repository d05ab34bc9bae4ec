"""Who may ask what of the admin listener: addresses, the administrator's password, bearer tokens.

Whoever may not is told by an HTTP status; FMS's XML has its own words for a wrong password.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import structlog
from aiohttp import web

from rtmp_sync.admin.allowances import API, WRONG_CREDENTIALS_COST
from rtmp_sync.admin.back_off import BackOff
from rtmp_sync.admin.credentials import Credentials
from rtmp_sync.admin.tokens import Caller, Tokens
from rtmp_sync.config import Config
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.networks import Networks, address_of
from rtmp_sync.server.rate_limit import RateLimit

__all__ = ["ACCESS", "PING", "Access", "Denied"]

PING = "ping"
CLIENTS_A_REQUEST = 500  # are looked at in about half a millisecond
_CALLS = ("/admin/", "/api/")


@dataclass(frozen=True, slots=True)
class Denied(Exception):
    """status: of HTTP. wait: seconds after which it is worth trying again."""

    status: int
    text: str
    wait: float = 0.0


class Access:
    """Of both listeners of an origin. Its methods raise Denied. refused: how often something was
    denied, by reason."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError."""
        admin = config.admin
        self._limit, self._calls = RateLimit(API), RateLimit(API)
        self._credentials = Credentials(config)
        self._administrator = Caller(admin.user or "", True)
        self._tokens = Tokens(admin.tokens_file)
        self._networks = Networks(admin.allow)
        self._commands = [PING, *admin.commands]
        self._back_off = BackOff()
        self.refused: Counter[str] = Counter()
        self._log = structlog.get_logger("rtmp_sync.admin")

    def limit_of(self, path: str) -> RateLimit:
        """Tools that call methods have an allowance of their own: what the other origin's ping
        needs they cannot use up."""
        called = path.startswith(_CALLS) and path != f"/admin/{PING}"
        return self._calls if called else self._limit

    def charge_work(self, request: web.Request, clients: int) -> None:
        """A call has looked at so many clients: this costs the address what it cost the loop."""
        limit = self.limit_of(request.path)
        limit.charge(request.remote or "", clients / CLIENTS_A_REQUEST, now())

    def charge_refusal(self, request: web.Request) -> None:
        """Who asks for what its token does not allow costs the history an entry: it asks slowly."""
        self.refused["role"] += 1
        self._calls.charge(request.remote or "", WRONG_CREDENTIALS_COST, now())

    def allows_address(self, address: str) -> bool:
        """Whether `admin.allow` has it; this machine itself always may."""
        if not self._networks:
            return True
        given = address_of(address)
        return given is not None and (given.is_loopback or address in self._networks)

    def allows_command(self, name: str) -> bool:
        """Whether `admin.commands` has the method of FMS's."""
        return any(fnmatchcase(name, pattern) for pattern in self._commands)

    def administrator(self, request: web.Request) -> Caller:
        """The administrator, by HTTP basic credentials."""
        _refuse_other_sites(request)
        header = request.headers.get("Authorization", "")
        right = self._look(request, lambda: self._credentials.match_header(header))
        if right:
            return self._administrator
        self._wrong(request, given=bool(header))
        raise Denied(401, "give admin.user and its password (HTTP basic)")

    async def api(self, request: web.Request) -> Caller:
        """Whoever has a token; the administrator, too."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.casefold() == "basic":
            return self.administrator(request)
        self._be_patient(request)
        if scheme.casefold() == "bearer" and (caller := await self._find(token)) is not None:
            self._back_off.succeeded(request.remote or "")
            return caller
        self._wrong(request, given=bool(header))
        raise Denied(401, "give a token of admin.tokens_file (HTTP bearer)")

    def fms(self, request: web.Request, method: str) -> Caller | None:
        """The administrator, by auser and apswd; None: they are wrong. A monitor's ping need not
        wait for other programs of its host that have the wrong ones. Raises Denied."""
        _refuse_other_sites(request)
        user, password = request.query.get("auser", ""), request.query.get("apswd", "")
        if method == PING:
            right = self._credentials.match(user, password)
        else:
            right = self._look(request, lambda: self._credentials.match(user, password))
        if right:
            return self._administrator
        self._wrong(request, given=bool(user or password))
        return None

    async def _find(self, token: str) -> Caller | None:
        try:
            return await self._tokens.find(token)
        except ConfigError as error:
            self._log.error("tokens_not_read", error=str(error))
            raise Denied(503, "admin.tokens_file cannot be read: see the origin's log") from None

    def _look(self, request: web.Request, match: Callable[[], bool]) -> bool:
        self._be_patient(request)
        if right := match():
            self._back_off.succeeded(request.remote or "")
        return right

    def _be_patient(self, request: web.Request) -> None:
        if wait := self._back_off.wait(request.remote or "", now()):
            self.refused["back_off"] += 1
            raise Denied(429, "wrong credentials came from this address: wait", wait)

    def _wrong(self, request: web.Request, *, given: bool) -> None:
        """Make guessing slow."""
        address = request.remote or ""
        self.limit_of(request.path).charge(address, WRONG_CREDENTIALS_COST, now())
        if given:
            self.refused["credentials"] += 1
            self._back_off.failed(address, now())
            self._log.warning("wrong_credentials", address=address, path=request.path)


def _refuse_other_sites(request: web.Request) -> None:
    """A browser that knows the password must not be led here by another site, nor make its
    operator wait for passwords that the other site guesses. Browsers name their `Sec-Fetch-Site`
    where HTTPS or this very machine is asked; anywhere else only the origin of what changes
    anything."""
    headers = request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        here = site in ("none", "same-origin")
    else:
        here = origin is None or origin.partition("://")[2] == headers.get("Host")
    if not here:
        raise Denied(403, "not from another site")


ACCESS = web.AppKey("access", Access)
