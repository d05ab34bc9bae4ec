"""SnapshotLoader: builds a copy of the state beside the one that is in use.

Feed it the chunks in their order, then `finish`: the copy is handed over only when its
digest, counted from the entries that arrived, is that of the entries the sender read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgpack.exceptions import BufferFull

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.calls import MAX_OPEN_CALLS, Begun, Session
from rtmp_sync.state.change import MAX_VALUE_BYTES
from rtmp_sync.state.instance import Instance, RegisteredClient, client_mark
from rtmp_sync.state.journal import Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import SnapshotHeader
from rtmp_sync.wire.packing import stream_unpacker

__all__ = ["SnapshotLoader"]

# The largest record is a session: 64 results of the largest size.
_MAX_RECORD_BYTES: Final = MAX_OPEN_CALLS * (MAX_VALUE_BYTES + 1024)


class SnapshotLoader:
    def __init__(self, header: SnapshotHeader, *, journal: Journal | None = None) -> None:
        self.header = header
        self._unpacker = stream_unpacker(_MAX_RECORD_BYTES)
        self._copy = ReplicatedState(journal)
        self._copy.forgotten_highest = header.forgotten_highest
        self._instance = Instance("", 0)
        self._object = SharedObject("", "V:", 0, 0)

    def feed(self, chunk: bytes) -> None:
        """Raises RemoteProtocolError when the content is not a snapshot's."""
        try:
            self._unpacker.feed(chunk)
            for record in self._unpacker:
                self._load(record)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            # whatever a wrong record makes of the constructors below
            raise RemoteProtocolError(f"snapshot: malformed record: {error}") from error
        except BufferFull as error:
            raise RemoteProtocolError("snapshot: a record is above the limit") from error

    def finish(self, digest: bytes) -> ReplicatedState:
        """The complete copy; raises RemoteProtocolError unless its digest is `digest`."""
        header = self.header
        copy = self._copy
        copy.journal.restart(
            history_id=header.history_id,
            previous=header.previous,
            epoch=header.epoch,
            head=header.cut_seq,
        )
        if copy.digest() != digest:
            raise RemoteProtocolError("snapshot: the digest differs")
        return copy

    def _load(self, record: Any) -> None:
        _LOADS[record[0]](self, *record[1:])

    def _load_epoch(self, epoch: int) -> None:
        self._copy.skipped_in = epoch

    def _load_instance(self, scope: str, highest: int, started: bool) -> None:
        self._instance = self._copy.adopt_instance(Instance(scope, highest))
        self._instance.started = started

    def _load_client(self, client_id: str, info: bytes, epoch: int) -> None:
        client = RegisteredClient(info, epoch)
        self._instance.clients[client_id] = client
        self._instance.add(client_mark(client_id, client))

    def _load_object(self, full_name: str, version: int, floor: int) -> None:
        obj = SharedObject(self._instance.scope, full_name, version, floor)
        self._object = self._copy.adopt_object(self._instance, obj)

    def _load_slots(self, slots: tuple[tuple[str, bytes, int], ...]) -> None:
        for key, value, version in slots:
            self._object.set(key, value, version)

    def _load_tombstones(self, tombstones: tuple[tuple[str, int], ...]) -> None:
        for key, version in tombstones:
            self._object.bury(key, version)

    def _load_session(
        self, key: str, lowest_open: int, calls: tuple[tuple[int, bytes | tuple[Any, ...]], ...]
    ) -> None:
        session = Session(key)
        session.lowest_open = lowest_open
        session.calls = {
            number: known if isinstance(known, bytes) else Begun(*known) for number, known in calls
        }
        self._copy.adopt_session(session)


_LOADS: Final[dict[object, Callable[..., None]]] = {
    "e": SnapshotLoader._load_epoch,
    "i": SnapshotLoader._load_instance,
    "c": SnapshotLoader._load_client,
    "o": SnapshotLoader._load_object,
    "s": SnapshotLoader._load_slots,
    "t": SnapshotLoader._load_tombstones,
    "x": SnapshotLoader._load_session,
}
