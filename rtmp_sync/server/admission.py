"""Who may come in: the connect command, from the application's name to its answer.

The first two user arguments are user name and user type; missing ones are "". A type that
is neither public, nor granted by `on_connect`, nor "" is refused. The type `Origin` belongs
to the link between the two origins and is never accepted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtmp_sync.app_client import Client, ClientLink, Transport
from rtmp_sync.errors import Reject
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.events import ConnectRequested
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.instances import Instances, split_app
from rtmp_sync.wire.constants import CAPS_RECONNECT, CONNECT_FAILED, LEVEL_ERROR

__all__ = ["ORIGIN_TYPE", "Admitted", "Refused", "admit", "knows_reconnect", "session_key_of"]

ORIGIN_TYPE = "Origin"
SESSION_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Admitted:
    """The client may join its instance."""

    instance: Instance
    client: Client


class Refused(Exception):
    """values: what to answer. reason: for the log."""

    def __init__(self, values: replies.Values, reason: str) -> None:
        self.values = values
        self.reason = reason
        super().__init__(reason)


async def admit(
    instances: Instances,
    request: ConnectRequested,
    link: ClientLink,
    address: str,
    transport: Transport = "rtmp",
) -> Admitted:
    """Ask the application. Raises Refused; Deposed without authority."""
    app_name, instance_name = split_app(request.app)
    serving = instances.serving(app_name)
    if serving is None:
        raise Refused(replies.connect_invalid_app(app_name), f"no application {app_name!r}")
    user_name, user_type = (_text(value) for value in [*request.arguments, "", ""][:2])
    if user_type == ORIGIN_TYPE:
        raise _rejected("This user type is not accepted here.")
    instance = instances.get(serving, instance_name)
    if instance is None or not await instance.ready:
        raise _failed("The application could not be started.")
    instances.returned(instance, session_key_of(request.params))
    client = Client(
        instances.new_client_id(),
        user_name=user_name,
        user_type=user_type,
        agent=_text(request.params.get("flashVer")),
        address=address,
        page_url=_text(request.params.get("pageUrl")),
        params=request.params,
        arguments=tuple(request.arguments),
        link=link,
        transport=transport,
    )
    limit = serving.bandwidth_limit
    client.set_bandwidth_limit(to_server=limit.to_server, to_client=limit.to_client)
    try:
        await serving.hooks.ask_connect(instance, client)
        await instance.application.on_connect(client, user_name, user_type)
    except Reject as reject:
        values = replies.connect_rejected(
            reject.description, application=reject.info, redirect=reject.redirect
        )
        raise Refused(values, reject.description or "rejected by the application") from None
    except Exception as error:  # the application's own error: nobody comes in by it
        instance.log.error("hook_failed", hook="on_connect", exc_info=error)
        raise _failed("The application failed.") from None
    if client.user_type and not client.granted and client.user_type not in serving.public_types:
        raise _rejected(f"The user type {client.user_type!r} must be granted.")
    return Admitted(instance, client)


def session_key_of(params: dict[str, object]) -> bytes | None:
    """The key under which a client numbers its calls: 16 bytes as hex text."""
    text = params.get("sessionKey")
    if not isinstance(text, str) or len(text) != 2 * SESSION_KEY_BYTES:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def knows_reconnect(params: Mapping[str, object]) -> bool:
    """Whether the client follows a reconnect request, as it said in `capsEx` (E-RTMP)."""
    said = params.get("capsEx")
    return isinstance(said, int | float) and said == said // 1 and bool(int(said) & CAPS_RECONNECT)


def _rejected(description: str) -> Refused:
    return Refused(replies.connect_rejected(description), description)


def _failed(description: str) -> Refused:
    """Trouble of ours, not of the client: it may try again."""
    return Refused(replies.status(LEVEL_ERROR, CONNECT_FAILED, description), description)


def _text(value: object) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""
