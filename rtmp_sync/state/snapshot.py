"""Snapshot: the whole state at one instant, sent while serving goes on.

The cut is the journal's head when the snapshot is made. Objects and sessions are copied as late
as possible: when the snapshot reaches them, or just before the fold edits them. What is small,
the clients, is copied at the cut. The bytes are a plain row of msgpack records, cut
into chunks without regard to where a record ends:

    ("e", epoch)                              the last one that began with a skip of versions
    ("i", scope, highest, started)            an instance; what follows belongs to it
    ("c", client id, info, epoch)             one of its clients
    ("o", full name, version, floor)          one of its objects; slots and tombstones follow
    ("s", ((key, value, version), …))         some slots
    ("t", ((key, version), …))                some tombstones
    ("x", key, lowest open, ((number, result), …))   a session; of a begun call (scope, method,
                                              epoch) in place of its result

Every entry that is read is counted again: `header.digest` is what the running sums said at
the cut, `digest` at the end what was really there. Where they differ, something changed the
memory behind the fold's back, and `Fold.correct` makes the sums true. An audit of a copy is a
snapshot whose chunks go nowhere.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rtmp_sync.state.calls import Begun, Session, session_mark
from rtmp_sync.state.digest import MASK, finish_digest, slot_mark, tombstone_mark
from rtmp_sync.state.instance import Instance, RegisteredClient, client_mark, instance_mark
from rtmp_sync.state.shared_object import FrozenObject, SharedObject, object_mark
from rtmp_sync.wire.packing import pack

__all__ = ["Snapshot", "SnapshotHeader"]

if TYPE_CHECKING:
    from rtmp_sync.state.fold import Fold

CHUNK_BYTES: Final = 64 * 1024
# Entries after which a chunk ends though it is short: small ones cost time, not bytes.
CHUNK_ENTRIES: Final = 128
_GROUP: Final = 64  # slots or tombstones in one record, fewer when their bytes fill a chunk

_Record = tuple[object, ...]
_Records = Generator[tuple[int, _Record], None, int]  # yields (entries, record)


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What a copy is, before its content. `previous` is the history before this one."""

    history_id: str
    previous: tuple[str, int] | None
    epoch: int
    cut_seq: int
    objects: int
    forgotten_highest: int
    digest: bytes

    @property
    def position(self) -> tuple[int, int]:
        return (self.epoch, self.cut_seq)


@dataclass(frozen=True, slots=True)
class _FrozenInstance:
    source: Instance
    identity: tuple[str, int, bool]  # scope, highest, started
    sum: int
    recounts: int
    clients: dict[str, RegisteredClient]
    objects: list[SharedObject]


@dataclass(frozen=True, slots=True)
class _FrozenSession:
    lowest_open: int
    calls: dict[int, bytes | Begun]
    counted: int


