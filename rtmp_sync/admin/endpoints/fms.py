"""GET /admin/METHOD?auser=&apswd=&…: Flash Media Server's administration API, in its XML.

    right credentials, done        level status, NetConnection.Call.Success
    wrong credentials              level error,  NetConnection.Connect.Rejected
    no such method, a wrong value  level error,  NetConnection.Call.BadValue
    what it is about is not there, or the server is not well (ping)
                                   level error,  NetConnection.Call.Failed
    a change that is not possible, or a method that admin.commands does not have
                                   level error,  NetConnection.Admin.CommandFailed

The HTTP status is 200 in each case, as FMS has it: a monitor reads `code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin import fms_xml
from rtmp_sync.admin.access import ACCESS, PING
from rtmp_sync.admin.arguments import from_fms
from rtmp_sync.admin.carry_out import carry_out, note_refused
from rtmp_sync.admin.endpoint import RATES, Endpoint
from rtmp_sync.admin.method import Done, Method, found_methods
from rtmp_sync.admin.refusal import COMMAND_FAILED, REJECTED, Refusal, bad_value
from rtmp_sync.admin.tokens import Caller

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


async def ping(origin: Origin, request: web.Request) -> web.Response:
    return await _answer(origin, request, PING)


async def call(origin: Origin, request: web.Request) -> web.Response:
    return await _answer(origin, request, request.match_info["method"])


async def _answer(origin: Origin, request: web.Request, name: str) -> web.Response:
    caller = request.app[ACCESS].fms(request, name)
    if caller is None:
        text = "Admin user requires valid username and password."
        return fms_xml.failure(REJECTED, text)
    try:
        method = _methods().get(name.casefold())
        if method is None:
            raise bad_value(f"Method not found ({name}).")
        _check_allowed(origin, request, method, caller)
        arguments = from_fms(method, request.query)
        rates = request.app[RATES]
        if name != PING:
            request.app[ACCESS].charge_work(request, origin.counts()["clients"])
        answer = await carry_out(origin, rates, method, arguments, caller, request.remote)
    except Refusal as refusal:
        return fms_xml.failure(refusal.code, refusal.text)
    return fms_xml.success(None if isinstance(answer, Done) else answer)


@cache
def _methods() -> Mapping[str, Method]:
    """By name, in any case: FMS's own documents have `getVhostStats`, too."""
    return {name.casefold(): method for name, method in found_methods().items()}


def _check_allowed(origin: Origin, request: web.Request, method: Method, caller: Caller) -> None:
    if request.app[ACCESS].allows_command(method.name):
        return
    text = f"{method.name} is not allowed here: admin.commands does not have it."
    if method.changes:
        note_refused(origin, method, caller, request.remote, text)
    raise Refusal(403, COMMAND_FAILED, text)


ENDPOINTS = (
    Endpoint("GET", "/admin/ping", ping, on_health=True),
    Endpoint("GET", "/admin/{method}", call),
)
