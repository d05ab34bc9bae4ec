"""The API for applications: one file per application, one class in it.

    class Text(Application):                     # apps/text.py -> rtmp://host/text/<instance>
        public_types = frozenset({"Type1"})

        @allow("Type1")
        async def setText(self, client: Client, text: str) -> str:
            self.shared_object("text", persistent=True)["txt"] = text
            return text

One object of the class is one instance of the application. What must survive a takeover lives
in shared objects or in `self.vars`; anything else in `self` is this process's own memory.
Methods run on the loop: an `async` one may wait, and must not block.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from rtmp_sync.arguments import Arguments
from rtmp_sync.server.traffic import Traffic
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire import amf0
from rtmp_sync.wire.limits import STORED

if TYPE_CHECKING:
    from rtmp_sync.server.fanout import Fanout, SyncItem
    from rtmp_sync.server.server_stream import ServerStream
    from rtmp_sync.server.standby_object import StandbyObject

__all__ = ["Application", "Client", "Method", "SharedObject", "allow"]

Transport = Literal["rtmp", "rtmps", "http", "websocket"]
F = TypeVar("F", bound=Callable[..., Any])
_ALLOWED = "__rtmp_sync_allow__"


class Method:
    """A method that clients may call. replay: whether the standby runs it too."""

    __slots__ = ("_arguments", "function", "name", "replay", "user_types")

    def __init__(
        self, name: str, function: Callable[..., Any], user_types: frozenset[str], *, replay: bool
    ) -> None:
        self.name = name
        self.function = function
        self.user_types = user_types
        self.replay = replay
        self._arguments: Arguments | None = None

    @property
    def arguments(self) -> Arguments:
        """What it takes; its type hints are read when this is first asked, since they may name
        what the application's file defines further down."""
        if self._arguments is None:
            self._arguments = Arguments(self.function)
        return self._arguments


def allow(*user_types: str, name: str | None = None, replay: bool = False) -> Callable[[F], F]:
    """Let clients of these user types call the decorated method.

    name: what it is called on the wire (the method's own name). replay: the standby runs it
    too, after it has everything that the call changed, with the caller's identity and without
    a connection to it; for memory of the application outside of shared objects and `vars`.
    There writes to shared objects do nothing, the result is dropped, and `active` is False.
    A call that failed is not run again, and what the standby missed while it was away neither.
    """
    if not all(isinstance(user_type, str) for user_type in user_types):
        raise TypeError('user types are missing: @allow("Type1")')

    def mark(function: F) -> F:
        setattr(function, _ALLOWED, _method(function, user_types, name, replay))
        return function

    return mark


def _method(
    function: Callable[..., Any], user_types: tuple[str, ...], name: str | None, replay: bool
) -> Method:
    for parameter in list(inspect.signature(function).parameters.values())[2:]:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise TypeError(f"{function.__qualname__}: a remote call has no keyword arguments")
    return Method(name or function.__name__, function, frozenset(user_types), replay=replay)


class ClientLink(Protocol):
    """How a Client reaches its connection; an orphan of a takeover has none."""

    def call(self, name: str, arguments: tuple[object, ...]) -> Awaitable[object]: ...

    def notify(self, name: str, arguments: tuple[object, ...]) -> None: ...

    def disconnect(self, description: str) -> None: ...

    @property
    def traffic(self) -> Traffic: ...