class Snapshot:
    """`header` at once, then `chunks()`, then `digest`; `close()` when done or given up."""

    def __init__(self, state: Fold, running: list[Snapshot]) -> None:
        journal = state.journal
        self.header = SnapshotHeader(
            history_id=journal.history_id,
            previous=journal.previous,
            epoch=journal.epoch,
            cut_seq=journal.head,
            objects=sum(len(instance.objects) for instance in state.instances.values()),
            forgotten_highest=state.forgotten_highest,
            digest=state.digest(),
        )
        self._skipped_in = state.skipped_in
        self.digest = b""  # of the entries themselves, once all chunks were read
        self.closed = False
        self.wrong_objects: list[tuple[FrozenObject, int]] = []  # and what it comes to
        # How much is missing, and how often it had been corrected at the cut.
        self.wrong_instances: list[tuple[Instance, int, int]] = []
        self.wrong_sessions: list[Session] = []
        self._instances = [
            _FrozenInstance(
                instance,
                (instance.scope, instance.highest, instance.started),
                instance.sum,
                instance.recounts,
                instance.clients.copy(),
                list(instance.objects.values()),
            )
            for instance in state.instances.values()
        ]
        self._sessions = list(state.sessions.values())
        # Read or kept; also what was made after the cut.
        self._taken: set[SharedObject | Session] = set()
        self._kept: dict[SharedObject, FrozenObject] = {}
        self._kept_sessions: dict[Session, _FrozenSession] = {}
        self._running = running
        running.append(self)

    def keep(self, obj: SharedObject) -> None:
        """Called by the fold before it edits an object."""
        if obj not in self._taken:
            self._taken.add(obj)
            self._kept[obj] = obj.freeze()

    def keep_session(self, session: Session) -> None:
        """The same before it edits a session, or counts one again."""
        if session not in self._taken:
            self._taken.add(session)
            self._kept_sessions[session] = _freeze(session)

    def close(self) -> None:
        """Stop keeping copies; `chunks()` must not be read any more."""
        if self in self._running:
            self._running.remove(self)
        self.closed = True
        self._instances, self._sessions = [], []  # nothing of an old copy is kept alive by it
        self._taken.clear()
        self._kept.clear()
        self._kept_sessions.clear()

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 64 KiB; a short piece of work each."""
        buffer = bytearray()
        entries = 0
        for count, record in self._records():
            buffer += pack(record)
            entries += count
            while len(buffer) >= CHUNK_BYTES:
                yield bytes(buffer[:CHUNK_BYTES])
                del buffer[:CHUNK_BYTES]
                entries = 0
            if entries >= CHUNK_ENTRIES:
                yield bytes(buffer)
                buffer.clear()
                entries = 0
        if buffer:
            yield bytes(buffer)

    def _records(self) -> Iterator[tuple[int, _Record]]:
        """(how many entries it is worth, record) of everything."""
        total = 0
        yield 1, ("e", self._skipped_in)
        for instance in self._instances:
            yield 1, ("i", *instance.identity)
            counted = yield from self._members(instance)
            total += instance_mark(*instance.identity, counted)
        for session in self._sessions:
            frozen = self._take_session(session)
            key, lowest_open, calls = session.key, frozen.lowest_open, frozen.calls
            counted = session_mark(key, lowest_open, calls)
            if counted != frozen.counted:
                self.wrong_sessions.append(session)
            total += counted
            yield 4 + len(calls), ("x", key, lowest_open, tuple(calls.items()))
        header = self.header
        line = (header.forgotten_highest, self._skipped_in)
        self.digest = finish_digest(total & MASK, line, header.epoch, header.history_id)

    def _members(self, instance: _FrozenInstance) -> _Records:
        """An instance's clients and objects; returns the sum of their marks."""
        clients = objects = believed = 0
        for client_id, client in instance.clients.items():
            clients += client_mark(client_id, client)
            yield 1, ("c", client_id, client.info, client.epoch)
        for obj in instance.objects:
            frozen = self._take(obj)
            believed += frozen.header
            objects += yield from self._entries(frozen)
        missing = (clients + believed - instance.sum) & MASK
        if missing:
            self.wrong_instances.append((instance.source, missing, instance.recounts))
        return (clients + objects) & MASK

    def _take(self, obj: SharedObject) -> FrozenObject:
        if obj in self._taken:
            return self._kept.pop(obj)
        self._taken.add(obj)
        return obj.freeze()

    def _take_session(self, session: Session) -> _FrozenSession:
        if session in self._taken:
            return self._kept_sessions.pop(session)
        self._taken.add(session)
        return _freeze(session)

    def _entries(self, frozen: FrozenObject) -> _Records:
        """An object; returns its mark."""
        name, versions = frozen.source.full_name, frozen.versions
        yield 4, ("o", name, frozen.version, frozen.floor)
        total = size = 0
        group: list[tuple[str, bytes, int]] = []
        for key, value in frozen.slots.items():
            version = versions[key]
            total += slot_mark(key, value, version)
            group.append((key, value, version))
            size += len(value)
            if len(group) == _GROUP or size >= CHUNK_BYTES:
                yield len(group), ("s", group)
                group, size = [], 0
        if group:
            yield len(group), ("s", group)
        tombstones = list(frozen.tombstones.items())
        for start in range(0, len(tombstones), _GROUP):
            some = tombstones[start : start + _GROUP]
            total += sum(tombstone_mark(key, version) for key, version in some)
            yield len(some), ("t", some)
        total &= MASK
        if total != frozen.sum:
            self.wrong_objects.append((frozen, total))
        return object_mark(name, frozen.version, frozen.floor, total)


def _freeze(session: Session) -> _FrozenSession:
    return _FrozenSession(session.lowest_open, session.calls.copy(), session.counted)
