"""The fold: state = the Changes of the journal, applied one after the other.

`apply` is the only code that edits the state, the same on both nodes. The active's mutators
make a Change, append it to the journal and apply it; the standby applies the batches that
arrive. A well-formed Change always applies: one that speaks of something that is not there
is without effect, so two copies that agreed before it agree after it.

Always holds: `digest()` equals `recompute_digest()`; two copies that applied the same
Changes have the same digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.state import change as kinds
from rtmp_sync.state.calls import MAX_SESSIONS, CallState, Session, SessionAges, check_numbers
from rtmp_sync.state.change import Change, check_size
from rtmp_sync.state.digest import MASK, mark
from rtmp_sync.state.instance import Instance, RegisteredClient, client_mark
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import Snapshot

# Bigger than what a client can have seen of one object before a failure was noticed.
LOSSY_VERSION_STEP: Final = 65_536


class ReplicatedState:
    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal if journal is not None else Journal()
        self.instances: dict[str, Instance] = {}
        self.sessions: dict[str, Session] = {}
        self.forgotten_highest = 0  # highest object version of instances that are gone
        self.temporary_stale = False  # loaded from disk too late for its temporary part
        self._ages = SessionAges()
        self._snapshots: list[Snapshot] = []
        self._sum = 0
        self._dirty_objects: set[SharedObject] = set()
        self._dirty_instances: set[Instance] = set()
        self._dirty_sessions: set[Session] = set()
        self._folds: dict[int, Callable[[Change], None]] = {
            kinds.OBJECT_CREATED: self._object_created,
            kinds.SLOT_SET: self._slot_set,
            kinds.SLOT_DELETED: self._slot_deleted,
            kinds.CLEARED: self._cleared,
            kinds.OBJECT_GONE: self._object_gone,
            kinds.CLIENT_JOINED: self._client_joined,
            kinds.CLIENT_LEFT: self._client_left,
            kinds.INSTANCE_STARTED: self._instance_started,
            kinds.INSTANCE_STOPPED: self._instance_stopped,
            kinds.CALL_BEGUN: self._call_begun,
            kinds.CALL_FINISHED: self._call_finished,
            kinds.SESSION_GONE: self._session_gone,
            kinds.EPOCH_STARTED: self._epoch_started,
        }

    # Reading

    @property
    def empty(self) -> bool:
        """Whether this copy never was part of any epoch."""
        return self.journal.epoch == 0

    def find(self, scope: str, name: str, kind: str) -> SharedObject | None:
        """The object if it exists. kind: "P", "T" or "V"."""
        instance = self.instances.get(scope)
        return instance.objects.get(f"{kind}:{name}") if instance is not None else None

    def orphans(self) -> list[tuple[str, str, bytes]]:
        """(scope, client id, info) of the clients that joined before the current epoch."""
        epoch = self.journal.epoch
        return [
            (instance.scope, client_id, client.info)
            for instance in self.instances.values()
            for client_id, client in instance.clients.items()
            if client.epoch < epoch
        ]

    def call_outcome(self, session: bytes, number: int) -> CallState | bytes | None:
        """None: never begun. BEGUN: running, or interrupted by a takeover. bytes: the result.

        Raises RemoteProtocolError for a number that the client had declared closed.
        """
        known = self.sessions.get(session.hex())
        return known.outcome(number) if known is not None else None

    # The active's mutators

    def shared_object(self, scope: str, name: str, kind: str) -> SharedObject:
        """The object, created empty if absent. kind: "P", "T" or "V"."""
        found = self.find(scope, name, kind)
        if found is not None:
            return found
        instance = self.instances.get(scope)
        highest = instance.highest if instance is not None else self.forgotten_highest
        full_name = f"{kind}:{name}"
        self._commit(Change(kinds.OBJECT_CREATED, scope, full_name, "", b"", highest + 1))
        return self.instances[scope].objects[full_name]

    def next_version(self, obj: SharedObject) -> int:
        """The version for the next message's changes; several changes may share it."""
        return obj.version + 1

    def set_slot(self, obj: SharedObject, key: str, raw: bytes, version: int) -> None:
        """Set a slot to AMF bytes. Raises LocalProtocolError when it is too big to replicate."""
        _check_alive(obj)
        self._commit(Change(kinds.SLOT_SET, obj.scope, obj.full_name, key, raw, version))

    def delete_slot(self, obj: SharedObject, key: str, version: int) -> None:
        _check_alive(obj)
        self._commit(Change(kinds.SLOT_DELETED, obj.scope, obj.full_name, key, b"", version))

    def clear(self, obj: SharedObject, version: int) -> None:
        _check_alive(obj)
        self._commit(Change(kinds.CLEARED, obj.scope, obj.full_name, "", b"", version))

    def destroy(self, obj: SharedObject) -> None:
        _check_alive(obj)
        self._commit(Change(kinds.OBJECT_GONE, obj.scope, obj.full_name, "", b"", 0))

    def join_client(self, scope: str, client_id: str, info: bytes) -> None:
        self._commit(Change(kinds.CLIENT_JOINED, scope, client_id, "", info, 0))

    def leave_client(self, scope: str, client_id: str) -> None:
        self._commit(Change(kinds.CLIENT_LEFT, scope, client_id, "", b"", 0))

    def start_instance(self, scope: str) -> None:
        """on_app_start is about to run: it runs once in a history of the instance."""
        self._commit(Change(kinds.INSTANCE_STARTED, scope, "", "", b"", 0))

    def stop_instance(self, scope: str) -> None:
        """Drop the clients, temporary objects and variables of an instance."""
        self._commit(Change(kinds.INSTANCE_STOPPED, scope, "", "", b"", 0))

    def begin_call(self, session: bytes, number: int, lowest_open: int) -> None:
        """Raises RemoteProtocolError when the client may not open this call."""
        check_numbers(number, lowest_open)
        key = session.hex()
        known = self.sessions.get(key)
        if known is not None:
            known.check_begin(number, lowest_open)
        elif len(self.sessions) >= MAX_SESSIONS:
            self._end_session(next(iter(self.sessions)))
        self._ages.use(key)
        self._commit(Change(kinds.CALL_BEGUN, "", str(lowest_open), key, b"", number))

    def finish_call(self, session: bytes, number: int, result: bytes) -> None:
        self._commit(Change(kinds.CALL_FINISHED, "", "", session.hex(), result, number))

    def expire_sessions(self, now: float) -> None:
        """Forget sessions unused for 10 minutes; called every few seconds, `now` in seconds."""
        for key in self._ages.expired(self.sessions, now):
            self._end_session(key)

    def start_epoch(self, epoch: int, boot_id: str, history_id: str, *, lossy: bool) -> None:
        """A promotion: from here on this copy is the pair's."""
        flag = kinds.LOSSY if lossy else b""
        self._commit(Change(kinds.EPOCH_STARTED, "", history_id, boot_id, flag, epoch))
        if self.temporary_stale:
            self.drop_temporary()

    def drop_temporary(self) -> None:
        """Keep persistent objects only: the pair was away for longer than clients wait."""
        for scope in list(self.instances):
            self.stop_instance(scope)
        for key in list(self.sessions):
            self._end_session(key)
        self.temporary_stale = False

    # The standby

    def apply_batch(self, first_seq: int, data: bytes) -> Batch:
        """Apply the active's batch, whole or not at all; the batch as kept in the journal.

        Raises RemoteProtocolError, with nothing changed, when the batch does not follow on
        this copy's head or is malformed.
        """
        changes = kinds.decode_changes(data)
        if first_seq != self.journal.head + 1:
            raise RemoteProtocolError(
                f"a batch from {first_seq} does not follow on {self.journal.head}"
            )
        if not changes:
            raise RemoteProtocolError("an empty batch")
        journal = self.journal
        for change in changes:
            journal.head += 1
            self.apply(change)
        batch = Batch(first_seq, len(changes), data)
        journal.accept(batch)
        self.temporary_stale = False
        return batch

    def snapshot(self) -> Snapshot:
        """A cut at the journal's head; see `Snapshot`. Close it when done."""
        return Snapshot(self, self._snapshots)

    def install(self, copy: ReplicatedState) -> None:
        """Become a copy that was loaded beside this one."""
        for running in list(self._snapshots):
            running.close()
        self.instances = copy.instances
        self.sessions = copy.sessions
        self.forgotten_highest = copy.forgotten_highest
        self.temporary_stale = copy.temporary_stale
        self._ages = SessionAges()
        self._sum = copy._sum
        self._dirty_objects = copy._dirty_objects
        self._dirty_instances = copy._dirty_instances
        self._dirty_sessions = copy._dirty_sessions
        self.journal.restart(
            history_id=copy.journal.history_id,
            previous=copy.journal.previous,
            epoch=copy.journal.epoch,
            head=copy.journal.head,
        )

    # The loader of a copy

    def adopt_instance(self, instance: Instance) -> Instance:
        self.instances[instance.scope] = instance
        self._dirty_instances.add(instance)
        return instance

    def adopt_object(self, instance: Instance, obj: SharedObject) -> SharedObject:
        instance.objects[obj.full_name] = obj
        self._dirty_objects.add(obj)
        return obj

    def adopt_session(self, session: Session) -> None:
        self.sessions[session.key] = session
        self._dirty_sessions.add(session)

    # The digest

    def digest(self) -> bytes:
        """16 bytes over everything replicated, counted from what changed since the last one."""
        for obj in self._dirty_objects:
            if not obj.gone:
                new = obj.count_header()
                self.instances[obj.scope].add(new - obj.header)
                obj.header = new
        self._dirty_objects.clear()
        for instance in self._dirty_instances:
            new = instance.count() if self.instances.get(instance.scope) is instance else 0
            self._sum = (self._sum + new - instance.counted) & MASK
            instance.counted = new
        self._dirty_instances.clear()
        for session in self._dirty_sessions:
            new = session.count() if self.sessions.get(session.key) is session else 0
            self._sum = (self._sum + new - session.counted) & MASK
            session.counted = new
        self._dirty_sessions.clear()
        return self._finish_digest(self._sum)

    def recompute_digest(self) -> bytes:
        """The same from nothing but the entries: slow, for audits and tests."""
        total = sum(instance.recount() for instance in self.instances.values())
        total += sum(session.count() for session in self.sessions.values())
        return self._finish_digest(total & MASK)

    def _finish_digest(self, total: int) -> bytes:
        journal = self.journal
        return mark(
            total.to_bytes(16), self.forgotten_highest, journal.epoch, journal.history_id
        ).to_bytes(16)

    # The fold

    def apply(self, change: Change) -> None:
        """Fold one Change, whose seq is the journal's head, into the state."""
        self._folds[change.kind](change)

    def _commit(self, change: Change) -> None:
        check_size(change)
        self.journal.append(change)
        self.apply(change)

    def _end_session(self, key: str) -> None:
        self._ages.forget(key)
        self._commit(Change(kinds.SESSION_GONE, "", "", key, b"", 0))

    def _instance(self, scope: str) -> Instance:
        found = self.instances.get(scope)
        if found is None:
            found = self.instances[scope] = Instance(scope, self.forgotten_highest)
        self._dirty_instances.add(found)
        return found

    def _editable(self, change: Change) -> SharedObject | None:
        """The object a Change speaks of, kept for running snapshots and to be counted again."""
        instance = self.instances.get(change.scope)
        obj = instance.objects.get(change.name) if instance is not None else None
        if instance is None or obj is None:
            return None
        for running in self._snapshots:
            running.keep(obj)
        self._dirty_objects.add(obj)
        self._dirty_instances.add(instance)
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
        self._dirty_objects.add(obj)

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
            self.forgotten_highest = max(self.forgotten_highest, instance.highest)

    def _call_begun(self, change: Change) -> None:
        session = self.sessions.get(change.key)
        if session is None:
            session = self.sessions[change.key] = Session(change.key)
        session.begin(change.version, int(change.name))
        self._dirty_sessions.add(session)

    def _call_finished(self, change: Change) -> None:
        session = self.sessions.get(change.key)
        if session is not None:
            session.finish(change.version, change.value)
            self._dirty_sessions.add(session)

    def _session_gone(self, change: Change) -> None:
        session = self.sessions.pop(change.key, None)
        if session is not None:
            self._dirty_sessions.add(session)

    def _epoch_started(self, change: Change) -> None:
        self.journal.start_epoch(change.version, change.name)
        if change.value != kinds.LOSSY:
            return
        self.forgotten_highest += LOSSY_VERSION_STEP
        for instance in self.instances.values():
            instance.highest += LOSSY_VERSION_STEP
            self._dirty_instances.add(instance)
            for obj in instance.objects.values():
                for running in self._snapshots:
                    running.keep(obj)
                obj.skip(LOSSY_VERSION_STEP)
                self._dirty_objects.add(obj)


def _check_alive(obj: SharedObject) -> None:
    if obj.gone:
        raise LocalProtocolError(f"{obj.full_name} of {obj.scope} was destroyed")
