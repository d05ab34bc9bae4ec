"""The shared objects of one instance: who may do what, and when a temporary one ends.

Translates a client's shared-object message into steps of the objects' `Fanout`s. All changes
of one message share one version step. `docs: wire/sharedobject.md`, Exchanges.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.fanout import Fanout, Subscriber
from rtmp_sync.server.object_limits import ObjectLimits
from rtmp_sync.server.object_settings import ObjectSettings
from rtmp_sync.server.proxied_object import ProxiedObject
from rtmp_sync.server.splice import pack, plain_item
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire import shared_object as wire
from rtmp_sync.wire.constants import (
    LEVEL_ERROR,
    SO_CLEAR,
    SO_CREATION_FAILED,
    SO_NO_READ_ACCESS,
    SO_NO_WRITE_ACCESS,
    SO_RELEASE,
    SO_REQUEST_CHANGE,
    SO_REQUEST_CLEAR,
    SO_REQUEST_REMOVE,
    SO_SEND,
    SO_USE,
)
from rtmp_sync.wire.shared_object import Event, SharedObjectMessage

__all__ = ["SharedObjects", "may_access"]

# null, undefined, and AMF3's undefined and null behind the switch
_NOTHING = frozenset({b"\x05", b"\x06", b"\x11\x00", b"\x11\x01"})

_HELD = "held"  # variables object whose slots name the temporary objects that the application has
_TRUE = b"\x01\x01"

MAX_WAITING: Final = 1024
"""Messages of clients for one locked object; what is more is refused. A client has one or two
on their way at a time, so this many come of a lock that was forgotten."""


def may_access(access: str, name: str) -> bool:
    """Whether FMS's list of prefixes ("/a;/b"; "/" is everything) covers a name."""
    path = f"/{name.lstrip('/')}/"
    return any(
        path.startswith(f"/{prefix.strip('/')}/" if prefix.strip("/") else "/")
        for prefix in access.split(";")
        if prefix
    )


class _Waiting(NamedTuple):
    """A client's message for an object that is locked."""

    subscriber: Subscriber
    message: SharedObjectMessage
    read_access: str
    write_access: str


