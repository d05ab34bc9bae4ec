"""POST /allow/reload, /allow/explain: the whitelists in force.

    /allow/reload   no body. Reads the whitelist files of this origin again; it must serve.
        200  {"id", "done": true, "result", "changed": [app, …], "seq", "standby": id or null}
             standby: the other origin, which has the rules by now; null when it is not there
        409  {"id", "done": false, "result", "ask"?}   `result`: each error with line and key; the
             old rules stay in force, of all applications
    /allow/explain  {"app", "user_type", "method", "file": false}. file: by the file of this origin
                    as it is now, in place of what is in force.
        200  {"id", "allowed", "because", "arguments": [text, …], "limits": [{"of", "per_second",
             "burst", "each_client"}, …]}
        400  {"error"}

Reloads are in the history, with the user and the address they came from.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from rtmp_sync.admin.body import body_of
from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.holder import must_serve
from rtmp_sync.admin.refusal import Refusal
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

CONFIRM_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.005


class Question(BaseModel):
    """The body of /allow/explain."""

    model_config = ConfigDict(extra="forbid", strict=True)

    app: str
    user_type: str
    method: str
    file: bool = False


async def reload(origin: Origin, request: web.Request) -> web.Response:
    author = {"user": origin.config.admin.user, "address": request.remote}
    origin.history.record("order", order="allow reload", **author)
    answer = await _reloaded(origin)
    done = bool(answer["done"])
    event = "order_done" if done else "order_refused"
    origin.history.record(event, order="allow reload", result=answer["result"], **author)
    return web.json_response({"id": origin.node_id, **answer}, status=200 if done else 409)


async def _reloaded(origin: Origin) -> dict[str, Any]:
    try:
        must_serve(origin)
        seq, changed = await origin.instances.whitelists.reload()
    except Refusal as elsewhere:
        found: dict[str, Any] = {"done": False, "result": elsewhere.text}
        return found | ({"ask": elsewhere.ask} if elsewhere.ask else {})
    except Deposed as error:
        return {"done": False, "result": str(error)}
    except ConfigError as error:
        return {"done": False, "result": f"the old rules stay: {error}"}
    if not await _committed(origin):
        text = "the new rules are in force here, but nobody has confirmed them within "
        return {"done": False, "result": f"{text}{CONFIRM_SECONDS:.0f} s"}
    standby = await _holder_of(origin, seq)
    what = f"reloaded: {', '.join(changed)}" if changed else "reloaded: nothing new"
    if standby is not None:
        what += f"; {standby} has it"
    elif origin.config.is_pair:
        what += "; the other origin is away and gets it when it is back"
    return {"done": True, "result": what, "changed": changed, "seq": seq, "standby": standby}


async def _committed(origin: Origin) -> bool:
    """Whether what was done so far survives, as far as `replication.mode` asks for that."""
    task = asyncio.ensure_future(origin.committed())
    await asyncio.wait({task}, timeout=CONFIRM_SECONDS)
    if not task.done():
        task.cancel()
        return False
    return not task.cancelled()  # as it is when this origin serves no longer


async def _holder_of(origin: Origin, seq: int) -> str | None:
    """The other origin once it has Change `seq`; None when it is not linked or too slow."""
    until = now() + CONFIRM_SECONDS
    while (link := origin.replication) is not None and link.connected and now() < until:
        if link.acked >= seq and link.peer is not None:
            return str(link.peer.node_id)
        await asyncio.sleep(LOOK_SECONDS)  # in mode `async` nothing tells of acknowledgements
    return None


async def explain(origin: Origin, request: web.Request) -> web.Response:
    try:
        asked = Question.model_validate_json(await body_of(request) or b"{}")
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()
        )
        return web.json_response({"error": wrong}, status=400)
    serving = origin.instances.serving(asked.app)
    if serving is None:
        return web.json_response({"error": f"there is no application {asked.app!r}"}, status=400)
    try:
        verdict = await origin.instances.whitelists.judge(
            asked.app, asked.user_type, asked.method, of_file=asked.file
        )
    except ConfigError as error:
        return web.json_response({"error": str(error)}, status=400)
    method = serving.application.methods.get(asked.method)
    return web.json_response(
        {
            "id": origin.node_id,
            "allowed": verdict.allowed,
            "because": verdict.because,
            "arguments": list(method.arguments.shown) if method is not None else [],
            "limits": [
                {
                    "of": f'["{limit.user_type}"] "{limit.pattern}"',
                    "per_second": limit.rate.per_second,
                    "burst": limit.rate.burst,
                    "each_client": limit.each_client,
                }
                for limit in verdict.limits
            ],
        }
    )


ENDPOINTS = (
    Endpoint("POST", "/allow/reload", reload, needs_admin=True),
    Endpoint("POST", "/allow/explain", explain, needs_admin=True),
)
