"""Sabotage of the two copies: snapshots, backlog, versions, the regression guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.source import Source
from rtmp_sync.state import fold
from rtmp_sync.state.change import EPOCH_STARTED, Change
from rtmp_sync.state.fold import Fold
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import Snapshot
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from tests.simulation.sabotage.registry import only, sabotage


@sabotage("view", mix=only({"reset": 1, "crash": 1}))
def tombstones_forgotten() -> Iterator[None]:
    with patch.object(SharedObject, "bury", lambda self, key, version: None):
        yield


@sabotage(
    "digest",
    mix=only({"crash": 3, "slow": 4, "disk_lost": 3}, writes=30.0, small_backlog=1.0),
)
def snapshot_without_a_cut() -> Iterator[None]:
    """Objects are read when their turn comes, and the copy counts as one of its last moment:
    nobody sends what was written to the first ones meanwhile."""
    ends: dict[bytes, int] = {}
    begin_full, finish = Source._begin_full, SnapshotLoader.finish

    def begin(self: Source) -> None:
        begin_full(self)
        assert self._snapshot is not None
        self._chunks = to_the_end(self, self._snapshot, self._chunks)

    def to_the_end(source: Source, snapshot: Snapshot, chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield from chunks
        source._waiting.clear()
        source.sent = ends[snapshot.digest] = source._state.journal.taken

    def label(self: SnapshotLoader, digest: bytes) -> ReplicatedState:
        self.header = replace(self.header, cut_seq=ends[digest])
        return finish(self, digest)

    with (
        patch.object(Snapshot, "keep", lambda self, obj: None),
        patch.object(Source, "_begin_full", begin),
        patch.object(SnapshotLoader, "finish", label),
    ):
        yield


@sabotage("link", mix=only({"reset": 5, "cut": 2}, small_backlog=0.0))
def backlog_off_by_one() -> Iterator[None]:
    since = Journal.since

    def skip_one(self: Journal, history_id: str, seq: int) -> list[Batch] | None:
        return since(self, history_id, seq + 1 if seq < self.taken else seq)

    with patch.object(Journal, "since", skip_one):
        yield


@sabotage("lost", mix=only({"cut": 2, "disk_lost": 5, "crash": 2}))
def restart_empty_accepted() -> Iterator[None]:
    """The recorded holder's copy is the better one, and every snapshot is taken."""

    def holds(self: Situation) -> bool:
        return self.record is not None and self.record.holder == self.me

    with (
        patch.object(Situation, "my_copy_is_better", property(holds)),
        patch.object(Exchange, "_confirmed", lambda self, epoch: True),
    ):
        yield


@sabotage("version view", mix=only({"crash": 3, "switchover": 3}, writes=20.0))
def version_line_restarted() -> Iterator[None]:
    """A promotion begins the versions of every object anew."""
    epoch_started = Fold._epoch_started

    def start(self: Fold, change: Change) -> None:
        epoch_started(self, change)
        for instance in self.instances.values():
            self._touch_instance(instance)
            for obj in instance.objects.values():
                for running in self._snapshots:
                    running.keep(obj)
                self._touch_object(obj)
                obj.version = obj.floor = 0

    with patch.dict(fold._FOLDS, {EPOCH_STARTED: start}):
        yield
