"""The fold: a copy of the state = the Changes of its journal, applied one after the other.

`apply` is the only code that edits a copy, the same on both nodes. A well-formed Change
always applies: one that speaks of something that is not there is without effect, so two
copies that agreed before it agree after it.

Always holds: `digest()` equals `recompute_digest()`; two copies that applied the same
Changes have the same digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rtmp_sync.state import change as kinds
from rtmp_sync.state.calls import Begun, Session
from rtmp_sync.state.change import Change
from rtmp_sync.state.digest import MASK, finish_digest
from rtmp_sync.state.instance import Instance, RegisteredClient, client_mark
from rtmp_sync.state.journal import Journal
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import Snapshot

__all__ = ["LOSSY_VERSION_STEP", "Fold"]

# Bigger than what a client can have seen of one object before a failure was noticed.
LOSSY_VERSION_STEP: Final = 65_536

# Of objects, instances and sessions each: what `digest` has to count at one go, ~1 ms.
_MAX_DIRTY: Final = 256


class Fold:
    """Everything replicated. `ReplicatedState` adds who may change it, and how."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal if journal is not None else Journal()
        self.instances: dict[str, Instance] = {}
        self.sessions: dict[str, Session] = {}
        self.forgotten_highest = 0  # highest object version of instances that are gone
        self.skipped_in = 1  # the last epoch that began with a skip of versions, or the first
        self._snapshots: list[Snapshot] = []
        self._sum = 0
        self._dirty_objects: set[SharedObject] = set()
        self._dirty_instances: set[Instance] = set()
        self._dirty_sessions: set[Session] = set()

    def apply(self, change: Change) -> None:
        """Fold one Change, whose seq is the journal's head, into the state."""
        _FOLDS[change.kind](self, change)

    def _instance(self, scope: str) -> Instance:
        found = self.instances.get(scope)
        if found is None:
            found = self.instances[scope] = Instance(scope, self.forgotten_highest)
        self._touch_instance(found)
        return found

    def _editable(self, change: Change) -> SharedObject | None:
        """The object a Change speaks of, kept for running snapshots and to be counted again."""
        instance = self.instances.get(change.scope)
        obj = instance.objects.get(change.name) if instance is not None else None
        if instance is None or obj is None:
            return None
        for running in self._snapshots:
            running.keep(obj)
        self._touch_object(obj)
        self._touch_instance(instance)
        if change.version > instance.highest:
            instance.highest = change.version
        return obj

    def _object_created(self, change: Change) -> None:
        instance = self._instance(change.scope)
        if change.name in instance.objects:
            return
        obj = SharedObject(change.scope, change.name, change.version, change.version)
        instance.objects[change.name] = obj
        instance.highest = max(instance.highest, change.version)
        self._touch_object(obj)

    def _slot_set(self, change: Change) -> None:
        obj = self._editable(change)
        if obj is not None:
            obj.set(change.key, change.value, change.version)

    def _slot_deleted(self, change: Change) -> None:
        obj = self._editable(change)
        if obj is not None:
            obj.delete(change.key, change.version)

    def _cleared(self, change: Change) -> None:
        obj = self._editable(change)
        if obj is not None:
            obj.clear(change.version)

    def _object_gone(self, change: Change) -> None:
        obj = self._editable(change)
        if obj is not None:
            self._remove(self.instances[change.scope], obj)
            self._forget_if_empty(self.instances[change.scope])

    def _remove(self, instance: Instance, obj: SharedObject) -> None:
        obj.gone = True
        del instance.objects[obj.full_name]
        instance.add(-obj.header)
        self._dirty_objects.discard(obj)

    def _client_joined(self, change: Change) -> None:
        instance = self._instance(change.scope)
        self._drop_client(instance, change.name)
        client = RegisteredClient(change.value, self.journal.epoch)
        instance.clients[change.name] = client
        instance.add(client_mark(change.name, client))

    def _client_left(self, change: Change) -> None:
        if change.scope in self.instances:
            instance = self._instance(change.scope)
            self._drop_client(instance, change.name)
            self._forget_if_empty(instance)

    def _drop_client(self, instance: Instance, client_id: str) -> None:
        client = instance.clients.pop(client_id, None)
        if client is not None:
            instance.add(-client_mark(client_id, client))

    def _instance_started(self, change: Change) -> None:
        self._instance(change.scope).started = True

    def _instance_stopped(self, change: Change) -> None:
        if change.scope not in self.instances:
            return
        instance = self._instance(change.scope)
        instance.started = False
        for client_id in list(instance.clients):
            self._drop_client(instance, client_id)
        for obj in list(instance.objects.values()):
            if not obj.persistent:
                for running in self._snapshots:
                    running.keep(obj)
                self._remove(instance, obj)
        self._forget_if_empty(instance)

    def _forget_if_empty(self, instance: Instance) -> None:
        """Instance names are the clients' choice: nothing of an empty one may pile up."""
        if instance.empty:
            del self.instances[instance.scope]
            self._sum = (self._sum - instance.counted) & MASK
            self._dirty_instances.discard(instance)
            self.forgotten_highest = max(self.forgotten_highest, instance.highest)

    def _call_begun(self, change: Change) -> None:
        session = self.sessions.get(change.key)
        if session is None:
            session = self.sessions[change.key] = Session(change.key)
        self._touch_session(session)
        method = change.value.decode("utf-8", "replace")
        begun = Begun(change.scope, method, self.journal.epoch)
        session.begin(change.version, int(change.name), begun)

    def _call_finished(self, change: Change) -> None:
        session = self.sessions.get(change.key)
        if session is not None:
            self._touch_session(session)
            session.finish(change.version, change.value)

    def _session_gone(self, change: Change) -> None:
        session = self.sessions.pop(change.key, None)
        if session is not None:
            self._sum = (self._sum - session.counted) & MASK
            self._dirty_sessions.discard(session)

    def _epoch_started(self, change: Change) -> None:
        self.journal.start_epoch(change.version, change.name)
        if change.value != kinds.LOSSY:
            return
        # A step for each epoch since the last skip, so that every lossy epoch has versions of
        # its own: what is lost now may have skipped ahead itself, from an older copy than this.
        step = LOSSY_VERSION_STEP * max(1, change.version - self.skipped_in)
        self.skipped_in = change.version
        self.forgotten_highest += step
        for instance in self.instances.values():
            self._touch_instance(instance)
            instance.highest += step
            for obj in instance.objects.values():
                for running in self._snapshots:
                    running.keep(obj)
                self._touch_object(obj)
                obj.skip(step)

    # Whole copies

    def replace(self, copy: Fold) -> None:
        """Hold what another copy holds, which is used up by it."""
        self.instances = copy.instances
        self.sessions = copy.sessions
        self.forgotten_highest = copy.forgotten_highest
        self.skipped_in = copy.skipped_in
        self._sum = copy._sum
        self._dirty_objects = copy._dirty_objects
        self._dirty_instances = copy._dirty_instances
        self._dirty_sessions = copy._dirty_sessions
        copy.instances, copy.sessions = {}, {}
        copy._dirty_objects, copy._dirty_instances, copy._dirty_sessions = set(), set(), set()
        self.journal.restart(
            history_id=copy.journal.history_id,
            previous=copy.journal.previous,
            epoch=copy.journal.epoch,
            head=copy.journal.head,
        )

    def adopt_instance(self, instance: Instance) -> Instance:
        self._touch_instance(instance)
        self.instances[instance.scope] = instance
        return instance

    def adopt_object(self, instance: Instance, obj: SharedObject) -> SharedObject:
        self._touch_object(obj)
        instance.objects[obj.full_name] = obj
        return obj

    def adopt_session(self, session: Session) -> None:
        self._touch_session(session)
        self.sessions[session.key] = session

    # The digest

    def digest(self) -> bytes:
        """16 bytes over everything replicated, counted from what changed since the last one."""
        self._count_objects()
        self._count_instances()
        self._count_sessions()
        journal = self.journal
        line = (self.forgotten_highest, self.skipped_in)
        return finish_digest(self._sum, line, journal.epoch, journal.history_id)

    def recompute_digest(self) -> bytes:
        """The same from nothing but the entries: slow, for tests. An audit is `Snapshot`'s."""
        snapshot = Snapshot(self, [])
        for _ in snapshot.chunks():
            pass
        return snapshot.digest

    def correct(self, snapshot: Snapshot) -> list[str]:
        """Make the digest that of the entries, after a snapshot was read to its end.

        Returns what the digest was wrong about: something changed it behind the fold's back.
        """
        if snapshot.digest == snapshot.header.digest:
            return []
        for frozen, counted in snapshot.wrong_objects:
            if not frozen.source.gone:
                for running in self._snapshots:  # they cut it as it was counted till now
                    running.keep(frozen.source)
                self._touch_object(frozen.source)
                frozen.source.correct(frozen, counted)
        for instance, missing, recounts in snapshot.wrong_instances:
            if self.instances.get(instance.scope) is instance:
                self._touch_instance(instance)
                instance.correct(missing, recounts)
        for session in snapshot.wrong_sessions:
            if self.sessions.get(session.key) is session:
                self._touch_session(session)
        self._sum_up()
        objects = [
            f"{one.source.scope} {one.source.full_name}" for one, _ in snapshot.wrong_objects
        ]
        clients = [f"{instance.scope} clients" for instance, *_ in snapshot.wrong_instances]
        sessions = [f"session {one.key}" for one in snapshot.wrong_sessions]
        return objects + clients + sessions or ["the sums"]

    def _sum_up(self) -> None:
        """Count what is above the objects, clients and sessions from nothing."""
        self._sum = sum(session.counted for session in self.sessions.values()) & MASK
        for instance in self.instances.values():
            instance.counted = 0
        self._dirty_instances.update(self.instances.values())

    # Something is about to change: it has to be counted again. Never more than a slice's worth.

    def _touch_object(self, obj: SharedObject) -> None:
        if len(self._dirty_objects) >= _MAX_DIRTY:
            self._count_objects()
        self._dirty_objects.add(obj)

    def _touch_instance(self, instance: Instance) -> None:
        if len(self._dirty_instances) >= _MAX_DIRTY:
            self._count_instances()
        self._dirty_instances.add(instance)

    def _touch_session(self, session: Session) -> None:
        for running in self._snapshots:
            running.keep_session(session)
        if len(self._dirty_sessions) >= _MAX_DIRTY:
            self._count_sessions()
        self._dirty_sessions.add(session)

    def _count_objects(self) -> None:
        for obj in self._dirty_objects:
            new = obj.count_header()
            instance = self.instances[obj.scope]
            instance.add(new - obj.header)
            self._dirty_instances.add(instance)
            obj.header = new
        self._dirty_objects.clear()

    def _count_instances(self) -> None:
        for instance in self._dirty_instances:
            new = instance.count()
            self._sum = (self._sum + new - instance.counted) & MASK
            instance.counted = new
        self._dirty_instances.clear()

    def _count_sessions(self) -> None:
        for session in self._dirty_sessions:
            new = session.count()
            self._sum = (self._sum + new - session.counted) & MASK
            session.counted = new
        self._dirty_sessions.clear()


# By function, not by bound method: a copy that is dropped is gone at once, not when some
# cycle of references is collected.
_FOLDS: Final[dict[int, Callable[[Fold, Change], None]]] = {
    kinds.OBJECT_CREATED: Fold._object_created,
    kinds.SLOT_SET: Fold._slot_set,
    kinds.SLOT_DELETED: Fold._slot_deleted,
    kinds.CLEARED: Fold._cleared,
    kinds.OBJECT_GONE: Fold._object_gone,
    kinds.CLIENT_JOINED: Fold._client_joined,
    kinds.CLIENT_LEFT: Fold._client_left,
    kinds.INSTANCE_STARTED: Fold._instance_started,
    kinds.INSTANCE_STOPPED: Fold._instance_stopped,
    kinds.CALL_BEGUN: Fold._call_begun,
    kinds.CALL_FINISHED: Fold._call_finished,
    kinds.SESSION_GONE: Fold._session_gone,
    kinds.EPOCH_STARTED: Fold._epoch_started,
}