class Client:
    """One accepted NetConnection.

    id: unique in the pair's life. user_name and user_type: the first two user arguments of
    connect. agent: its flashVer. params: its connect object. arguments: all user arguments.
    transport: how it came; over "http" and "websocket" it plays one stream and has no methods.
    since: when it came, in seconds of wall time.
    read_access, write_access: shared objects and streams it may use, as name prefixes
    separated by ";" ("/" allows all, "" none), as in FMS.
    """

    __slots__ = (
        "_granted",
        "_link",
        "_user_type",
        "address",
        "agent",
        "arguments",
        "id",
        "page_url",
        "params",
        "read_access",
        "since",
        "transport",
        "user_name",
        "write_access",
    )

    def __init__(
        self,
        id: str,
        *,
        user_name: str = "",
        user_type: str = "",
        agent: str = "",
        address: str = "",
        page_url: str = "",
        params: Mapping[str, object] = MappingProxyType({}),
        arguments: tuple[object, ...] = (),
        link: ClientLink | None = None,
        transport: Transport = "rtmp",
    ) -> None:
        self.id = id
        self.user_name = user_name
        self._user_type = user_type
        self._granted = False
        self.agent = agent
        self.address = address
        self.page_url = page_url
        self.params = params
        self.arguments = arguments
        self.transport = transport
        self.since = time.time()
        self.read_access = "/"
        self.write_access = "/"
        self._link = link

    def __repr__(self) -> str:
        return f"<Client {self.id} {self.user_name!r} {self.user_type!r}>"

    @property
    def connected(self) -> bool:
        """False for a client of before a takeover that has not come back, and after its end."""
        return self._link is not None

    @property
    def traffic(self) -> Traffic:
        """What its connection has moved so far, in bytes and messages; nothing once it is gone."""
        return self._link.traffic if self._link is not None else Traffic()

    @property
    def user_type(self) -> str:
        """What the client may call depends on it. Setting it in `on_connect` grants it,
        whether it is public or not."""
        return self._user_type

    @user_type.setter
    def user_type(self, user_type: str) -> None:
        self._user_type = user_type
        self._granted = True

    @property
    def granted(self) -> bool:
        """Whether the application gave the client its type."""
        return self._granted

    async def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the client; its result.

        Raises CallError when it answers with an error, ConnectionLost when it goes away.
        """
        if self._link is None:
            from rtmp_sync.errors import ConnectionLost

            raise ConnectionLost(f"client {self.id} is not connected")
        return await self._link.call(name, arguments)

    def notify(self, name: str, *arguments: object) -> None:
        """Call a method of the client without an answer; nothing happens if it is gone."""
        if self._link is not None:
            self._link.notify(name, arguments)

    def disconnect(self, description: str = "") -> None:
        """End the connection, telling the client why."""
        if self._link is not None:
            self._link.disconnect(description)

    def unlink(self) -> None:
        """The connection has ended."""
        self._link = None


class SharedObject(MutableMapping[str, Any]):
    """A shared object as the application sees it: a mapping of slot names to Python values.

    A value read is a fresh copy: to change it, set it again. None deletes a slot. It may be
    kept: it is the object of that name at any time, also when this origin has taken over.
    """

    __slots__ = ("_key", "_surroundings")

    def __init__(self, surroundings: Surroundings, name: str, kind: str) -> None:
        self._surroundings = surroundings
        self._key = (name, kind)

    @property
    def _fanout(self) -> Fanout | StandbyObject:
        return self._surroundings.fanout(*self._key)

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
        if self._surroundings.active and name not in self._fanout.obj.slots:
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
        """Goes up with every change."""
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
        """Delete a slot; nothing happens if there is none."""
        self._fanout.delete(None, name, self._fanout.next_version())

    def clear(self) -> None:
        """Delete all slots."""
        self._fanout.clear(self._fanout.next_version())

    def send(self, handler: str, *arguments: object) -> None:
        """Call `handler` of every client that uses the object."""
        self._fanout.send(amf0.encode(handler, *arguments), None)

    @property
    def on_sync(self) -> Callable[[list[SyncItem]], object] | None:
        """Called once per turn with what changed: a list of {"code", "name"}.

        code: "change" and "delete" by a client, "success" by this application, "clear".
        """
        return self._fanout.on_sync

    @on_sync.setter
    def on_sync(self, listener: Callable[[list[SyncItem]], object] | None) -> None:
        self._fanout.on_sync = listener


class Surroundings(Protocol):
    """What an application object reaches through: its instance on this origin."""

    app_name: str
    name: str
    config: Mapping[str, Any]

    @property
    def clients(self) -> Mapping[str, Client]: ...

    @property
    def active(self) -> bool: ...

    def fanout(self, name: str, kind: str) -> Fanout | StandbyObject: ...

    async def committed(self) -> None: ...

    def every(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]: ...

    def stream(self, name: str) -> ServerStream: ...


class Application:
    """Base of all applications; every hook may be left out."""

    public_types: ClassVar[frozenset[str] | set[str]] = frozenset()
    """User types that a client may claim by itself; anything else `on_connect` must grant."""

    methods: ClassVar[Mapping[str, Method]] = MappingProxyType({})
    """What clients may call, by the name on the wire; made from the `@allow` decorators."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        attributes: dict[str, object] = {}
        for owner in reversed(cls.__mro__):
            attributes.update(vars(owner))  # what a subclass replaces is allowed as it says there
        found: dict[str, Method] = {}
        for attribute in attributes.values():
            method = getattr(attribute, _ALLOWED, None)
            if isinstance(method, Method):
                found[method.name] = method
        cls.methods = MappingProxyType(found)

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    @property
    def name(self) -> str:
        """The application's name: that of its file."""
        return self._surroundings.app_name

    @property
    def instance(self) -> str:
        """The instance's name; `_definst_` when the client gave none."""
        return self._surroundings.name

    @property
    def config(self) -> Mapping[str, Any]:
        """The free keys of `[application_object]`."""
        return self._surroundings.config

    @property
    def clients(self) -> list[Client]:
        """Everyone connected to this instance now."""
        return list(self._surroundings.clients.values())

    @property
    def active(self) -> bool:
        """Whether clients are served here. False in a call that the standby replays: what it
        does to the outside world the active origin has done already."""
        return self._surroundings.active

    @property
    def vars(self) -> SharedObject:
        """The application's variables: a shared object that no client can use."""
        return SharedObject(self._surroundings, "vars", "V")

    def shared_object(self, name: str, persistent: bool = False) -> SharedObject:
        """The shared object of that name, made empty if there is none.

        Temporary and persistent ones of one name are two objects. A temporary one that the
        application has taken stays until the instance stops.
        """
        kind = "P" if persistent else "T"
        self._surroundings.fanout(name, kind)  # it exists from now on
        return SharedObject(self._surroundings, name, kind)

    async def committed(self) -> None:
        """Wait until everything done so far survives the loss of this origin."""
        await self._surroundings.committed()

    def every(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]:
        """Run something again and again, on the active origin only; returns how to stop it.

        Call it in `on_app_start` and in `on_promote`.
        """
        return self._surroundings.every(seconds, run)

    def stream(self, name: str) -> ServerStream:
        """The server-side stream of that name: to publish what others are, to record, to relay.

        It is of this process: begin it in `on_app_start` and in `on_promote`.
        """
        return self._surroundings.stream(name)

    async def on_app_start(self) -> None:
        """Runs once in the history of an instance, before its first client; not on takeovers."""

    async def on_promote(self) -> None:
        """This origin has taken over, and the instance goes on here."""

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """A client asks to come in; raise Reject to refuse it."""

    async def on_disconnect(self, client: Client, reason: str) -> None:
        """A client is gone. reason: "closed", "lost", or "failover" for one of before a
        takeover: when it asks to come in again, which it does as another client, or when its
        time to do so is over. Its temporary objects stay that long."""

    async def on_publish(self, client: Client, request: StreamRequest) -> None:
        """A client asks to publish a stream; raise Reject to refuse it."""

    async def on_unpublish(self, client: Client, name: str) -> None:
        """A client publishes a stream no longer, also because its connection ended; not at a
        takeover: the publishers of before are gone with their origin."""

    async def on_play(self, client: Client, request: StreamRequest) -> None:
        """A client asks to play a stream; raise Reject to refuse it."""

    async def on_app_stop(self) -> None:
        """The instance ends: nobody used it for ten minutes."""
