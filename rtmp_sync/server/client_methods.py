"""What a server calls at a client: public methods of an object of the application's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from rtmp_sync.errors import CallError
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.events import CommandReceived
from rtmp_sync.server.client_link import ClientLink

__all__ = ["called"]

_log = logging.getLogger("rtmp_sync.client")


def called(
    link: ClientLink, event: CommandReceived, methods: object
) -> Coroutine[Any, Any, None] | None:
    """What runs the method and answers; None where there is no such method, and the server has
    been told. Raises RemoteProtocolError for arguments that are no AMF."""
    method = None if event.name.startswith("_") else getattr(methods, event.name, None)
    if not callable(method):
        _answer(link, event, "_error", replies.call_failed(event.name))
        return None
    _, arguments = event.command_object_and_arguments(link.connection.limits.values)
    return _serve(link, event, method, arguments)


async def _serve(
    link: ClientLink,
    event: CommandReceived,
    method: Callable[..., object],
    arguments: list[object],
) -> None:
    try:
        result = method(*arguments)
        if inspect.isawaitable(result):
            result = await result
        name, values = "_result", replies.result(result)
    except CallError as error:
        name, values = "_error", replies.status("error", error.code, error.description)
    except Exception:  # the application's code: the server gets an error, we go on
        _log.exception("client method %s failed", event.name)
        name, values = "_error", replies.call_failed(event.name)
    _answer(link, event, name, values)


def _answer(link: ClientLink, event: CommandReceived, name: str, values: tuple[Any, ...]) -> None:
    if event.transaction and link.alive:
        link.write(link.connection.command(name, event.transaction, *values))
