"""The judge of the gates must find two that are open at once, and excuse only the frozen."""

from __future__ import annotations

from tests.support.gate_log import CLOSED, OPENED, intervals
from tests.support.history import Interval, overlaps

KILLED = "killed"


def test_a_gate_is_open_until_it_is_closed_or_its_process_killed() -> None:
    changes = [(1.0, OPENED), (2.0, CLOSED), (3.0, OPENED), (4.0, KILLED), (5.0, KILLED)]
    assert intervals("A", changes, []) == [Interval("A", 1, 2), Interval("A", 3, 4)]


def test_two_open_gates_are_found() -> None:
    both = intervals("A", [(1.0, OPENED), (5.0, CLOSED)], [])
    both += intervals("B", [(4.0, OPENED), (6.0, CLOSED)], [])
    assert len(overlaps(both)) == 1


def test_a_frozen_node_that_closes_when_it_is_thawed_was_open_until_the_freeze() -> None:
    changes = [(1.0, OPENED), (9.5, CLOSED)]
    assert intervals("A", changes, [(4.0, 9.0)]) == [Interval("A", 1, 4)]


def test_one_that_goes_on_after_the_thaw_was_open_all_the_time() -> None:
    changes = [(1.0, OPENED), (20.0, CLOSED)]
    assert intervals("A", changes, [(4.0, 9.0)]) == [Interval("A", 1, 20)]


def test_what_was_open_from_the_start_counts_from_there() -> None:
    assert intervals("A", [(4.0, CLOSED)], [], open_at=0.5) == [Interval("A", 0.5, 4)]
