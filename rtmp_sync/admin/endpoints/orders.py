"""POST /switchover, /drain, /failback, /failover, /pause, /resume, /resync: what operators order.

The body is a JSON object, or nothing; a member may be left out:

    /switchover  to, drain_seconds       /failover  force (must be true), accept_data_loss, fenced
    /drain, /failback  drain_seconds     /pause     reason

    200  {"id", "done": true, "result", "report"?}  report: how the service moved, with its steps
    409  {"id", "done": false, "result", "ask"?}    `result` says why, `ask` which node to ask
    400  {"error"}                                  the body is wrong

Each order and what came of it is in the history, with the user and the address it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rtmp_sync.admin import facts
from rtmp_sync.admin.body import body_of
from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.holder import holder, must_serve, names
from rtmp_sync.admin.refusal import Refusal, not_done
from rtmp_sync.server.watchdog import Result

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

MAX_DRAIN_SECONDS = 3600.0
DRAIN_SECONDS = 30.0  # of a drain that does not say how long

Seconds = Annotated[float, Field(ge=0, le=MAX_DRAIN_SECONDS)]


class Order(BaseModel):
    """What the body of an order may say."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Switchover(Order):
    to: str | None = None
    drain_seconds: Seconds | None = None


class Drain(Order):
    drain_seconds: Seconds = DRAIN_SECONDS


class Failover(Order):
    force: Literal[True]
    accept_data_loss: bool = False
    fenced: bool = False


class Pause(Order):
    reason: Annotated[str, Field(max_length=200)] = ""


class Failback(Order):
    drain_seconds: Seconds | None = None


class Plain(Order):
    """/resume, /resync: nothing to say."""


# -- the orders: each returns what the watchdog is asked, or a Result if nothing is to be done -----


@dataclass(frozen=True, slots=True)
class _Wish:
    kind: str
    options: dict[str, Any]


def _switchover(origin: Origin, order: Switchover) -> _Wish | Result:
    if order.to is None:
        must_serve(origin)
    elif order.to == holder(origin):
        return Result(True, f"{order.to} holds the service already")
    else:
        must_serve(origin)
        if order.to not in names(origin):
            return Result(False, f"{order.to!r} is no node of this pair")
    return _Wish("switchover", _draining(order))


def _drain(origin: Origin, order: Drain) -> _Wish | Result:
    must_serve(origin)
    return _Wish("switchover", {"drain_seconds": order.drain_seconds})


def _failback(origin: Origin, order: Failback) -> _Wish | Result:
    primary = next(iter(names(origin)), None)
    if primary is not None and primary == holder(origin):
        return Result(True, f"{primary} holds the service already")
    must_serve(origin)
    return _Wish("switchover", _draining(order))


def _draining(order: Switchover | Failback) -> dict[str, Any]:
    """As long as the configuration says, unless the order says otherwise."""
    return {} if order.drain_seconds is None else {"drain_seconds": order.drain_seconds}


def _failover(origin: Origin, order: Failover) -> _Wish | Result:
    if facts.role(origin) == "active":
        other = next((name for name in names(origin) if name != origin.node_id), "")
        raise not_done("this origin serves: a planned move is a switchover", other)
    if not (order.accept_data_loss or facts.complete(origin)):
        text = "this copy may lack what was acknowledged: accept_data_loss would be needed"
        return Result(False, text)
    return _Wish("force_fenced" if order.fenced else "force", {})


def _pause(_: Origin, order: Pause) -> _Wish | Result:
    return _Wish("pause", {"reason": order.reason} if order.reason else {})


def _resume(_origin: Origin, _: Plain) -> _Wish | Result:
    return _Wish("resume", {})


def _resync(origin: Origin, _: Plain) -> _Wish | Result:
    must_serve(origin)
    return _Wish("resync", {})


_ORDERS: dict[str, tuple[type[Order], Callable[[Origin, Any], _Wish | Result]]] = {
    "switchover": (Switchover, _switchover),
    "drain": (Drain, _drain),
    "failback": (Failback, _failback),
    "failover": (Failover, _failover),
    "pause": (Pause, _pause),
    "resume": (Plain, _resume),
    "resync": (Plain, _resync),
}


# -- HTTP ----------------------------------------------------------------------------------------


def _endpoint(name: str) -> Endpoint:
    model, decide = _ORDERS[name]

    async def handle(origin: Origin, request: web.Request) -> web.Response:
        try:
            order = model.model_validate_json(await body_of(request) or b"{}")
        except ValidationError as error:
            return web.json_response({"error": _what_is_wrong(error)}, status=400)
        author = {"user": origin.config.admin.user, "address": request.remote}
        said = order.model_dump(exclude_defaults=True)
        origin.history.record("order", order=name, **author, **said)
        answer = await _carry_out(origin, lambda: decide(origin, order), _by(author))
        done = bool(answer["done"])
        origin.history.record(
            "order_done" if done else "order_refused", order=name, result=answer["result"], **author
        )
        return web.json_response({"id": origin.node_id, **answer}, status=200 if done else 409)

    return Endpoint("POST", f"/{name}", handle, needs_admin=True)


async def _carry_out(
    origin: Origin, decide: Callable[[], _Wish | Result], by: str
) -> dict[str, Any]:
    try:
        wish = decide()
    except Refusal as elsewhere:
        found: dict[str, Any] = {"done": False, "result": elsewhere.text}
        return found | ({"ask": elsewhere.ask} if elsewhere.ask else {})
    if isinstance(wish, _Wish):
        wish = await origin.watchdog.request(wish.kind, by, **wish.options)
    return {"done": wish.done, "result": wish.text, **_report(origin, wish)}


def _by(author: dict[str, Any]) -> str:
    return f"{author['user']} from {author['address']}"


def _report(origin: Origin, result: Result) -> dict[str, Any]:
    """How the service moved; {} when it did not."""
    if result.report.get("event") != "switchover":
        return {}
    kept = {key: value for key, value in result.report.items() if key not in ("event", "row")}
    return {"report": {"from": origin.node_id, **kept}}


def _what_is_wrong(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc']) or 'body'}: {one['msg']}"
        for one in error.errors()
    )


ENDPOINTS = tuple(_endpoint(name) for name in _ORDERS)
