"""Sabotage of the register: outcomes of compare-and-set, and its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from rtmp_sync.cluster.observer import Observer
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import CasResult, Outcome
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.file_io import Folder, Reply
from tests.simulation.sabotage.registry import only, sabotage


@sabotage(
    "I1 I8 lost",
    mix=only({"flaky": 6, "reset": 6, "slow": 2}, companions=0.0, writes=30.0),
)
def unknown_cas_taken_as_failed() -> Iterator[None]:
    tried = Observer.tried

    def take(
        self: Observer, result: CasResult, highest: Record | None, *, awaited: str = ""
    ) -> None:
        if result.outcome is Outcome.UNKNOWN:
            result = replace(result, outcome=Outcome.REFUSED)
        tried(self, result, highest, awaited=awaited)

    with patch.object(Observer, "tried", take):
        yield


@sabotage(
    "register",
    mix=only(
        {"vm_writing": 6, "pause": 6, "edit": 6, "cut": 2},
        companions=0.0,
        rounds=14.0,
        few_records=1.0,
    ),
)
def pruned_record_re_linked() -> Iterator[None]:
    """A link() into the place of a pruned record counts as a landing."""
    cas = Folder.cas

    def believe(self: Folder, rev: int, content: str, nonce: str) -> Reply:
        reply = cas(self, rev, content, nonce)
        there = file_io._read(self._name(f"rec.{rev}"))
        if there is not None and file_io._member(there, "nonce") == nonce:
            return {"outcome": "landed", "rev": rev, "record": content}
        return reply

    with patch.object(Folder, "cas", believe):
        yield
