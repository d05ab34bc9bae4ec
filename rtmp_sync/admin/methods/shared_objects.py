"""Shared objects: the replicated state, so the standby tells the same; and the active origin's
copies of other applications' objects."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from rtmp_sync.admin.method import Answer, Argument, Call, Method
from rtmp_sync.admin.refusal import not_there
from rtmp_sync.admin.subjects import APP_INST, instance_of, scope_of, stored_in


class Proxied(Answer):
    """The object of another application."""

    name: str
    persistent: bool
    owner: str
    """The address of that application, without a query; empty before there was a connection."""


class Objects(Answer):
    """The shared objects of an instance, by name."""

    persistent: list[str]
    """They outlive their users, and a restart of both origins."""
    volatile: list[str]
    """They end with their last user."""
    proxied: list[Proxied]
    """They are other applications', and of no origin but the active one."""


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
    instance = instance_of(call)
    objects = list(stored.objects.values()) if stored is not None else []
    proxied = instance.shared_objects.proxied() if instance is not None else []
    return Objects(
        persistent=[obj.name for obj in objects if obj.kind == "P"],
        volatile=[obj.name for obj in objects if obj.kind == "T"],
        proxied=[
            Proxied(name=one.obj.name, persistent=one.obj.persistent, owner=_address(one.owner))
            for one in proxied
        ],
    )


async def get_shared_object_stats(call: Call) -> ObjectStats:
    name, persistent = call.text("sharedObject"), call.flag("persistent")
    kind = "P" if persistent else "T"
    instance = instance_of(call)
    proxied = instance.shared_objects.proxied() if instance is not None else []
    copies = {one.obj.full_name: one.obj for one in proxied}
    obj = copies.get(f"{kind}:{name}") or call.origin.state.find(scope_of(call), name, kind)
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


def _address(uri: str) -> str:
    """Without what may be secret."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


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
