from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from rtmp_sync.cluster.observer import Observer, Sighting
from rtmp_sync.cluster.record import Author, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import CasResult, Identity, Outcome, Store

MINE = first_record(("A", "B"), Author("A", "a1", "n1", ""))
THEIRS = MINE.claimed(Author("B", "b1", "n2", ""), 0, "x")

NOW = 50.0


@pytest.fixture
def observer() -> Observer:
    return Observer(Identity("A", "a1", 0.0), DEFAULT)


def sighting(at: float, record: object = MINE, **facts: object) -> Sighting:
    return Sighting(at, at + 0.1, record, **facts)  # type: ignore[arg-type]  # facts of a test


def test_a_heartbeat_followed_by_a_read_that_shows_me_gives_authority_from_its_start(
    observer: Observer,
) -> None:
    observer.saw(sighting(10.0, beat_written=True))
    assert observer.authority == (1, 13.0)


def test_a_read_without_a_heartbeat_gives_none(observer: Observer) -> None:
    observer.saw(sighting(10.0))
    assert observer.authority == (1, -inf)


def test_a_record_that_names_another_takes_all_authority_at_once(observer: Observer) -> None:
    observer.saw(sighting(10.0, beat_written=True))
    observer.saw(sighting(10.5, THEIRS, beat_written=True))
    assert observer.authority == (0, -inf)


@pytest.mark.parametrize("record", [THEIRS, replace(MINE, boot_id="a0"), replace(MINE, holder="B")])
def test_another_boots_record_gives_none(observer: Observer, record: object) -> None:
    observer.saw(sighting(10.0, record, beat_written=True))
    assert observer.authority == (0, -inf)


def test_a_promise_counts_from_when_it_was_asked_for_and_for_its_epoch_only(
    observer: Observer,
) -> None:
    observer.saw(sighting(10.0, beat_written=True))
    observer.promised(1, 12.0)
    assert observer.authority == (1, 15.0)
    observer.promised(2, 20.0)
    assert observer.authority == (1, 13.0)


def test_authority_never_goes_back_by_an_older_confirmation(observer: Observer) -> None:
    observer.saw(sighting(10.0, beat_written=True))
    observer.saw(sighting(9.0, beat_written=True))
    assert observer.authority == (1, 13.0)


def test_a_lease_of_another_length_is_what_the_store_says(observer: Observer) -> None:
    observer.saw(sighting(10.0, beat_written=True, lease_seconds=inf))
    assert observer.authority == (1, inf)


def test_an_older_record_than_known_proves_nothing(observer: Observer) -> None:
    observer.saw(sighting(10.0, THEIRS))
    observer.saw(sighting(11.0, MINE, beat_written=True))
    assert observer.record == THEIRS
    assert observer.store is Store.INVALID
    assert observer.read_started == 10.0
    assert observer.stale_reads == 1
    observer.saw(sighting(12.0, None))
    assert observer.store is Store.INVALID


def test_a_record_older_than_what_the_other_node_has_read_proves_nothing(
    observer: Observer,
) -> None:
    """The two nodes see different stores, or one of them a cached one."""
    observer.saw(Sighting(10, 10, MINE), at_least_epoch=MINE.epoch)
    assert observer.stale_reads == 0
    observer.saw(Sighting(11, 11, MINE, beat_written=True), at_least_epoch=MINE.epoch + 1)
    assert observer.store is Store.INVALID
    assert observer.stale_reads == 1
    assert observer.authority[1] == -inf


def test_an_empty_store_is_told_from_a_damaged_one(observer: Observer) -> None:
    observer.saw(sighting(10.0, None))
    empty = observer.store
    observer.saw(sighting(11.0, None, invalid=True))
    assert (empty, observer.store) == (Store.EMPTY, Store.INVALID)


def test_a_boots_first_read_counts_as_a_change_of_the_heartbeat(observer: Observer) -> None:
    observer.saw(sighting(10.0, THEIRS, peer_beat="1"))
    assert observer.beat_changed_at == 10.1
    observer.saw(sighting(11.0, THEIRS, peer_beat="1"))
    assert observer.beat_changed_at == 10.1
    observer.saw(sighting(12.0, THEIRS, peer_beat="2"))
    assert observer.beat_changed_at == 12.1


def test_an_outcome_brings_the_record_that_was_seen_with_it(observer: Observer) -> None:
    observer.saw(sighting(10.0))
    observer.tried(CasResult("n2", Outcome.LOST, 11.0), THEIRS)
    assert observer.record == THEIRS
    observer.tried(CasResult("n3", Outcome.UNKNOWN, 12.0), None)
    assert observer.store is Store.UNREACHABLE


def test_an_older_attempts_outcome_does_not_hide_that_of_the_one_awaited(
    observer: Observer,
) -> None:
    observer.tried(CasResult("n3", Outcome.UNKNOWN, 12.0), None, awaited="n3")
    observer.tried(CasResult("n2", Outcome.UNKNOWN, 12.0), None, awaited="n3")
    assert observer.cas == CasResult("n3", Outcome.UNKNOWN, 12.0)
    observer.tried(CasResult("n4", Outcome.LANDED, 13.0), None, awaited="n4")
    assert observer.cas == CasResult("n4", Outcome.LANDED, 13.0)


def test_the_peer_is_dead_only_when_no_path_answers_often_enough(observer: Observer) -> None:
    for _ in range(3):
        observer.probed({"link": False, "admin": True}, NOW)
    assert (observer.misses, observer.dead) == (3, False)
    for _ in range(2):
        observer.probed({"link": False, "admin": False}, NOW)
    assert not observer.dead
    observer.probed({"link": False, "admin": False}, NOW)
    assert observer.dead
    observer.probed({"link": True, "admin": False}, NOW)
    assert not observer.dead


def test_flapping_answers_never_make_three_in_a_row(observer: Observer) -> None:
    for number in range(30):
        answers = number % 3 == 2
        observer.probed({"link": answers, "admin": answers}, NOW)
        assert not observer.dead


def test_rejected_answers_are_no_evidence_either_way(observer: Observer) -> None:
    for _ in range(5):
        observer.probed({"link": True, "admin": None}, NOW)
    assert (observer.misses, observer.dead) == (0, False)
    for _ in range(3):
        observer.probed({"link": False, "admin": None}, NOW)
    assert observer.dead  # by the link and the store


def test_without_any_path_nobody_is_dead(observer: Observer) -> None:
    for _ in range(5):
        observer.probed({}, NOW)
    assert not observer.dead
    assert observer.answers == 0


def test_a_stall_drops_the_samples_of_its_time(observer: Observer) -> None:
    for _ in range(3):
        observer.probed({"link": False, "admin": False}, NOW)
    observer.stalled()
    assert (observer.misses, observer.dead, observer.answers) == (0, False, 0)


def test_answers_count_rounds_in_which_every_path_answered(observer: Observer) -> None:
    observer.probed({"link": True, "admin": True}, NOW)
    observer.probed({"link": True, "admin": True}, NOW)
    assert observer.answers == 2
    observer.probed({"link": True, "admin": False}, NOW)
    assert observer.answers == 0
