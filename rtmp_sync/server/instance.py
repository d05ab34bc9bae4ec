"""One application instance at work: `rtmp://host/app/instance` on the active origin.

Its replicated part (shared objects, variables, who is connected) is in the state; this is
the rest: the application object, the connected clients, live streams, timers. After a
takeover an instance that had been started goes on: `on_promote`, never `on_app_start`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

import structlog

from rtmp_sync.app import Application, Client
from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.config_apps import RelaySection
from rtmp_sync.server.calls import Calls
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.client_tls import Trust
from rtmp_sync.server.fanout import Fanout
from rtmp_sync.server.http_hooks import HttpHooks
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.object_limits import ObjectLimits
from rtmp_sync.server.overdue import Overdue
from rtmp_sync.server.recorded import RecordedStreams
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.relay_keys import RelayKeys
from rtmp_sync.server.relays import Relays
from rtmp_sync.server.running_calls import RunningCalls
from rtmp_sync.server.server_stream import ServerStream, ServerStreams
from rtmp_sync.server.shared_objects import SharedObjects
from rtmp_sync.server.standby_object import REPLAYING, Settings, StandbyObject
from rtmp_sync.server.stream_keys import StreamKeys
from rtmp_sync.server.stream_registry import StreamRegistry
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.traffic import Tally, Traffic
from rtmp_sync.server.turn import Turn
from rtmp_sync.server.whitelists import Access
from rtmp_sync.state.live_stream import LiveStream
from rtmp_sync.storage.media_folders import NameRefused
from rtmp_sync.storage.recorder import Take
from rtmp_sync.storage.recording import Recording
from rtmp_sync.wire.limits import Limits

__all__ = ["Instance", "Serving"]


class Serving(NamedTuple):
    """One application as this origin serves it. config: the `[application_object]`.
    grace_seconds: that lost clients have to come back. stream_keys: for "publish" and "play",
    where the configuration has some. hooks: web addresses that are asked. recordings: this
    origin's. call_timeout: seconds that a method may run. relays: that its instances have.
    relay_secret: what their keys are made of. bandwidth_limit: that its clients begin with."""

    name: str
    application: type[Application]
    access: Access
    public_types: frozenset[str]
    config: Mapping[str, Any]
    limits: Limits
    gop_cache_bytes: int
    grace_seconds: float
    stream_keys: Mapping[str, StreamKeys]
    hooks: HttpHooks
    recordings: Recordings
    call_timeout: float
    relays: Sequence[RelaySection]
    relay_secret: bytes
    object_limits: ObjectLimits
    bandwidth_limit: BandwidthLimit


class Instance:
    """The surroundings of one application object (see `app.Surroundings`).

    standby: it only replays calls: no clients, no hooks and no timers until `go_on`, and writes
    do nothing.
    """

    def __init__(
        self,
        serving: Serving,
        name: str,
        turn: Turn,
        tasks: Tasks,
        overdue: Overdue,
        *,
        standby: bool = False,
    ) -> None:
        self.serving = serving
        self.app_name = serving.name
        self.name = name
        self.scope = f"{serving.name}/{name}"
        self.config = serving.config
        self.log = structlog.get_logger("rtmp_sync.app").bind(instance=self.scope)
        self.shared_objects = SharedObjects(
            turn, self.scope, serving.grace_seconds, serving.object_limits
        )
        self.registry = StreamRegistry(
            turn,
            self.scope,
            self.shared_objects.fanout,
            grace_seconds=serving.grace_seconds,
            wall=time.time,
        )
        self.recorded = RecordedStreams(turn)
        self.live = LiveStreams(
            turn,
            self.registry,
            serving.recordings,
            gop_cache_bytes=serving.gop_cache_bytes,
            on_unpublished=self._unpublished,
            relay_keys=RelayKeys(serving.relay_secret, self.scope),
        )
        self.relays = Relays(self.live, name, serving.relays)
        self._streams = ServerStreams(self)
        # Whether clients may come in; False when on_app_start failed or the origin let go.
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.stopped = False
        self.launched = time.time()  # here: wall time in seconds
        self.tally = Tally()
        self._clients: dict[str, Client] = {}
        self._turn = turn
        self._tasks = tasks
        self._timers: set[Callable[[], None]] = set()
        self._standby = standby
        self._connections: WeakSet[NetConnection] = WeakSet()  # the application's, to others
        self._settings: Settings = {}  # of shared objects, for when it is active
        self.application: Application = tasks.call(serving.application, self)
        self.calls = Calls(
            turn,
            tasks,
            overdue,
            self.scope,
            self.application,
            serving.access,
            serving.limits,
            RunningCalls(serving.call_timeout, self.log),
        )

    @property
    def clients(self) -> dict[str, Client]:
        """Everyone connected, by client id."""
        return self._clients

    @property
    def traffic(self) -> Traffic:
        """Of all connections since it began here."""
        total = Traffic()
        for one in (self.tally.ended, *(client.traffic for client in self._clients.values())):
            total.add(one)
        return total

    @property
    def at_work(self) -> bool:
        """Whether something goes on that is no client's: it does not end for having none."""
        return self.live.in_use or self._streams.at_work

    # Life

    def start(self) -> None:
        """Run `on_app_start`; `ready` then says how it went. Raises Deposed."""
        self._turn.writable().start_instance(self.scope)

        def started(_: object, error: BaseException | None) -> None:
            self._report("on_app_start", error)
            if error is None:
                self._open()
                return
            self.let_go()
            if self._turn.authorised:  # the next client is another try
                self._turn.writable().stop_instance(self.scope)

        self._tasks.start(self.application.on_app_start(), started)

    def go_on(self, streams: Sequence[LiveStream] = ()) -> None:
        """Run `on_promote`: this origin has taken over and the instance lives on. streams: what
        those of another origin showed last, to be shown if their publishers may come back."""
        self._standby = False
        self.shared_objects.inherit()
        self.registry.inherit()
        for (name, kind), settings in self._settings.items():
            fanout = self.fanout(name, kind)
            assert isinstance(fanout, Fanout)  # this origin is the active one now
            fanout.settings = settings
        self._settings.clear()
        for stream in streams:  # before the application makes use of them
            if self.registry.continues(stream.name) is not None:
                self.live.expect(stream, self.serving.grace_seconds)

        def promoted(_: object, error: BaseException | None) -> None:
            self._report("on_promote", error)
            self._open()

        self._tasks.start(self.application.on_promote(), promoted)

    def replace(self, serving: Serving) -> None:
        """Go on with an object of the application's new code; clients, objects and streams stay.

        Raises what the code raises in `__init__`, or in `on_reload` before it first waits; then
        the former object goes on as if nothing had been.
        """
        timers, self._timers = self._timers, set()
        waiting = self._settings  # a standby's
        self._settings = {key: one.of_nobody() for key, one in waiting.items()}
        settings = self.shared_objects.exchange_settings({})
        try:
            application: Application = self._tasks.call(serving.application, self)
            self._tell_reloaded(application)
        except BaseException:
            for cancel in list(self._timers):
                cancel()
            self._timers, self._settings = timers, waiting
            self.shared_objects.exchange_settings(settings)
            raise
        for cancel in list(timers):
            cancel()
        self.application, self.serving = application, serving
        self.calls.serve(application, serving.access)

    def _tell_reloaded(self, application: Application) -> None:
        raised: list[BaseException | None] = []
        replaced = False

        def reloaded(_: object, error: BaseException | None) -> None:
            if replaced:
                self._report("on_reload", error)
            else:
                raised.append(error)

        self._tasks.start(application.on_reload(self.application), reloaded)
        replaced = True
        for error in raised:
            if error is not None:
                raise error

    def stop(self, stopped: Callable[[], None]) -> None:
        """End the instance: `on_app_stop`, then `stopped`."""
        self.let_go()

        def gone(_: object, error: BaseException | None) -> None:
            self._report("on_app_stop", error)
            stopped()

        self._tasks.start(self.application.on_app_stop(), gone)

    def let_go(self) -> None:
        """This origin serves the instance no longer: stop what runs by itself."""
        self.stopped = True
        for cancel in list(self._timers):
            cancel()
        for connection in list(self._connections):
            self._tasks.start(connection.close(), self._reporter("connection"))
        self.registry.let_go()
        self._streams.let_go()
        self.relays.let_go()
        self.live.let_go()
        self.shared_objects.let_go()
        if not self.ready.done():
            self.ready.set_result(False)

    def disconnected(self, client: Client, reason: str) -> None:
        """Tell the application that a client is gone."""
        client.unlink()  # also one that was accepted and had gone before it was in
        done = self._reporter("on_disconnect")
        self._tasks.start(self.application.on_disconnect(client, reason), done)

    def _unpublished(self, client: Client, name: str) -> None:
        if self.stopped or not self._turn.authorised:
            return  # the next origin has nobody who published
        done = self._reporter("on_unpublish")
        self._tasks.start(self.application.on_unpublish(client, name), done)

    # What the application reaches

    @property
    def active(self) -> bool:
        """False for the application on a standby, and in a call that began there."""
        return not (self._standby or REPLAYING.get())

    def fanout(self, name: str, kind: str) -> Fanout | StandbyObject:
        """A shared object, held by the application from now on. Raises Deposed."""
        if self._standby or REPLAYING.get():  # as `active`: each look at an object comes here
            return StandbyObject(self._turn.state, self.scope, name, kind, self._settings)
        fanout = self.shared_objects.fanout(name, kind)
        if not fanout.pinned:
            self.shared_objects.hold(fanout)
        fanout.run = self._run_listener
        return fanout

    def proxy(self, name: str, kind: str, of: NetConnection) -> None:
        """Have a shared object be that of another application. Raises Deposed, and RuntimeError
        for one that is locked."""
        if self.active:
            self.shared_objects.proxy(name, kind, of)

    def release(self, name: str, kind: str) -> None:
        """The application holds a shared object no longer. Raises Deposed."""
        if self.active:
            self.shared_objects.let(name, kind)

    def clear_shared_objects(self, pattern: str) -> int:
        """Empty those whose name matches; how many. Raises Deposed."""
        return self.shared_objects.clear(pattern) if self.active else 0

    async def committed(self) -> None:
        """Wait until all Changes made so far may be shown."""
        if not self.active:
            return  # what is replayed is committed
        await self._turn.committed()

    def every(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]:
        """Run something every so often until cancelled or let go; never on a standby."""
        if not self.active:
            return lambda: None
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def cancel() -> None:
            self._timers.discard(cancel)
            if handle is not None:
                handle.cancel()

        def tick() -> None:
            nonlocal handle
            handle = loop.call_later(seconds, tick)
            self._run_timer(run, "every")

        self._timers.add(cancel)
        handle = loop.call_later(seconds, tick)
        return cancel

    def after(self, seconds: float, run: Callable[[], object]) -> Callable[[], None]:
        """Run something once, unless it is called off or this origin lets go; never on a
        standby."""
        if not self.active:
            return lambda: None

        def cancel() -> None:
            self._timers.discard(cancel)
            handle.cancel()

        def ring() -> None:
            self._timers.discard(cancel)
            self._run_timer(run, "after")

        self._timers.add(cancel)
        handle = asyncio.get_running_loop().call_later(seconds, ring)
        return cancel

    def connection(self, reconnect: bool, tls: Trust | str) -> NetConnection:
        """A connection of the application's to another one, until the instance ends here."""
        made = NetConnection(reconnect, tls=tls)
        self._connections.add(made)
        return made

    def stream(self, name: str) -> ServerStream:
        """A server-side stream, the same one each time."""
        return self._streams.get(name)

    # What server-side streams reach

    def played_by(self, name: str) -> str | None:
        """What the server-side stream of that name plays now."""
        return self._streams.played_by(name)

    async def recording_of(self, name: str) -> Recording | None:
        """A recording of this instance; None if there is none. Raises OSError and
        RemoteProtocolError."""
        try:
            return await self.serving.recordings.find(self.app_name, self.name, name)
        except NameRefused:
            return None

    async def place_of(self, name: str, kind: str) -> Take:
        """Where to record ("record", "append") a stream. Raises NameRefused."""
        continued = self.registry.inherited(name)
        return await self.serving.recordings.prepare(
            self.app_name, self.name, name, kind, continued
        )

    def run(self, coroutine: Coroutine[Any, Any, object], what: str) -> None:
        """Have something of the application's run. what: named if it fails."""
        self._tasks.start(coroutine, self._reporter(what))

    def report(self, what: str, error: Exception) -> None:
        """Something of the application's failed."""
        self._report(what, error)

    def _run_timer(self, run: Callable[[], object], what: str) -> None:
        try:
            result = self._tasks.call(run)
        except Exception as error:  # the application's; its next tick may do better
            self._report(what, error)
            return
        if asyncio.iscoroutine(result):
            self._tasks.start(result, self._reporter(what))

    def _run_listener(self, listener: Callable[..., object], *said: object) -> None:
        result = self._tasks.call(listener, *said)
        if asyncio.iscoroutine(result):
            self._tasks.start(result, self._reporter("listener"))

    def _open(self) -> None:
        if not self.ready.done():
            self.ready.set_result(True)

    def _reporter(self, hook: str) -> Callable[[object, BaseException | None], None]:
        return lambda _, error: self._report(hook, error)

    def _report(self, hook: str, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self.log.error("hook_failed", hook=hook, exc_info=error)
