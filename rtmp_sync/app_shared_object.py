"""A shared object as an application sees it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rtmp_sync.app_slots import slots_of
from rtmp_sync.wire import amf0
from rtmp_sync.wire.limits import STORED

if TYPE_CHECKING:
    from rtmp_sync.server.fanout import Fanout
    from rtmp_sync.server.object_settings import OnMessage, OnSync
    from rtmp_sync.server.standby_object import StandbyObject

__all__ = ["ObjectSource", "SharedObject"]

T = TypeVar("T")


class ObjectSource(Protocol):
    """Where the objects of one instance are found."""

    @property
    def active(self) -> bool: ...

    def fanout(self, name: str, kind: str) -> Fanout | StandbyObject: ...

    def release(self, name: str, kind: str) -> None: ...


class SharedObject(MutableMapping[str, Any]):
    """A mapping of slot names to Python values.

    A value read is a fresh copy: to change it, set it again. None deletes a slot. It may be
    kept: it is the object of that name at any time, also when this origin has taken over.
    Setting a value that AMF0 cannot express is LocalProtocolError, reading or deleting a slot that
    is not there KeyError. What is set is told to clients once the other origin has it.

    Source: FMS's server-side class SharedObject. The names of its codes are those of its `onSync`.
    """

    __slots__ = ("_key", "_source")

    def __init__(self, source: ObjectSource, name: str, kind: str) -> None:
        self._source = source
        self._key = (name, kind)

    @property
    def _fanout(self) -> Fanout | StandbyObject:
        return self._source.fanout(*self._key)

    def __repr__(self) -> str:
        obj = self._fanout.obj
        return f"<SharedObject {obj.full_name} version {obj.version}: {len(self)} slots>"

    def __getitem__(self, name: str) -> Any:
        return amf0.decode(self._fanout.obj.slots[name], STORED)[0]

    def __setitem__(self, name: str, value: object) -> None:
        if value is None:
            self.delete(name)
            return
        fanout = self._fanout
        fanout.set(None, name, amf0.encode(value), None, fanout.next_version())

    def __delitem__(self, name: str) -> None:
        if self._source.active and name not in self._fanout.obj.slots:
            raise KeyError(name)  # on a standby the write that set it did nothing
        self.delete(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._fanout.obj.slots))

    def __len__(self) -> int:
        return len(self._fanout.obj.slots)

    def __contains__(self, name: object) -> bool:
        return name in self._fanout.obj.slots

    @property
    def name(self) -> str:
        """Its name without the namespace."""
        return self._fanout.obj.name

    @property
    def persistent(self) -> bool:
        """Whether it outlives its last user and a restart of both origins."""
        return self._fanout.obj.persistent

    @property
    def version(self) -> int:
        """A number that goes up with every change, also over a takeover."""
        return self._fanout.obj.version

    @property
    def size(self) -> int:
        """The number of slots."""
        return len(self)

    def names(self) -> list[str]:
        """The names of all slots."""
        return list(self._fanout.obj.slots)

    def set(self, name: str, value: object) -> None:
        """The same as `shared_object[name] = value`."""
        self[name] = value

    def delete(self, name: str) -> None:
        """Delete a slot; nothing happens if there is none, where `del` is KeyError."""
        self._fanout.delete(None, name, self._fanout.next_version())

    def clear(self) -> None:
        """Delete all slots."""
        self._fanout.clear(None, self._fanout.next_version())

    def send(self, handler: str, *arguments: object) -> None:
        """Call `handler` of every client that uses the object, in order with its changes."""
        self._fanout.send(amf0.encode(handler, *arguments), None)

    # Several changes as one

    def lock(self) -> None:
        """Hold the object: what clients ask of it waits, and what the application changes is told
        to nobody, until as many `unlock` were called. Then all of it is one message.

        `with shared_object.locked():` does both. It is a matter of this process: a takeover ends
        it, and what was set until then stays. RuntimeError for one of another application.
        """
        self._fanout.lock()

    def unlock(self) -> None:
        """The end of `lock`; RuntimeError if the object is not locked."""
        self._fanout.unlock()

    @contextmanager
    def locked(self) -> Iterator[SharedObject]:
        """`lock` for the length of a `with` block."""
        self.lock()
        try:
            yield self
        finally:
            self.unlock()

    # What returning clients get

    @property
    def resync_depth(self) -> int:
        """A client that comes back and last saw a version so many behind the present one, or more,
        gets all slots instead of what changed; -1 (as it begins): only if it must. Of this
        process: set it in `on_app_start` and in `on_promote`."""
        return self._fanout.settings.resync_depth

    @resync_depth.setter
    def resync_depth(self, depth: int) -> None:
        self._fanout.settings.resync_depth = depth

    def purge(self, version: int) -> None:
        """Who comes back and last saw an older version than this gets all slots."""
        self._fanout.settings.purged = max(self._fanout.settings.purged, version)

    # Its life

    def release(self) -> None:
        """The application no longer keeps it: a temporary object ends with its last user. It is
        kept again as soon as the application looks at it. One of another application is no longer
        that, and its users have an object of this one instead."""
        self._source.release(*self._key)

    async def flush(self) -> None:
        """Wait until what was set so far survives the loss of this origin, and one of another
        application until that has answered; every change is on its way at once in any case."""
        await self._fanout.flush()

    def typed(self, kind: type[T]) -> T:
        """The object as an instance of a dataclass whose fields are its slots:

            @dataclass
            class Score:
                points: int = 0
                leader: str = ""

            score = self.shared_object("score").typed(Score)
            score.points += 1

        A slot that is not there has the field's default, or is AttributeError. ValueError for a
        value that is not what the field's type hint says, also for one that a client has set.
        TypeError for a class that is no dataclass.
        """
        return slots_of(self, kind)

    # What others do to it

    @property
    def on_sync(self) -> OnSync | None:
        """Called once per turn with what changed: a list of {"code", "name"}.

        code: "change" and "delete" by a client, "success" by this application, "clear", and
        "reject" where another one does not take a change of ours. It may be a coroutine function.
        """
        return self._fanout.settings.on_sync

    @on_sync.setter
    def on_sync(self, listener: OnSync | None) -> None:
        self._fanout.settings.on_sync = listener

    @property
    def on_message(self) -> OnMessage | None:
        """Called with handler name and arguments of each `send` of a client. It may be a
        coroutine function. Clients choose the name: look it up in a table of your own."""
        return self._fanout.settings.on_message

    @on_message.setter
    def on_message(self, listener: OnMessage | None) -> None:
        self._fanout.settings.on_message = listener
