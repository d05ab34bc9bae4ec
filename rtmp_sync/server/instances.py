"""All instances of an origin: which application a name means, when an instance ends.

first client   ─► start (on_app_start), once the instance before it has stopped
nobody for IDLE_SECONDS ─► stop (on_app_stop)
promotion      ─► go_on (on_promote), its clients are orphans for `reconnect_grace`
lost client    ─► temporary objects wait as long for one that may come back
demotion       ─► let_go: the instance lives on elsewhere, nothing is changed here
replayed call  ─► standby: an application object without hooks and timers, until a promotion
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count

import structlog

from rtmp_sync.app import Application, Client
from rtmp_sync.config import Config
from rtmp_sync.plugins import Loaded
from rtmp_sync.server.application_code import ApplicationCode, Mark
from rtmp_sync.server.client_info import client_of, info_of, session_key_in
from rtmp_sync.server.http_hooks import HttpHooks
from rtmp_sync.server.instance import Instance, Serving
from rtmp_sync.server.object_limits import ObjectLimits
from rtmp_sync.server.overdue import Overdue
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.reload import follow
from rtmp_sync.server.replays import Replays
from rtmp_sync.server.stream_keys import StreamKeys
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.turn import Turn
from rtmp_sync.server.warm_streams import WarmStreams
from rtmp_sync.server.whitelists import Access, Whitelists
from rtmp_sync.wire.limits import Limits
from rtmp_sync.wire.records import Replay

__all__ = ["DEFAULT_INSTANCE", "Instances", "split_app"]

DEFAULT_INSTANCE = "_definst_"
IDLE_SECONDS = 600.0  # as FMS's MaxAppIdleTime


def split_app(app: str) -> tuple[str, str]:
    """(application, instance) of connect's `app`, which may carry a query."""
    path = app.partition("?")[0].strip("/")
    name, _, instance = path.partition("/")
    return name, instance.strip("/") or DEFAULT_INSTANCE


