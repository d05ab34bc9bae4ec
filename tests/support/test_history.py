"""The judge of the proofs must find what it is there for."""

from __future__ import annotations

import pytest

from tests.support.history import CallAnswer, History, Interval, overlaps

SLOT = ("board", "s1")


def answer(
    previous: int, *, repeated: int = 0, pid: int = 1, epoch: int = 1, at: float = 0.0
) -> CallAnswer:
    return CallAnswer(previous, repeated, pid, epoch, at)


def test_a_clean_run_has_no_problems() -> None:
    history = History()
    client = history.client("c00")
    watcher = history.observer("w0")
    for number in range(1, 5):
        history.set_sent(SLOT, number)
        watcher.saw(SLOT, number)
        history.set_acked(client, SLOT, number, at=float(number))
    history.note_acked(client, 5, answer(0), at=5.0)
    history.note_acked(client, 6, answer(5), at=6.0)
    history.full_read({SLOT: 4}, history.floors(), "reader")
    history.set_sent(SLOT, 7, deletes=True)
    watcher.saw(SLOT, None)
    history.set_acked(client, SLOT, 7, at=7.0)
    history.full_read({}, history.floors(), "reader")
    assert history.problems() == []
    assert history.acknowledged() == 7


def test_an_acknowledged_set_that_is_gone_is_lost() -> None:
    history = History()
    history.set_acked(history.client("c00"), SLOT, 7, at=1.0)
    history.full_read({SLOT: 6}, history.floors(), "reader")
    history.full_read({}, history.floors(), "reader")
    assert len(history.lost) == 2


def test_an_acknowledged_delete_that_did_not_happen_is_lost() -> None:
    history = History()
    client = history.client("c00")
    history.set_sent(SLOT, 6)
    history.set_sent(SLOT, 7, deletes=True)
    history.set_acked(client, SLOT, 7, at=1.0)
    history.full_read({SLOT: 6}, history.floors(), "reader")
    assert len(history.lost) == 1


def test_a_slot_that_nobody_deleted_and_is_gone_has_vanished() -> None:
    history = History()
    watcher = history.observer("w0")
    history.set_sent(SLOT, 5, deletes=True)
    history.set_sent(SLOT, 6)
    watcher.saw(SLOT, 6)
    watcher.saw(SLOT, None)
    history.full_read({}, history.floors(), "reader")
    assert len(history.vanished) == 2


def test_a_value_that_nobody_sent_is_a_phantom() -> None:
    history = History()
    history.set_sent(SLOT, 6)
    history.set_sent(SLOT, 7, deletes=True)
    history.observer("w0").saw(SLOT, 7)
    history.full_read({SLOT: 8, ("board", "s9"): 1}, history.floors(), "reader")
    assert len(history.phantoms) == 3


def test_a_reader_that_missed_a_change_is_stale() -> None:
    history = History()
    other = ("board", "s2")
    history.mirrored({SLOT: 1}, {SLOT: 1}, "w0")
    assert history.problems() == []
    history.mirrored({SLOT: 1, other: 2}, {SLOT: 1}, "w0")
    history.mirrored({SLOT: 1}, {SLOT: 1, other: 2}, "w1")
    assert len(history.stale) == 2


def test_a_broken_promise_is_known_at_once() -> None:
    history = History()
    assert not history.broken
    history.observer("w0").saw(SLOT, 7)
    assert history.broken


def test_a_version_that_goes_back_has_vanished() -> None:
    history = History()
    watcher = history.observer("w0")
    for version in (4, 4, 5, 3):
        watcher.saw_version("board", version)
    assert len(history.vanished) == 1


def test_a_write_acknowledged_while_the_read_runs_may_be_missing_from_it() -> None:
    history = History()
    floors = history.floors()
    history.set_acked(history.client("c00"), SLOT, 7, at=1.0)
    history.full_read({}, floors, "reader")
    assert history.problems() == []


def test_what_is_forgotten_after_a_verdict_is_still_a_floor() -> None:
    history = History()
    history.set_acked(history.client("c00"), SLOT, 7, at=1.0)
    history.fault(1.5, "kill")
    history.compact()
    assert history.acknowledged() == 1
    assert history.gaps() == []
    history.full_read({}, history.floors(), "reader")
    assert len(history.lost) == 1


def test_an_acknowledged_call_that_left_no_trace_is_lost() -> None:
    history = History()
    client = history.client("c00")
    history.note_acked(client, 2, answer(0), at=1.0)
    history.note_acked(client, 4, answer(0), at=2.0)
    assert len(history.lost) == 1


