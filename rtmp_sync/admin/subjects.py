"""What a call is about: the instance and the client that its arguments name.

Instances of the standby are those of the replicated state; nobody is connected to them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rtmp_sync.admin import facts
from rtmp_sync.admin.method import Argument, Call
from rtmp_sync.admin.refusal import bad_value, not_there
from rtmp_sync.server.instances import DEFAULT_INSTANCE, split_app

if TYPE_CHECKING:
    from rtmp_sync.app import Client
    from rtmp_sync.server.instance import Instance
    from rtmp_sync.server.origin import Origin
    from rtmp_sync.server.session import Session
    from rtmp_sync.state.instance import Instance as StoredInstance

__all__ = [
    "APP_INST",
    "USER",
    "client_of",
    "instance_of",
    "scope_of",
    "scopes",
    "sessions_in",
    "stored_in",
    "wall_time",
]

APP_INST: Final = Argument(
    "appInst", "the instance, as `application/instance`; an application alone is its `_definst_`"
)
USER: Final = Argument("userid", "the client's id, as `getUsers` has it")


def scope_of(call: Call) -> str:
    """The instance that `appInst` names: "application/instance"."""
    app, name = split_app(call.text("appInst"))
    if not app:
        raise bad_value("appInst: give application/instance")
    # FMS's own documentation spells it `_defInst_` as well
    return f"{app}/{DEFAULT_INSTANCE if name.casefold() == DEFAULT_INSTANCE else name}"


def scopes(origin: Origin) -> list[str]:
    """All instances: those that run here, or on a standby those that the active one runs."""
    if facts.role(origin) == "active":
        return sorted(instance.scope for instance in origin.instances)
    return sorted(scope for scope, stored in origin.state.instances.items() if stored.started)


def instance_of(call: Call) -> Instance | None:
    """The running instance; None when there is only what the pair keeps of it. Raises Refusal
    when there is neither."""
    scope = scope_of(call)
    running = call.origin.instances.running(scope)
    if running is None and scope not in call.origin.state.instances:
        raise not_there(f"There is no instance {scope}.")
    return running


def stored_in(call: Call) -> StoredInstance | None:
    """What the pair keeps of the instance. Raises Refusal when there is no such instance."""
    instance_of(call)
    return call.origin.state.instances.get(scope_of(call))


def sessions_in(origin: Origin, instance: Instance | None) -> Iterator[Session]:
    """The RTMP connections to an instance; none when it does not run here."""
    if instance is None:
        return
    for session in origin.sessions:
        if session.joined and session.instance is instance:
            yield session


def client_of(call: Call) -> Client:
    """The client that `userid` names. Raises Refusal."""
    instance, wanted = instance_of(call), call.text("userid")
    client = instance.clients.get(wanted) if instance is not None else None
    if client is None:
        raise not_there(f"There is no client {wanted} in {scope_of(call)}.")
    return client


def wall_time(seconds: float) -> datetime:
    """A wall time for an answer, without fractions, as FMS has it."""
    return datetime.fromtimestamp(int(seconds), UTC)
