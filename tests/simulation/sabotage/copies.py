"""Sabotage of the two copies: snapshots, backlog, versions, the regression guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.state.change import EPOCH_STARTED, Change
from rtmp_sync.state.fold import Fold
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import Snapshot
from tests.simulation.sabotage.registry import sabotage


@sabotage("view")
def tombstones_forgotten() -> Iterator[None]:
    with patch.object(SharedObject, "bury", lambda self, key, version: None):
        yield


@sabotage("digest I4")
def snapshot_without_a_cut() -> Iterator[None]:
    """An object is read when its turn comes, whatever was written since the cut."""
    with patch.object(Snapshot, "keep", lambda self, obj: None):
        yield


@sabotage("digest I4")
def backlog_off_by_one() -> Iterator[None]:
    since = Journal.since

    def skip_one(self: Journal, history_id: str, seq: int) -> list[Batch] | None:
        return since(self, history_id, seq + 1 if seq < self.taken else seq)

    with patch.object(Journal, "since", skip_one):
        yield


@sabotage("I5 lost phantom")
def restart_empty_accepted() -> Iterator[None]:
    """The recorded holder's copy is the better one, and every snapshot is taken."""

    def holds(self: Situation) -> bool:
        return self.record is not None and self.record.holder == self.me

    with (
        patch.object(Situation, "my_copy_is_better", property(holds)),
        patch.object(Exchange, "_confirmed", lambda self, epoch: True),
    ):
        yield


@sabotage("view version")
def version_line_restarted() -> Iterator[None]:
    """A promotion begins the versions of every object anew."""
    epoch_started = Fold._epoch_started

    def start(self: Fold, change: Change) -> None:
        epoch_started(self, change)
        for instance in self.instances.values():
            for obj in instance.objects.values():
                for running in self._snapshots:
                    running.keep(obj)
                obj.version = obj.floor = 0
                self._dirty_objects.add(obj)
                self._dirty_instances.add(instance)

    def init(self: Fold, *arguments: Any) -> None:
        fold_init(self, *arguments)
        self._folds[EPOCH_STARTED] = lambda change: start(self, change)

    fold_init = Fold.__init__
    with patch.object(Fold, "__init__", init):
        yield
