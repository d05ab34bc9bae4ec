"""Applications and their instances."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Annotated, Final

from rtmp_sync.admin.method import SPREAD, Answer, Argument, Call, Done, Method
from rtmp_sync.admin.refusal import not_there
from rtmp_sync.admin.reloading import end_instances, read_again
from rtmp_sync.admin.subjects import (
    APP_INST,
    instance_of,
    scope_of,
    scopes,
    stored_in,
    wall_time,
)
from rtmp_sync.admin.traffic_figures import Connections, connections
from rtmp_sync.server.instances import DEFAULT_INSTANCE
from rtmp_sync.server.traffic import Tally


class Apps(Answer):
    """What is installed."""

    total_apps: int
    """How many applications there are."""
    apps: Annotated[list[str], SPREAD]
    """Their names; without `verbose` none."""


class Instances(Answer):
    """What runs."""

    instances: Annotated[list[str], SPREAD]
    """As `application/instance`."""


class Core(Answer):
    """A process that runs instances of the application."""

    pid: int
    core_id: int


class AppStats(Connections):
    """All instances of an application that run, together."""

    name: str
    total_instances: int
    """Instances running."""
    cores: list[Core]
    """The processes that have some."""


class InstanceStats(Connections):
    """One instance, since it began here. On a standby nobody is connected."""

    name: str
    """As `application/instance`."""
    launch_time: datetime | None
    """When it began here; none while another origin runs it, or nobody."""
    up_time: int
    """Seconds since then."""
    live_streams: int
    """Streams published now."""
    shared_objects: int
    """Shared objects, temporary and persistent."""
    clients: int
    """Clients by the replicated registry; also on a standby."""


async def get_apps(call: Call) -> Apps:
    names = call.origin.instances.applications
    return Apps(total_apps=len(names), apps=names if call.flag("verbose") else [])


async def get_active_instances(call: Call) -> Instances:
    return Instances(instances=scopes(call.origin))


async def get_app_stats(call: Call) -> AppStats:
    name, origin = call.text("app"), call.origin
    if name not in origin.instances.applications:
        raise not_there(f"There is no application {name}.")
    running = [instance for instance in origin.instances if instance.app_name == name]
    clients = (client for instance in running for client in instance.clients.values())
    return AppStats(
        **connections(call, f"application {name}", [one.tally for one in running], clients),
        name=name,
        total_instances=len(running),
        cores=[Core(pid=os.getpid(), core_id=0)] if running else [],
    )


async def get_instance_stats(call: Call) -> InstanceStats:
    instance, stored = instance_of(call), stored_in(call)
    scope = scope_of(call)
    tallies = [instance.tally if instance is not None else Tally()]
    clients = instance.clients.values() if instance is not None else ()
    objects = stored.objects.values() if stored is not None else ()
    return InstanceStats(
        **connections(call, f"instance {scope}", tallies, clients),
        name=scope,
        launch_time=wall_time(instance.launched) if instance is not None else None,
        up_time=int(time.time() - instance.launched) if instance is not None else 0,
        live_streams=len(instance.live.names) if instance is not None else 0,
        shared_objects=sum(obj.kind in "PT" for obj in objects),
        clients=len(stored.clients) if stored is not None else 0,
    )


async def unload_app(call: Call) -> Done:
    app, _, instance = call.text("appInst").strip("/").partition("/")
    if instance.casefold() == DEFAULT_INSTANCE:  # as in `scope_of`
        instance = DEFAULT_INSTANCE
    await end_instances(call.origin, app, instance)
    return Done()


async def reload_app(call: Call) -> Done:
    app, _, instance = scope_of(call).partition("/")
    await read_again(call.origin, app, instance)
    return Done()


_VERBOSE: Final = Argument("verbose", "whether to name them", bool, default=True)
_FORCE: Final = Argument("force", "refresh the list", bool, default=False, ignored=True)
_PID: Final = Argument("processID", "the process", default="", also=("pid",), ignored=True)
_APP: Final = Argument("app", "the application")
_ALL: Final = Argument(
    "appInst", "the instance, as `application/instance`; an application alone: all that it has"
)

METHODS = (
    Method("getApps", "/apps", "The applications installed.", Apps, get_apps, (_VERBOSE, _FORCE)),
    Method(
        "getActiveInstances",
        "/instances",
        "The instances that run.",
        Instances,
        get_active_instances,
        (_PID,),
    ),
    Method(
        "getAppStats",
        "/apps/{app}",
        "All running instances of an application together.",
        AppStats,
        get_app_stats,
        (_APP,),
    ),
    Method(
        "getInstanceStats",
        "/instances/{app}/{instance}",
        "One instance: its connections and what they moved.",
        InstanceStats,
        get_instance_stats,
        (APP_INST,),
    ),
    Method(
        "unloadApp",
        "/unload",
        "Disconnect everybody, with NetConnection.Connect.AppShutdown, and end the instance: "
        "`on_app_stop` runs, temporary objects go.",
        Done,
        unload_app,
        (_ALL,),
        changes=True,
    ),
    Method(
        "reloadApp",
        "/instances/{app}/{instance}/reload",
        "Read the application file again for an instance: with `on_reload` nobody is disconnected, "
        "else it ends as with `unloadApp` and starts again. A file that is wrong changes nothing.",
        Done,
        reload_app,
        (APP_INST,),
        changes=True,
    ),
)