class Instances:
    """applications: by name, as `plugins.load_applications` has them."""

    def __init__(
        self,
        turn: Turn,
        tasks: Tasks,
        config: Config,
        applications: Mapping[str, Loaded],
        recordings: Recordings,
    ) -> None:
        self.slept: Callable[[], bool] = lambda: False  # whether this origin did not run just now
        self._turn = turn
        self._tasks = tasks
        self._config = config
        self._recordings = recordings
        self.hooks = HttpHooks(config.hooks)
        self._log = structlog.get_logger("rtmp_sync.app")
        # with one of its own, a single origin that was restarted waits until it is forgotten
        self._relay_secret = config.secrets()[0] if config.is_pair else secrets.token_bytes(32)
        classes = {name: one.application for name, one in applications.items()}
        self.whitelists = Whitelists(turn, config, classes)
        self.code = ApplicationCode(turn, config, applications)
        self.warm = WarmStreams(
            enabled=config.replication.warm_streams, gop_cache_bytes=config.rtmp.gop_cache_bytes
        )
        self._serving = {
            name: self._serve(name, self.whitelists.access(name)) for name in applications
        }
        timeout = config.timing().ack_timeout if config.replication.mode == "strict" else None
        self._overdue = Overdue(turn, timeout)
        self.replays = Replays(self._standby_application, partial(follow, self), tasks.steps)
        self._instances: dict[str, Instance] = {}
        self._stopping: dict[str, Instance] = {}  # whose on_app_stop runs
        # those that replayed calls; None: its object cannot be made
        self._standing_by: dict[str, Instance | None] = {}
        self._behind: dict[str, Mark] = {}  # reloads that this standby has not done
        self.reloading = asyncio.Lock()  # an older file does not go over a newer one
        self._client_numbers = count(1)
        self._idle: dict[str, asyncio.TimerHandle] = {}
        self._orphans: dict[tuple[str, bytes], str] = {}  # (scope, session key) -> client id
        self._grace: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Instance]:
        return iter(list(self._instances.values()))

    def __len__(self) -> int:
        return len(self._instances)

    @property
    def serves(self) -> bool:
        """Whether this origin is the active one."""
        return self._turn.authorised

    @property
    def applications(self) -> list[str]:
        """The names of all applications, whether anybody uses them or not."""
        return sorted(self._serving)

    def running(self, scope: str) -> Instance | None:
        """The instance of that scope ("app/instance"), if it runs here."""
        found = self._instances.get(scope)
        return None if found is None or found.stopped else found

    def serving(self, app_name: str) -> Serving | None:
        """The application of that name, if there is one."""
        return self._serving.get(app_name)

    async def version(self, app_name: str, application: type[Application]) -> Serving:
        """An application as other code of it would be served. Raises ConfigError."""
        return self._serve(app_name, await self.whitelists.made_for(app_name, application))

    def adopt(self, serving: Serving, loaded: Loaded) -> None:
        """New instances of the application are of this code from now on."""
        self.code.adopt(serving.name, loaded)
        self.whitelists.adopt(serving.name, serving.access)
        self._serving[serving.name] = serving

    def follow_code(self) -> None:
        """On a standby, now and then: do what the pair did to its code while this origin was
        away. What has only just been done comes with the calls, in its place among them."""
        behind = self.code.behind()
        for app, mark in behind.items():
            if self._behind.get(app) == mark:
                self.replays.begin(Replay(0, app, b"", "", mark.packed))
        self._behind = behind

    def standing_by(self, app_name: str) -> list[Instance]:
        """Those of an application that replay calls here, on a standby."""
        kept = self._standing_by.values()
        return [one for one in kept if one is not None and one.app_name == app_name]

    def forget(self, scope: str) -> None:
        """On a standby, the next replayed call of an instance makes a new object."""
        self._standing_by.pop(scope, None)

    def get(self, serving: Serving, name: str) -> Instance | None:
        """The running instance, started if need be; await its `ready`. Raises Deposed.

        None when the application object cannot be made.
        """
        scope = f"{serving.name}/{name}"
        found = self._instances.get(scope)
        if found is None or found.stopped:
            found = self._made(serving, name)
            if found is None:
                return None
            if scope not in self._stopping:
                found.start()
            self._instances[scope] = found
        self._watch_idle(found)  # who comes now may be refused
        return found

    def _made(self, serving: Serving, name: str, *, standby: bool = False) -> Instance | None:
        """A new instance; None when the application's own `__init__` fails."""
        try:
            made = Instance(serving, name, self._turn, self._tasks, self._overdue, standby=standby)
        except Exception as error:  # the application's own: a takeover goes on without it
            instance = f"{serving.name}/{name}"
            self._log.error("hook_failed", instance=instance, hook="__init__", exc_info=error)
            return None
        made.live.on_begun = partial(self.warm.begin, made.scope, made.live)
        made.live.on_ending = partial(self.warm.end, made.scope)
        return made

    def _standby_application(self, scope: str) -> Application | None:
        """The application of an instance that the active origin has, to replay a call."""
        stored = self._turn.state.instances
        serving = self._serving.get(scope.partition("/")[0])
        if self._turn.authorised or serving is None or scope not in stored:
            return None
        if scope not in self._standing_by:
            for gone in self._standing_by.keys() - stored.keys():
                del self._standing_by[gone]
            name = scope.partition("/")[2]
            self._standing_by[scope] = self._made(serving, name, standby=True)
        found = self._standing_by[scope]
        return found.application if found is not None else None

    # Clients

    def new_client_id(self) -> str:
        """An id that no other client of the pair has or had."""
        return f"{self._turn.authority.epoch}-{next(self._client_numbers)}"

    def returned(self, instance: Instance, session_key: bytes | None) -> None:
        """Somebody asks to come in: if it is a client of before a takeover, the one that it was
        is gone now. Its temporary objects stay for it. Raises Deposed."""
        orphan_id = self._orphans.pop((instance.scope, session_key or b""), None)
        if orphan_id is not None:
            self._end_orphan(instance.scope, orphan_id)

    def join(self, instance: Instance, client: Client, session_key: bytes | None) -> None:
        """An accepted client is in. Raises Deposed."""
        self.register(instance, client, session_key)
        self.enter(instance, client)

    def register(self, instance: Instance, client: Client, session_key: bytes | None) -> None:
        """The pair knows of a client: after a takeover it is an orphan. Raises Deposed."""
        state = self._turn.writable()
        state.join_client(instance.scope, client.id, info_of(client, session_key))

    def enter(self, instance: Instance, client: Client) -> None:
        """An accepted client is in on this origin, whether the pair knows of it or not."""
        instance.clients[client.id] = client
        instance.tally.connects += 1
        idle = self._idle.pop(instance.scope, None)
        if idle is not None:
            idle.cancel()

    def leave(self, instance: Instance, client: Client, reason: str) -> None:
        """A client is gone. Without authority it is the next origin's orphan."""
        instance.serving.access.rates.forget(client.id)
        if instance.clients.pop(client.id, None) is None or instance.stopped:
            return
        if not self._turn.authorised:
            return
        state = self._turn.writable()
        stored = state.instances.get(instance.scope)
        if stored is not None and client.id in stored.clients:
            state.leave_client(instance.scope, client.id)
        instance.disconnected(client, reason)
        self._watch_idle(instance)

    # The origin's life

    def promote(self) -> None:
        """Go on with every instance that had been started. Raises Deposed."""
        self.whitelists.promote()
        self.code.promote()
        for scope, stored in list(self._turn.state.instances.items()):
            app_name, _, name = scope.partition("/")
            serving = self._serving.get(app_name)
            if serving is None or not stored.started:
                continue
            instance = self._standing_by.pop(scope, None) or self._made(serving, name)
            if instance is None:
                continue  # its next client is another try
            self._instances[scope] = instance
            instance.go_on(self.warm.take(scope))
            self._watch_idle(instance)
        self._standing_by.clear()
        for app_name, serving in self._serving.items():
            for name in self._config.apps.section(app_name).start:
                self.get(serving, name)
        for scope, client_id, info in self._turn.state.orphans():
            if session_key := session_key_in(info):
                self._orphans[scope, session_key] = client_id
        grace = self._config.replication.reconnect_grace
        self._grace = asyncio.get_running_loop().call_later(grace, self._end_grace)

    def demote(self) -> None:
        """Let go of everything; nothing of the replicated state is touched."""
        self.replays.cancel()
        self._overdue.clear()
        for handle in self._idle.values():
            handle.cancel()
        self._idle.clear()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._orphans.clear()
        self._stopping.clear()
        for instance in self._instances.values():
            instance.let_go()
        self._instances.clear()

    def retire(self, instance: Instance) -> bool:
        """Who comes from now on gets another instance, which starts once this one has ended
        (`end`). False: it is not in use, for one before it still ends. Raises Deposed."""
        self._turn.writable()
        scope = instance.scope
        if scope in self._stopping or self._instances.get(scope) is not instance:
            return False
        if (idle := self._idle.pop(scope, None)) is not None:
            idle.cancel()
        del self._instances[scope]
        self._stopping[scope] = instance
        return True

    def end(self, instance: Instance) -> None:
        """Stop an instance that was retired and has no clients any more."""
        if self._stopping.get(instance.scope) is instance:
            instance.stop(lambda: self._end_state(instance))
        else:  # this origin let go of everything else meanwhile
            instance.let_go()

    def _watch_idle(self, instance: Instance) -> None:
        if instance.clients or self._instances.get(instance.scope) is not instance:
            return
        if (former := self._idle.pop(instance.scope, None)) is not None:
            former.cancel()
        loop = asyncio.get_running_loop()
        self._idle[instance.scope] = loop.call_later(IDLE_SECONDS, self._end_idle, instance)

    def _end_idle(self, instance: Instance) -> None:
        self._idle.pop(instance.scope, None)
        if instance.clients:
            return
        if instance.at_work or instance.name in self._config.apps.section(instance.app_name).start:
            self._watch_idle(instance)
            return
        del self._instances[instance.scope]
        if not instance.stopped:  # as one that could not be started is
            self._stopping[instance.scope] = instance
            instance.stop(lambda: self._end_state(instance))

    def _end_state(self, instance: Instance) -> None:
        """An instance has stopped, and its temporary state goes; the next one may start."""
        scope = instance.scope
        if self._stopping.get(scope) is not instance:
            return  # this origin let go of it meanwhile
        del self._stopping[scope]
        if not self._turn.authorised:
            return
        self._turn.writable().stop_instance(scope)
        if (following := self._instances.get(scope)) is not None:
            following.start()

    def _end_grace(self) -> None:
        """Clients of before the takeover that did not come back are gone now."""
        self._grace = None
        self._orphans.clear()
        if not self._turn.authorised:
            return
        for scope, client_id, _ in self._turn.state.orphans():
            self._end_orphan(scope, client_id)

    def _end_orphan(self, scope: str, client_id: str) -> None:
        state = self._turn.writable()
        info = state.instances[scope].clients[client_id].info
        state.leave_client(scope, client_id)
        instance = self._instances.get(scope)
        if instance is not None:
            instance.disconnected(client_of(client_id, info), "failover")

    # Configuration

    def _serve(self, name: str, access: Access) -> Serving:
        section = self._config.apps.section(name)
        public_types = section.public_types
        if public_types is None:
            public_types = list(access.application.public_types)
        rtmp = self._config.rtmp
        return Serving(
            name,
            access.application,
            access,
            frozenset(public_types),
            self._config.application_object,
            Limits(max_depth=rtmp.max_depth, max_values=rtmp.max_values),
            rtmp.gop_cache_bytes,
            self._config.replication.reconnect_grace,
            {
                act: StreamKeys(path, f"apps.{name}.{act}_keys")
                for act, path in (("publish", section.publish_keys), ("play", section.play_keys))
                if path is not None
            },
            self.hooks,
            self._recordings,
            section.call_timeout,
            section.relays,
            self._relay_secret,
            ObjectLimits(section.max_shared_objects, section.max_slots, section.max_object_bytes),
            self._config.apps.bandwidth_limit(name),
        )
