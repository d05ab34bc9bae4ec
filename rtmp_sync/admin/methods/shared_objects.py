"""Shared objects: the replicated state, so the standby tells the same."""

from __future__ import annotations

from typing import Final

from rtmp_sync.admin.method import Answer, Argument, Call, Method
from rtmp_sync.admin.refusal import not_there
from rtmp_sync.admin.subjects import APP_INST, instance_of, scope_of, stored_in


class Objects(Answer):
    """The shared objects of an instance, by name."""

    persistent: list[str]
    """They outlive their users, and a restart of both origins."""
    volatile: list[str]
    """They end with their last user."""


class ObjectStats(Answer):
    """One shared object."""

    version: int
    """Goes up with every change."""
    num_properties: int
    """Slots."""
    connected: int
    """Clients that use it now; 0 on a standby."""
    resync_depth: int
    """Versions back to which a returning client is told only what changed since."""
    bytes: int
    """Of all values, as AMF."""


async def get_shared_objects(call: Call) -> Objects:
    stored = stored_in(call)
    objects = list(stored.objects.values()) if stored is not None else []
    return Objects(
        persistent=[obj.name for obj in objects if obj.kind == "P"],
        volatile=[obj.name for obj in objects if obj.kind == "T"],
    )


async def get_shared_object_stats(call: Call) -> ObjectStats:
    name, persistent = call.text("sharedObject"), call.flag("persistent")
    kind = "P" if persistent else "T"
    instance = instance_of(call)
    obj = call.origin.state.find(scope_of(call), name, kind)
    if obj is None:
        what = "persistent" if persistent else "temporary"
        raise not_there(f"There is no {what} shared object {name} in {scope_of(call)}.")
    return ObjectStats(
        version=obj.version,
        num_properties=len(obj.slots),
        connected=instance.shared_objects.users(name, kind) if instance is not None else 0,
        resync_depth=obj.version - obj.floor,
        bytes=sum(map(len, obj.slots.values())),
    )


_NAME: Final = Argument("sharedObject", "its name", also=("soName",))
_PERSISTENT: Final = Argument("persistent", "whether the persistent one is meant", bool, False)

METHODS = (
    Method(
        "getSharedObjects",
        "/instances/{app}/{instance}/shared_objects",
        "The shared objects of an instance.",
        Objects,
        get_shared_objects,
        (APP_INST,),
    ),
    Method(
        "getSharedObjectStats",
        "/instances/{app}/{instance}/shared_objects/{sharedObject}",
        "One shared object.",
        ObjectStats,
        get_shared_object_stats,
        (APP_INST, _NAME, _PERSISTENT),
    ),
)
