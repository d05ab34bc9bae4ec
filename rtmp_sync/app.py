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
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from structlog.stdlib import BoundLogger

from rtmp_sync.app_client import Client
from rtmp_sync.app_shared_object import ObjectSource, SharedObject
from rtmp_sync.arguments import Arguments
from rtmp_sync.stream_request import StreamRequest

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

    from rtmp_sync.server.client import NetConnection
    from rtmp_sync.server.server_stream import ServerStream
    from rtmp_sync.server.traffic import Traffic

__all__ = ["Application", "Client", "Method", "SharedObject", "allow"]

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

    The method may be a coroutine function or not; it gets the client and the arguments, which must
    be what its type hints say. CallError is its answer of an error; whatever else it raises is
    "Method failed" for its caller, and in the log. TypeError where `allow` is used in a wrong way.

    Source: in FMS a client calls methods of its own `Client` object; the whitelists by type of user
    are those of the article. Calls are the NetConnection commands of RTMP 1.0, 7.2.1.2.
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


class Surroundings(ObjectSource, Protocol):
    """What an application object reaches through: its instance on this origin."""

    app_name: str
    name: str
    config: Mapping[str, Any]
    log: BoundLogger

    @property
    def clients(self) -> Mapping[str, Client]: ...

    @property
    def traffic(self) -> Traffic: ...

    async def committed(self) -> None: ...

    def proxy(self, name: str, kind: str, of: NetConnection) -> None: ...

    def clear_shared_objects(self, pattern: str) -> int: ...

    def every(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]: ...

    def after(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]: ...

    def connection(self, reconnect: bool, tls: SSLContext | Path | str | None) -> NetConnection: ...

    def stream(self, name: str) -> ServerStream: ...


class Application:
    """Base of all applications; every hook may be left out. One object is one instance.

    Hooks and methods run on the event loop: they may wait, and must not block. What a hook, a timer
    or a listener raises ends that alone and is in the log.

    Source: the object `application` of FMS's server-side scripts, and Red5's ApplicationAdapter.
    """

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
    def traffic(self) -> Traffic:
        """What all connections to this instance have moved since it began on this origin, those
        that are gone included, in bytes and messages."""
        return self._surroundings.traffic

    @property
    def log(self) -> BoundLogger:
        """The origin's log, with the instance: `self.log.info("goal", by=client.user_name)`."""
        return self._surroundings.log

    def broadcast(self, name: str, *arguments: object) -> None:
        """Call a method of every client, without an answer. LocalProtocolError for arguments that
        AMF cannot express."""
        made: dict[Any, bytes] = {}
        for client in self.clients:
            client.notify(name, *arguments, made=made)

    @property
    def active(self) -> bool:
        """Whether clients are served here. False in a call that the standby replays: what it
        does to the outside world the active origin has done already."""
        return self._surroundings.active

    @property
    def vars(self) -> SharedObject:
        """The application's variables: a shared object that no client can use."""
        return SharedObject(self._surroundings, "vars", "V")

    def shared_object(
        self, name: str, persistent: bool = False, *, of: NetConnection | None = None
    ) -> SharedObject:
        """The shared object of that name, made empty if there is none.

        Temporary and persistent ones of one name are two objects. A temporary one that the
        application has taken stays until the instance stops, or `release`.

        of: a connection to another application, here or on another server, whose object of that
        name is this one from now on, for this application's clients too: what they and we ask is
        asked of that one, and what it says is told here. It shows nothing before it was there
        once; a slot that is set here changes when its owner has it. Call it in `on_app_start` and
        in `on_promote`, before or after `connect`, and again after the connection was closed.
        """
        kind = "P" if persistent else "T"
        if of is not None:
            self._surroundings.proxy(name, kind, of)
        self._surroundings.fanout(name, kind)  # it exists from now on
        return SharedObject(self._surroundings, name, kind)

    def clear_shared_objects(self, pattern: str = "*") -> int:
        """Empty all shared objects whose name matches (with "*" and "?"), temporary and persistent
        ones; persistent ones that nobody uses are deleted. Returns how many there were."""
        return self._surroundings.clear_shared_objects(pattern)

    async def committed(self) -> None:
        """Wait until everything done so far survives the loss of this origin. Should that stop
        serving meanwhile, this does not return: what awaits it is cancelled."""
        await self._surroundings.committed()

    def every(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]:
        """Run a function or coroutine function every so many seconds, the first time after as many,
        on the active origin only; returns how to stop it.

        A takeover and a reload stop it: call it in `on_app_start`, `on_promote` and `on_reload`. A
        coroutine that takes longer than that runs beside the next one.
        """
        return self._surroundings.every(seconds, run)

    def after(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]:
        """Run a function or coroutine function once, in so many seconds, on the active origin only;
        returns how to call it off. A takeover and a reload do so, too: what must happen then
        belongs into `self.vars`, for `on_promote` to see."""
        return self._surroundings.after(seconds, run)

    def connection(
        self, reconnect: bool = True, *, tls: SSLContext | Path | str | None = None
    ) -> NetConnection:
        """A NetConnection to another application, here or on another server: for calls to it, its
        shared objects and its streams. It is closed when the instance ends here."""
        return self._surroundings.connection(reconnect, tls)

    def stream(self, name: str) -> ServerStream:
        """The server-side stream of that name: to publish what others are, to record, to relay.

        It is of this process: begin it in `on_app_start` and in `on_promote`.
        """
        return self._surroundings.stream(name)

    async def on_app_start(self) -> None:
        """Runs once in the history of an instance, before its first client; not on takeovers."""

    async def on_promote(self) -> None:
        """This origin has taken over, and the instance goes on here: begin timers, connections,
        server-side streams and listeners of shared objects anew. Nobody comes in before it ends."""

    async def on_reload(self, old: Application) -> None:
        """A class that defines this is put in the place of the former one by `rtmp-sync reload`
        without disconnecting anybody; one that does not ends the instance.

        Called on the new object, on the standby's too. old: the object that served until now,
        whose timers and listeners have ended: begin here what is needed. What it raises before
        it first waits leaves the old one in place.
        """

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """A client asks to come in; raise Reject to refuse it, and any other error does so, too.
        Meanwhile it waits, and others do not."""

    async def on_disconnect(self, client: Client, reason: str) -> None:
        """A client is gone. reason: "closed" by itself or by `client.disconnect`, "lost", or
        "failover" for one of before a takeover: when it asks to come in again, which it does as
        another client, or when its time to do so is over. Its temporary objects stay that
        long."""

    async def on_publish(self, client: Client, request: StreamRequest) -> None:
        """A client asks to publish a stream; raise Reject to refuse it."""

    async def on_unpublish(self, client: Client, name: str) -> None:
        """A client publishes a stream no longer, also because its connection ended; not at a
        takeover: the publishers of before are gone with their origin."""

    async def on_play(self, client: Client, request: StreamRequest) -> None:
        """A client asks to play a stream; raise Reject to refuse it."""

    async def on_app_stop(self) -> None:
        """The instance ends: nobody used it for ten minutes."""
