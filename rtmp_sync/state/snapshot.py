"""Snapshot: the whole state at one instant, sent while serving goes on.

The cut is the journal's head when the snapshot is made. Objects are copied as late as
possible: when the snapshot reaches them, or just before the fold edits them. What is small
(clients, sessions) is copied at the cut. The bytes are a plain row of msgpack records, cut
into chunks without regard to where a record ends:

    ("i", scope, highest, started)            an instance; what follows belongs to it
    ("c", client id, info, epoch)             one of its clients
    ("o", full name, version, floor)          one of its objects; slots and tombstones follow
    ("s", ((key, value, version), …))         some slots
    ("t", ((key, version), …))                some tombstones
    ("x", key, lowest open, ((number, result or nil), …))   a session
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rtmp_sync.state.shared_object import SharedObject, Slot
from rtmp_sync.wire.packing import pack

__all__ = ["Snapshot", "SnapshotHeader"]

if TYPE_CHECKING:
    from rtmp_sync.state.replicated_state import ReplicatedState

CHUNK_BYTES: Final = 64 * 1024
_GROUP: Final = 256  # slots or tombstones in one record, fewer when their bytes fill a chunk


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
class _Frozen:
    """An object's content at the cut."""

    full_name: str
    version: int
    floor: int
    slots: tuple[tuple[str, Slot], ...]
    tombstones: tuple[tuple[str, int], ...]


class Snapshot:
    """`header` at once, then `chunks()`; `close()` when done or given up."""

    def __init__(self, state: ReplicatedState, running: list[Snapshot]) -> None:
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
        self._instances = [
            (
                (instance.scope, instance.highest, instance.started),
                tuple(instance.clients.items()),
                tuple(instance.objects.values()),
            )
            for instance in state.instances.values()
        ]
        self._sessions = [
            (session.key, session.lowest_open, tuple(session.calls.items()))
            for session in state.sessions.values()
        ]
        self._waiting = {
            obj for instance in state.instances.values() for obj in instance.objects.values()
        }
        self._kept: dict[SharedObject, _Frozen] = {}
        self._running = running
        running.append(self)

    def keep(self, obj: SharedObject) -> None:
        """Called by the fold before it edits an object."""
        if obj in self._waiting:
            self._waiting.discard(obj)
            self._kept[obj] = _freeze(obj)

    def close(self) -> None:
        """Stop keeping copies; `chunks()` must not be read any more."""
        if self in self._running:
            self._running.remove(self)
        self._waiting.clear()
        self._kept.clear()

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 64 KiB; a short piece of work each."""
        buffer = bytearray()
        for record in self._records():
            buffer += pack(record)
            while len(buffer) >= CHUNK_BYTES:
                yield bytes(buffer[:CHUNK_BYTES])
                del buffer[:CHUNK_BYTES]
        if buffer:
            yield bytes(buffer)

    def _records(self) -> Iterator[tuple[object, ...]]:
        for identity, clients, objects in self._instances:
            yield ("i", *identity)
            for client_id, client in clients:
                yield ("c", client_id, client.info, client.epoch)
            for obj in objects:
                yield from _object_records(self._take(obj))
        for session in self._sessions:
            yield ("x", *session)

    def _take(self, obj: SharedObject) -> _Frozen:
        if obj in self._waiting:
            self._waiting.discard(obj)
            return _freeze(obj)
        return self._kept.pop(obj)


def _freeze(obj: SharedObject) -> _Frozen:
    return _Frozen(
        obj.full_name,
        obj.version,
        obj.floor,
        tuple(obj.slots.items()),
        tuple(obj.tombstones.items()),
    )


def _object_records(frozen: _Frozen) -> Iterator[tuple[object, ...]]:
    yield ("o", frozen.full_name, frozen.version, frozen.floor)
    group: list[tuple[str, bytes, int]] = []
    group_bytes = 0
    for key, slot in frozen.slots:
        group.append((key, slot.value, slot.version))
        group_bytes += len(slot.value)
        if len(group) == _GROUP or group_bytes >= CHUNK_BYTES:
            yield ("s", group)
            group, group_bytes = [], 0
    if group:
        yield ("s", group)
    for start in range(0, len(frozen.tombstones), _GROUP):
        yield ("t", frozen.tombstones[start : start + _GROUP])
