"""/api/v1/…: the same methods as JSON, for whoever has a bearer token.

GET   what only tells; arguments in path and query
POST  what changes anything (role `change`); arguments in path and a JSON body
200   the answer     otherwise {"code", "description", "ask"}; ask: the node that could do it
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from aiohttp import web

from rtmp_sync.admin.access import ACCESS, Denied
from rtmp_sync.admin.arguments import from_json, from_path, from_query
from rtmp_sync.admin.body import body_of
from rtmp_sync.admin.carry_out import carry_out, note_refused
from rtmp_sync.admin.endpoint import RATES, Endpoint
from rtmp_sync.admin.method import Answer, Method, found_methods
from rtmp_sync.admin.openapi import PREFIX, Failure
from rtmp_sync.admin.refusal import REJECTED, Refusal, bad_value
from rtmp_sync.admin.tokens import Caller

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin


def _endpoint(method: Method) -> Endpoint:
    async def handle(origin: Origin, request: web.Request) -> web.Response:
        try:
            caller = await request.app[ACCESS].api(request)
            _check_role(origin, request, method, caller)
            arguments = await _arguments(method, request)
            rates = request.app[RATES]
            request.app[ACCESS].charge_work(request, origin.counts()["clients"])
            answer = await carry_out(origin, rates, method, arguments, caller, request.remote)
        except Denied as denied:
            return _denied(denied)
        except Refusal as refusal:
            failure = Failure(code=refusal.code, description=refusal.text, ask=refusal.ask or None)
            return _response(failure, refusal.status)
        return _response(answer)

    return Endpoint("POST" if method.changes else "GET", PREFIX + method.path, handle)


def _check_role(origin: Origin, request: web.Request, method: Method, caller: Caller) -> None:
    if method.changes and not caller.may_change:
        text = f"the role of {caller.name} is read: {method.name} needs change"
        note_refused(origin, method, caller, request.remote, text)
        request.app[ACCESS].charge_refusal(request)
        raise Refusal(403, REJECTED, text)


async def _arguments(method: Method, request: web.Request) -> dict[str, object]:
    in_path = from_path(request.match_info)
    if not method.changes:
        return from_query(method, in_path, request.query)
    try:
        body = json.loads(await body_of(request) or b"{}")
    except ValueError:  # also what is no UTF-8
        raise bad_value("the body is not JSON") from None
    except RecursionError:
        raise bad_value("the body is nested too deeply") from None
    return from_json(method, in_path, body)


def _denied(denied: Denied) -> web.Response:
    response = _response(Failure(code=REJECTED, description=denied.text, ask=None), denied.status)
    if denied.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="rtmp_sync"'
    if denied.wait:
        response.headers["Retry-After"] = str(math.ceil(denied.wait))
    return response


def _response(answer: Answer, status: int = 200) -> web.Response:
    # in ASCII: the names that clients choose are not always what UTF-8 can say
    return web.Response(
        text=json.dumps(answer.model_dump(mode="json")),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


ENDPOINTS = tuple(_endpoint(method) for method in found_methods().values())
