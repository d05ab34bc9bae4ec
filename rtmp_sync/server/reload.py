"""Reading an application's file again, while it is in use.

wrong file, wrong whitelist, `__init__` or `on_reload` that raises ─► the old code stays
class with `on_reload`    ─► a new object in the place of the old one, between two turns
class without             ─► `unload`: AppShutdown; who comes then begins a new instance
standby                   ─► reads its own file, before the calls that the new code served
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from rtmp_sync.app import Application
from rtmp_sync.errors import ConfigError, ProtocolError, RtmpSyncError
from rtmp_sync.plugins import line_of
from rtmp_sync.server.application_code import Mark
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.unload import unload_all
from rtmp_sync.wire.records import Replay

if TYPE_CHECKING:
    from rtmp_sync.server.instance import Instance, Serving
    from rtmp_sync.server.instances import Instances
    from rtmp_sync.server.sessions import Sessions

__all__ = ["NotReloaded", "Reloaded", "follow", "reload"]

START_SECONDS: Final = 10.0


class NotReloaded(RtmpSyncError):
    """The old code stays, of all instances that were to get the new one."""


class Reloaded(NamedTuple):
    """What became of the instances that a reload was about.

    replaced: whose clients stay. ended: whose clients, `disconnected` of them, had to go.
    failed: what is wrong, by instance. mark, seq: of the pair's reload and the Change that tells
    of it; 0 for a single origin.
    """

    mark: Mark
    seq: int
    replaced: Sequence[str]
    ended: Sequence[str]
    disconnected: int
    failed: Mapping[str, str]

    def __str__(self) -> str:
        parts = [f"code {self.mark.digest}"]
        if self.replaced:
            parts.append(f"in place, nobody disconnected: {', '.join(self.replaced)}")
        if self.ended:
            parts.append(f"ended: {', '.join(self.ended)} (clients told: {self.disconnected})")
        if not (self.replaced or self.ended or self.failed):
            parts.append("for the instances to come, none runs")
        return "; ".join([*parts, *(f"{scope} {what}" for scope, what in self.failed.items())])


async def reload(
    instances: Instances, sessions: Sessions, app: str, name: str | None = None
) -> Reloaded:
    """Of all instances, or of that one alone, which is begun if it does not run. Others then go
    on with the code that they have; new ones get the new code.

    Raises ConfigError for what is wrong with the file, NotReloaded, Deposed.
    """
    async with instances.reloading:
        return await _reload(instances, sessions, app, name)


async def _reload(instances: Instances, sessions: Sessions, app: str, name: str | None) -> Reloaded:
    loaded = await instances.code.load(app)
    serving = await instances.version(app, loaded.application)
    if not instances.serves:
        raise Deposed("this origin serves no longer")
    # From here on nothing waits: it is one step.
    affected = [
        one
        for one in instances
        if one.app_name == app and name in (None, one.name) and not one.stopped
    ]
    in_place = [one for one in affected if one.ready.done() and _stays(serving)]
    failed = {one.scope: why for one in in_place if (why := _replace(instances, one, serving))}
    if failed and len(failed) == len(affected):
        raise NotReloaded("; ".join(f"{scope} {why}" for scope, why in failed.items()))
    instances.adopt(serving, loaded)
    mark, seq = instances.code.note(app, name or "")
    ended = [one for one in affected if one not in in_place]
    gone = await unload_all(instances, sessions, ended)
    if name is not None and (why := await _begin(instances, serving, name)):
        failed[f"{app}/{name}"] = why
    replaced = [one.scope for one in in_place if one.scope not in failed]
    return Reloaded(mark, seq, replaced, [one.scope for one in ended], gone, failed)


async def follow(instances: Instances, record: Replay) -> None:
    """On a standby: the active origin has read an application's file again."""
    app, name, code = record.scope, record.method, instances.code
    try:
        mark = Mark.unpack(record.arguments)
    except (ValueError, ProtocolError):
        return  # an origin of another version says something else with it
    if not code.following(app, mark):
        return
    try:
        loaded = await code.load(app)
        serving = await instances.version(app, loaded.application)
    except ConfigError as error:
        code.compare(app, mark, str(error))
        return
    if instances.serves:
        return  # it was promoted meanwhile, and goes on with what it had
    for instance in instances.standing_by(app):
        if name in ("", instance.name) and (
            not _stays(serving) or _replace(instances, instance, serving)
        ):
            instances.forget(instance.scope)
    instances.adopt(serving, loaded)
    code.compare(app, mark)


def _stays(serving: Serving) -> bool:
    """Whether an object of the new code can take the place of another one."""
    return serving.application.on_reload is not Application.on_reload


def _replace(instances: Instances, instance: Instance, serving: Serving) -> str:
    """Returns what went wrong; the object of before goes on then."""
    try:
        instance.replace(serving)
    except (Exception, asyncio.CancelledError) as error:  # the application's own: nothing waits
        instance.log.error("hook_failed", hook="on_reload", exc_info=error)
        said = " ".join(str(error).split())
        line = line_of(error, instances.code.path(serving.name))
        return f"keeps the old code: {type(error).__name__}: {said}{line}"
    return ""


async def _begin(instances: Instances, serving: Serving, name: str) -> str:
    """Returns what went wrong."""
    instance = instances.get(serving, name)
    if instance is None:
        return "cannot be made: see the origin's log"
    done, _ = await asyncio.wait({instance.ready}, timeout=START_SECONDS)
    if not done:
        return f"has not started within {START_SECONDS:.0f} s"
    return "" if instance.ready.result() else "could not be started: see the origin's log"
