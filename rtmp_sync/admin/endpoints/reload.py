"""POST /reload, /unload; GET /applications: the code of applications, and their instances' end.

    /reload        {"app", "instance": ""}   "" is every instance that runs
        200  {"id", "done": true, "result", "digest", "number", "replaced": [scope, …],
             "ended": [scope, …], "disconnected"}
             number: of the pair's reload; 0 for a single origin
    /unload        the same
        200  {"id", "done": true, "result", "ended": [scope, …], "disconnected"}
        Both: 404, 409  {"id", "done": false, "result", "ask"?}; 400 {"error"}
    /applications  of this very origin
        200  {"id", "applications": {app: {"digest", "number", "trouble"}}}
             number: of the last reload of the pair that it did or tried. trouble: why its code is
             not that of the pair, "" when it is

Both orders are in the history, with the user and the address they came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from rtmp_sync.admin.body import body_of
from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.refusal import Refusal
from rtmp_sync.admin.reloading import end_instances, read_again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rtmp_sync.server.origin import Origin


class Which(BaseModel):
    """The body of an order."""

    model_config = ConfigDict(extra="forbid", strict=True)

    app: str
    instance: str = ""


async def reload(origin: Origin, request: web.Request) -> web.Response:
    return await _ordered(origin, request, "reload", _reload)


async def unload(origin: Origin, request: web.Request) -> web.Response:
    return await _ordered(origin, request, "unload", _unload)


async def applications(origin: Origin, request: web.Request) -> web.Response:
    code = origin.instances.code
    told = {
        app: {
            "digest": code.digest(app),
            "number": code.followed(app),
            "trouble": code.trouble.get(app, ""),
        }
        for app in origin.instances.applications
    }
    return web.json_response({"id": origin.node_id, "applications": told})


async def _reload(origin: Origin, which: Which) -> dict[str, Any]:
    done = await read_again(origin, which.app, which.instance)
    return {
        "result": f"{which.app}: {done}",
        "digest": done.mark.digest,
        "number": done.mark.number,
        "replaced": list(done.replaced),
        "ended": list(done.ended),
        "disconnected": done.disconnected,
    }


async def _unload(origin: Origin, which: Which) -> dict[str, Any]:
    ended, gone = await end_instances(origin, which.app, which.instance)
    text = f"ended: {', '.join(ended)} (clients told: {gone})" if ended else "nothing was running"
    return {"result": text, "ended": ended, "disconnected": gone}


async def _ordered(
    origin: Origin,
    request: web.Request,
    order: str,
    do: Callable[[Origin, Which], Awaitable[dict[str, Any]]],
) -> web.Response:
    try:
        which = Which.model_validate_json(await body_of(request) or b"{}")
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()
        )
        return web.json_response({"error": wrong}, status=400)
    author = {"user": origin.config.admin.user, "address": request.remote}
    scope = "/".join(filter(None, (which.app, which.instance)))
    origin.history.record("order", order=order, scope=scope, **author)
    try:
        answer = {"done": True, **await do(origin, which)}
        status, event = 200, "order_done"
    except Refusal as refusal:
        answer = {"done": False, "result": refusal.text}
        if refusal.ask:
            answer["ask"] = refusal.ask
        status, event = refusal.status, "order_refused"
    origin.history.record(event, order=order, scope=scope, result=answer["result"], **author)
    return web.json_response({"id": origin.node_id, **answer}, status=status)


ENDPOINTS = (
    Endpoint("POST", "/reload", reload, needs_admin=True),
    Endpoint("POST", "/unload", unload, needs_admin=True),
    Endpoint("GET", "/applications", applications, needs_admin=True),
)
