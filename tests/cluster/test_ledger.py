from __future__ import annotations

from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.ledger import MAX_RANGES, AloneRange, Ledger


def test_a_time_alone_is_counted_while_it_lasts_and_kept_when_it_ends() -> None:
    ledger = Ledger()
    assert ledger.together(10, 0.0) is None
    ledger.alone(3, 10, 10, 100.0)
    ledger.alone(3, 10, 17, 101.0)
    assert ledger.alone_changes == 7
    assert ledger.degraded_seconds(101.5) == 1.5
    assert ledger.all_ranges == [AloneRange(3, 11, 17, 1.0)]
    assert ledger.together(19, 102.0) == AloneRange(3, 11, 19, 2.0)
    assert ledger.alone_changes == 9
    assert ledger.degraded_seconds(500.0) == 2.0
    assert ledger.together(30, 600.0) is None


def test_a_copy_that_went_back_takes_nothing_from_what_was_acknowledged() -> None:
    ledger = Ledger()
    ledger.alone(3, 10, 17, 100.0)
    assert ledger.together(5, 101.0) == AloneRange(3, 11, 17, 1.0)


def test_a_time_alone_without_a_change_has_seconds_and_no_changes() -> None:
    ledger = Ledger()
    ledger.alone(3, 10, 10, 100.0)
    assert ledger.together(10, 105.0) is None
    assert ledger.degraded_seconds(200.0) == 5.0
    assert ledger.all_ranges == []


def test_the_ranges_are_bounded_and_their_sums_are_not() -> None:
    ledger = Ledger()
    for number in range(MAX_RANGES + 50):
        ledger.alone(1, number, number + 1, float(number))
        ledger.together(number + 1, number + 0.5)
    assert len(ledger.all_ranges) == MAX_RANGES
    assert ledger.alone_changes == MAX_RANGES + 50
    assert ledger.degraded_seconds(0.0) == (MAX_RANGES + 50) / 2


def test_takeovers_and_fences_are_counted_by_reason() -> None:
    ledger = Ledger()
    ledger.happened(Happened("failover", {"reason": "hung"}))
    ledger.happened(Happened("fenced", {"reason": "deposed"}))
    ledger.happened(Happened("reclaimed", {"reason": "fenced"}))
    assert ledger.failovers == {"hung": 1}
    assert ledger.fenced == {"deposed": 1}
    assert ledger.events == {"failover": 1, "fenced": 1, "reclaimed": 1}
