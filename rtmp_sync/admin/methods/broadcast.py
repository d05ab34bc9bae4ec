"""Calling a method of many clients at once."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from rtmp_sync.admin.holder import must_serve
from rtmp_sync.admin.method import Answer, Argument, Call, Method
from rtmp_sync.admin.refusal import bad_value, not_there
from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.server.instances import split_app

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

_AT_ONCE: Final = 200  # clients told before others of the loop have their turn
# FMS's scopes; there is one adaptor and one virtual host, whatever they are called
_WHOLE_SERVER: Final = re.compile("server|(adaptor(:[^/]*)?/?)?(vhost(:[^/]*)?)?", re.IGNORECASE)
_APP: Final = re.compile("((adaptor|vhost)(:[^/]*)?/)*app:(?P<app>.+)", re.IGNORECASE)


class Told(Answer):
    """Who was told."""

    clients: int
    """How many: those that are connected now."""


async def broadcast_msg(call: Call) -> Told:
    must_serve(call.origin)
    method, values = call.text("method"), call.values("args")
    if not method:
        raise bad_value("method: give the name of the clients' method")
    told = 0
    for session in _audience(call):
        if session.closing:
            continue  # it has gone while others were told
        try:
            session.client.notify(method, *values)
        except (LocalProtocolError, ValueError, TypeError) as error:
            raise bad_value(f"args: cannot be sent ({error})") from None
        told += 1
        if told % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return Told(clients=told)


def _audience(call: Call) -> list[Session]:
    """Whom the scope means."""
    scope = call.text("scope").strip()
    joined = [session for session in call.origin.sessions if session.joined]
    if scope and _WHOLE_SERVER.fullmatch(scope):
        return joined
    found = _APP.fullmatch(scope)
    if found is None:
        raise bad_value("scope: give Server, App:name or App:name/instance")
    name, instance = split_app(found["app"])
    if name not in call.origin.instances.applications:
        raise not_there(f"There is no application {name}.")
    in_app = [session for session in joined if session.instance.app_name == name]
    if "/" not in found["app"].strip("/"):
        return in_app
    return [session for session in in_app if session.instance.name == instance]


METHODS = (
    Method(
        "broadcastMsg",
        "/broadcast",
        "Call a method of all clients, without an answer.",
        Told,
        broadcast_msg,
        (
            Argument("scope", "`Server`, `App:name` or `App:name/instance`"),
            Argument("method", "the clients' method"),
            Argument("args", "its arguments", list, default=()),
        ),
        changes=True,
    ),
)