def test_a_value_that_falls_has_vanished() -> None:
    history = History()
    watcher = history.observer("w0")
    watcher.saw(SLOT, 9)
    watcher.saw(SLOT, 8)
    assert len(history.vanished) == 1


def test_a_value_that_somebody_saw_and_a_later_read_does_not_show_has_vanished() -> None:
    history = History()
    history.observer("w0").saw(SLOT, 9)
    history.full_read({SLOT: 8}, history.floors(), "reader")
    assert len(history.vanished) == 1


def test_a_call_that_ran_twice_is_a_duplicate() -> None:
    history = History()
    history.note_acked(history.client("c00"), 3, answer(3, repeated=3), at=1.0)
    assert len(history.duplicates) == 1


def test_runs_are_counted_against_what_was_asked_and_answered() -> None:
    history = History()
    client = history.client("c00")
    for _ in range(2):
        history.call_sent(client, "step")
    history.call_acked(client, "step", at=1.0)
    for runs in (1, 2):
        history.runs_read({("step", "c00"): runs}, history.floors(), "reader")
    assert history.problems() == []
    history.runs_read({("step", "c00"): 1}, history.floors(), "reader")
    assert len(history.vanished) == 1
    history.runs_read({}, history.floors(), "reader")
    assert len(history.lost) == 1
    history.runs_read({("step", "c00"): 3}, history.floors(), "reader")
    assert len(history.duplicates) == 1


def accepting(*runs: tuple[int, int, float]) -> History:
    """A history of calls that ran as (process, epoch, at)."""
    history = History()
    client = history.client("c00")
    for number, (pid, epoch, at) in enumerate(runs, start=1):
        history.note_acked(client, number, answer(number - 1, pid=pid, epoch=epoch, at=at), at)
    return history


def test_two_origins_that_accept_at_one_time_are_found() -> None:
    history = accepting((1, 1, 1.0), (2, 2, 2.0), (1, 1, 3.0), (2, 2, 4.0))
    assert any("two accepted" in problem for problem in history.problems())


def test_a_process_may_serve_again_in_a_later_epoch() -> None:
    history = accepting((1, 1, 1.0), (1, 1, 1.5), (2, 2, 2.0), (2, 2, 2.5), (1, 3, 3.0))
    assert history.problems() == []


def test_one_epoch_served_by_two_processes_is_found() -> None:
    history = accepting((1, 1, 1.0), (2, 1, 2.0))
    assert any("one epoch" in problem for problem in history.problems())


def test_intervals_of_one_owner_and_touching_ones_are_no_overlap() -> None:
    assert overlaps([Interval("A", 0, 2), Interval("B", 2, 3), Interval("A", 3, 5)]) == []
    assert len(overlaps([Interval("A", 0, 2), Interval("B", 1, 3), Interval("A", 2.5, 5)])) == 2


def test_the_gap_is_the_longest_pause_that_begins_at_the_fault() -> None:
    history = History()
    client = history.client("c00")
    for number, at in enumerate([0.1, 0.2, 1.0, 1.01, 1.6, 1.7, 9.0], start=1):
        history.set_acked(client, SLOT, number, at=at)
    history.fault(1.0, "kill")
    (gap,) = history.gaps(before=0.5, after=0.5)
    assert gap.seconds == pytest.approx(0.59)


def test_the_longest_pause_is_one_that_is_over() -> None:
    history = History()
    for name, times in (("c00", [0.1, 1.0, 1.6, 9.0]), ("c01", [0.9, 1.9, 2.0])):
        for number, at in enumerate(times, start=1):
            history.set_acked(history.client(name), SLOT, number, at=at)
    assert history.longest_pause(1.0, after=0.1) == pytest.approx(1.0)
    assert history.longest_pause(1.0, after=1.0) == pytest.approx(7.4)
    assert history.longest_pause(5.0, after=0.1) == pytest.approx(7.4)


def test_a_client_that_is_never_served_again_has_a_gap_without_end() -> None:
    history = History()
    history.set_acked(history.client("c00"), SLOT, 1, at=0.5)
    history.fault(1.0, "kill")
    assert any("never served again" in problem for problem in history.problems())


def test_the_end_of_the_run_is_no_gap() -> None:
    history = History()
    client = history.client("c00")
    for number, at in enumerate([0.9, 1.1, 1.2], start=1):
        history.set_acked(client, SLOT, number, at=at)
    history.fault(1.0, "kill")
    history.rested_at = 1.21
    (gap,) = history.gaps()
    assert gap.seconds == pytest.approx(0.2)
