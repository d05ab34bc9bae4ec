"""ReplicatedState: a node's copy of everything that the pair keeps, and how it changes.

The active's mutators make a Change, append it to the journal and apply it; the standby
applies the batches that arrive; a whole copy takes the place of the old one. All of them end
in the same fold.
"""

from __future__ import annotations

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.state import change as kinds
from rtmp_sync.state.calls import (
    MAX_SESSIONS,
    Begun,
    CallState,
    OpenCall,
    SessionAges,
    check_numbers,
)
from rtmp_sync.state.change import Change, check_size
from rtmp_sync.state.fold import Fold
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.state.leftovers import Leftovers
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import Snapshot

__all__ = ["ReplicatedState"]


class ReplicatedState(Fold):
    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__(journal)
        self.temporary_stale = False  # loaded from disk too late for its temporary part
        self.leftovers = Leftovers({}, {})  # of the copy before this one
        self._ages = SessionAges()

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

    def open_calls(self) -> list[OpenCall]:
        """The calls of this epoch without a result: those that its end interrupts."""
        epoch = self.journal.epoch
        return [
            OpenCall(key, number, known)
            for key, session in self.sessions.items()
            for number, known in session.calls.items()
            if isinstance(known, Begun) and known.epoch == epoch
        ]

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

    def begin_call(
        self, session: bytes, number: int, lowest_open: int, scope: str = "", method: str = ""
    ) -> None:
        """Raises RemoteProtocolError when the client may not open this call."""
        check_numbers(number, lowest_open)
        key = session.hex()
        known = self.sessions.get(key)
        if known is not None:
            known.check_begin(number, lowest_open)
            self.sessions[key] = self.sessions.pop(key)  # the first is the one longest unused
        elif len(self.sessions) >= MAX_SESSIONS:
            self._end_session(next(iter(self.sessions)))
        self._ages.use(key)
        change = Change(kinds.CALL_BEGUN, scope, str(lowest_open), key, method.encode(), number)
        self._commit(change)

    def finish_call(self, session: bytes, number: int, result: bytes) -> None:
        self._commit(Change(kinds.CALL_FINISHED, "", "", session.hex(), result, number))

    def expire_sessions(self, now: float) -> None:
        """Forget sessions unused for 10 minutes; called every few seconds, `now` in seconds.

        One with a call that still runs is in use, however long that takes.
        """
        epoch = self.journal.epoch
        for key in self._ages.expired(self.sessions, now):
            calls = self.sessions[key].calls.values()
            if any(isinstance(known, Begun) and known.epoch == epoch for known in calls):
                self._ages.use(key)
            else:
                self._end_session(key)

    def slept(self, seconds: float) -> None:
        """This copy comes from a disk that was last written so long ago: for as long nobody used
        its sessions."""
        self._ages = SessionAges(seconds)

    def start_epoch(self, epoch: int, boot_id: str, history_id: str, *, lossy: bool) -> None:
        """A promotion: from here on this copy is the pair's."""
        flag = kinds.LOSSY if lossy else b""
        self._commit(Change(kinds.EPOCH_STARTED, "", history_id, boot_id, flag, epoch))
        if self.temporary_stale:
            self.drop_temporary()

    def drop_temporary(self) -> None:
        """Keep persistent objects only, and sessions, whose clients may wait for longer: the
        pair was away for longer than clients have to come back."""
        for scope in list(self.instances):
            self.stop_instance(scope)
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
        if self._ages.unused_seconds:
            self._ages = SessionAges()  # this node slept; its active did not
        return batch

    def snapshot(self) -> Snapshot:
        """A cut at the journal's head; see `Snapshot`. Close it when done."""
        return Snapshot(self, self._snapshots)

    def install(self, copy: ReplicatedState) -> None:
        """Become a copy that was loaded beside this one."""
        for running in list(self._snapshots):
            running.close()
        self.leftovers = Leftovers(self.instances, self.sessions)
        self.replace(copy)
        self.temporary_stale = copy.temporary_stale
        self._ages = SessionAges()

    # Inside

    def _commit(self, change: Change) -> None:
        check_size(change)
        self.journal.append(change)
        self.apply(change)

    def _end_session(self, key: str) -> None:
        self._ages.forget(key)
        self._commit(Change(kinds.SESSION_GONE, "", "", key, b"", 0))


def _check_alive(obj: SharedObject) -> None:
    if obj.gone:
        raise LocalProtocolError(f"{obj.full_name} of {obj.scope} was destroyed")
