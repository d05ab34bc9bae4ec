"""Reading applications again and ending instances, as commands and both administration APIs do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtmp_sync.admin.holder import must_serve
from rtmp_sync.admin.refusal import not_done, not_there
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.reload import NotReloaded, Reloaded, reload
from rtmp_sync.server.unload import unload_all

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["end_instances", "read_again"]


async def read_again(origin: Origin, app: str, instance: str) -> Reloaded:
    """instance: "" for all of the application that run. Raises Refusal, also when some of them
    did not get the new code."""
    must_serve(origin)
    _must_be_there(origin, app)
    try:
        done = await reload(origin.instances, origin.sessions, app, instance or None)
    except (ConfigError, NotReloaded) as error:
        raise not_done(f"the old code stays: {error}") from None
    except Deposed as error:
        raise not_done(str(error)) from None
    if done.failed:
        raise not_done(str(done))
    return done


async def end_instances(origin: Origin, app: str, instance: str) -> tuple[list[str], int]:
    """The same; those that ended, and how many clients were disconnected. Raises Refusal."""
    must_serve(origin)
    _must_be_there(origin, app)
    scope = f"{app}/{instance}"
    if instance and origin.instances.running(scope) is None and scope not in origin.state.instances:
        raise not_there(f"There is no instance {scope}.")
    running = [
        one for one in origin.instances if one.app_name == app and instance in ("", one.name)
    ]
    try:
        gone = await unload_all(origin.instances, origin.sessions, running)
    except Deposed as error:
        raise not_done(str(error)) from None
    return [one.scope for one in running], gone


def _must_be_there(origin: Origin, app: str) -> None:
    if origin.instances.serving(app) is None:
        raise not_there(f"There is no application {app}.")