class SharedObjects:
    """`scope` is "app/instance". grace_seconds: for which a temporary object waits for users
    that may come back to it. limits: on what clients make."""

    def __init__(self, turn: Turn, scope: str, grace_seconds: float, limits: ObjectLimits) -> None:
        self._turn = turn
        self._scope = scope
        self._grace_seconds = grace_seconds
        self._limits = limits
        self._fanouts: dict[str, Fanout] = {}
        self._locked_out: dict[str, deque[_Waiting]] = {}  # by full name of the object
        self._waiting: dict[str, float] = {}  # temporary objects -> until when, on the loop's clock
        self._sweeping: asyncio.TimerHandle | None = None  # no later than the first of those

    def inherit(self) -> None:
        """This origin has taken over: who used a temporary object before may come back to it."""
        instance = self._turn.state.instances.get(self._scope)
        for obj in instance.objects.values() if instance is not None else ():
            if obj.kind == "T":
                self._wait_for_users(obj.full_name)

    def let_go(self) -> None:
        """This origin serves the instance no longer."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for proxied in self.proxied():
            proxied.end()

    def fanout(self, name: str, kind: str) -> Fanout:
        """An object, made empty if there is none. kind: "P", "T" or "V"."""
        found = self._fanouts.get(f"{kind}:{name}")
        if found is None:
            obj = self._turn.state.find(self._scope, name, kind)
            if obj is None:
                obj = self._turn.writable().shared_object(self._scope, name, kind)
            found = self._fanouts[obj.full_name] = Fanout(self._turn, obj)
            found.on_unlocked = lambda: self._unlocked(obj.full_name)
            held = self._turn.state.find(self._scope, _HELD, "V") if kind == "T" else None
            found.pinned = held is not None and name in held.slots
        return found

    def proxied(self) -> list[ProxiedObject]:
        """Those that are of other applications."""
        return [one for one in self._fanouts.values() if isinstance(one, ProxiedObject)]

    def proxy(self, name: str, kind: str, owner: NetConnection) -> None:
        """From now on an object is the one of another application, for those who use it already
        too. Raises Deposed, and RuntimeError for one that is locked."""
        full_name = f"{kind}:{name}"
        known = self._fanouts.get(full_name)
        if isinstance(known, ProxiedObject):
            known.follow(owner)
            return
        if known is None and self._turn.state.find(self._scope, name, kind) is not None:
            known = self.fanout(name, kind)  # of before a takeover
        self._waiting.pop(full_name, None)
        self.let(name, kind)
        proxied = ProxiedObject(self._turn, self._scope, full_name, owner)
        if known is not None:
            proxied.settings = known.settings
            for subscriber in known.dismiss():
                proxied.use(subscriber, 0)
            self.sweep(known)
        self._fanouts[full_name] = proxied

    def exchange_settings(self, wanted: Mapping[str, ObjectSettings]) -> dict[str, ObjectSettings]:
        """Set what the application asks of each object, by full name (without: nothing); what it
        asked before."""
        before = {name: fanout.settings for name, fanout in self._fanouts.items()}
        for name, fanout in self._fanouts.items():
            fanout.settings = wanted.get(name) or fanout.settings.of_nobody()
        return before

    def users(self, name: str, kind: str) -> int:
        """How many clients use an object."""
        known = self._fanouts.get(f"{kind}:{name}")
        return known.users if known is not None else 0

    def hold(self, fanout: Fanout) -> None:
        """The application has taken an object: it stays, on the next active origin too."""
        fanout.pinned = True
        if fanout.obj.kind == "T":
            held = self.fanout(_HELD, "V")
            held.set(None, fanout.obj.name, _TRUE, 0, held.next_version())

    def let(self, name: str, kind: str) -> None:
        """The application has it no longer: a temporary object ends with its last user, and who
        uses a proxied one has one of this application instead. Raises Deposed, and RuntimeError
        for one that is locked."""
        known = self._fanouts.get(f"{kind}:{name}")
        if known is None:
            return
        if isinstance(known, ProxiedObject):
            del self._fanouts[known.obj.full_name]
            known.end()
            for subscriber in known.dismiss():
                own = self.fanout(name, kind)
                own.settings = known.settings
                own.use(subscriber, 0)
            return
        if known.locked:
            raise RuntimeError(f"{known.obj.full_name} is locked")
        known.pinned = False
        if kind == "T":
            held = self.fanout(_HELD, "V")
            held.delete(None, name, held.next_version())
        self.sweep(known)

    def clear(self, pattern: str) -> int:
        """Empty this application's own objects whose name matches; how many. Raises Deposed."""
        pattern = pattern.strip("/") or "*"  # FMS's "/" is everything
        instance = self._turn.state.instances.get(self._scope)
        found = [
            obj
            for obj in (instance.objects.values() if instance is not None else ())
            if obj.kind in "PT" and fnmatchcase(obj.name, pattern)
        ]
        for obj in found:
            known = self._fanouts.get(obj.full_name)
            if isinstance(known, ProxiedObject) or (known is None and obj.persistent):
                self._turn.writable().destroy(obj)
            else:
                fanout = known or self.fanout(obj.name, obj.kind)
                fanout.clear(None, fanout.next_version())
        return len(found)

    def receive(
        self,
        subscriber: Subscriber,
        message: SharedObjectMessage,
        *,
        read_access: str = "/",
        write_access: str = "/",
    ) -> None:
        """What a client asks of one object; of a locked one when it is unlocked. Raises
        Deposed."""
        kind = "P" if message.persistent else "T"
        locked = self._fanouts.get(f"{kind}:{message.name}")
        if locked is not None and locked.locked:
            waiting = self._locked_out.setdefault(locked.obj.full_name, deque())
            if len(waiting) < MAX_WAITING:
                waiting.append(_Waiting(subscriber, message, read_access, write_access))
                return
            read_access = write_access = ""
        may_read = may_access(read_access, message.name)
        may_write = may_access(write_access, message.name)
        version = 0  # of this message's changes, once there is one
        for event in message.events:
            if event.type == SO_USE:
                if not may_read:
                    self._refuse_use(subscriber, message, SO_NO_READ_ACCESS)
                    continue
                if self._full(message.name, kind):
                    self._refuse_use(subscriber, message, SO_CREATION_FAILED)
                    continue
                try:
                    fanout = self.fanout(message.name, kind)
                except LocalProtocolError:  # a longer name than the link to the peer can carry
                    self._refuse_use(subscriber, message, SO_CREATION_FAILED)
                    continue
                fanout.use(subscriber, message.version)
                continue
            known = self._fanouts.get(f"{kind}:{message.name}")
            if known is None or not known.uses(subscriber):
                continue  # as FMS: an object must be used before anything else
            if event.type == SO_RELEASE:
                known.release(subscriber)
                self.sweep(known)
            elif event.type == SO_SEND and known.locked:
                continue  # too much waits for it
            elif event.type == SO_SEND:
                known.send(event.value, event.value_flags, by_client=True)
            elif not may_write:
                self._refuse(known, subscriber, event)
            else:
                version = version or known.next_version()
                self._change(known, subscriber, event, version)

    def leave(self, subscriber: Subscriber, *, may_return: bool) -> None:
        """A client is gone: it uses nothing any more, unless it comes back. What it asked of
        locked objects was never done."""
        for full_name, waiting in self._locked_out.items():
            kept = (one for one in waiting if one.subscriber is not subscriber)
            self._locked_out[full_name] = deque(kept)
        for fanout in list(self._fanouts.values()):
            if fanout.uses(subscriber):
                if may_return and fanout.obj.kind == "T":
                    self._wait_for_users(fanout.obj.full_name)
                fanout.release(subscriber)
                self.sweep(fanout)

    def sweep(self, fanout: Fanout) -> None:
        """Drop an object that nobody uses; a temporary one is gone for good, unless it waits."""
        if fanout.used:
            return
        fanout.finish_turn()
        obj = fanout.obj
        self._fanouts.pop(obj.full_name, None)
        if obj.kind == "T" and not obj.gone and obj.full_name not in self._waiting:
            self._turn.writable().destroy(obj)

    def _unlocked(self, full_name: str) -> None:
        """Go on with what clients asked meanwhile."""
        for subscriber, message, read_access, write_access in self._locked_out.pop(full_name, ()):
            self.receive(subscriber, message, read_access=read_access, write_access=write_access)

    def _wait_for_users(self, full_name: str) -> None:
        loop = asyncio.get_running_loop()
        self._waiting[full_name] = loop.time() + self._grace_seconds
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._grace_seconds, self._end_waits)

    def _end_waits(self) -> None:
        """Destroy what waited long enough, if nobody came back to it."""
        loop = asyncio.get_running_loop()
        self._sweeping = None
        instance = self._turn.state.instances.get(self._scope)
        if instance is None or not self._turn.authorised:
            return
        now = loop.time()
        for full_name in [name for name, until in self._waiting.items() if until <= now]:
            del self._waiting[full_name]
            if full_name in instance.objects:
                self.sweep(self.fanout(full_name[2:], "T"))
        if self._waiting:
            self._sweeping = loop.call_at(min(self._waiting.values()), self._end_waits)

    def _refuse_use(self, to: Subscriber, message: SharedObjectMessage, code: str) -> None:
        """Tell a client that it cannot have an object, which it does not bring into being."""
        header = wire.header(message.name, 0, message.persistent)
        told = plain_item(wire.event_status(code, LEVEL_ERROR))
        amf3, chunk_size = to.form
        data = pack(header, [told], amf3=amf3, chunk_size=chunk_size)
        self._turn.send(to.outbox, 0, data)

    def _full(self, name: str, kind: str) -> bool:
        """Whether that is one object too many."""
        instance = self._turn.state.instances.get(self._scope)
        objects = instance.objects if instance is not None else {}
        full_name = f"{kind}:{name}"
        known = full_name in objects or full_name in self._fanouts
        return len(objects) >= self._limits.objects and not known

    def _change(self, fanout: Fanout, writer: Subscriber, event: Event, version: int) -> None:
        if event.type == SO_REQUEST_CHANGE:
            if event.value in _NOTHING:
                fanout.set_null(writer, event.key, version)
                return
            if not self._limits.take(fanout.obj, fanout.held_bytes, event.key, event.value):
                fanout.refuse(writer, SO_NO_WRITE_ACCESS, event.key)
                return
            try:
                fanout.set(writer, event.key, event.value, event.value_flags, version)
            except LocalProtocolError:  # more than the link to the peer can carry
                fanout.refuse(writer, SO_NO_WRITE_ACCESS, event.key)
        elif event.type == SO_REQUEST_REMOVE:
            fanout.delete(writer, event.key, version)
        elif event.type in (SO_CLEAR, SO_REQUEST_CLEAR):
            fanout.clear(writer, version)

    @staticmethod
    def _refuse(fanout: Fanout, writer: Subscriber, event: Event) -> None:
        key = event.key if event.type in (SO_REQUEST_CHANGE, SO_REQUEST_REMOVE) else None
        fanout.refuse(writer, SO_NO_WRITE_ACCESS, key)
