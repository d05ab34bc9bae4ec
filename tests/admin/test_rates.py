from __future__ import annotations

from rtmp_sync.admin.rates import COUNTERS, Rates


def test_the_first_look_is_since_the_beginning_and_then_since_the_last_one() -> None:
    rates = Rates(100.0)
    assert rates.per_second("a", 50.0, 110.0) == 5.0
    assert rates.per_second("a", 150.0, 115.0) == 20.0
    assert rates.per_second("b", 15.0, 115.0) == 1.0


def test_who_looks_again_at_once_sees_the_same() -> None:
    rates = Rates(0.0)
    rates.per_second("a", 10.0, 10.0)
    assert rates.per_second("a", 1000.0, 10.5) == 1.0
    assert rates.per_second("a", 1000.0, 11.0) == 990.0


def test_before_a_second_has_passed_there_is_no_rate() -> None:
    assert Rates(0.0).per_second("a", 10.0, 0.5) == 0.0


def test_a_counter_that_began_anew_has_no_negative_rate() -> None:
    rates = Rates(0.0)
    rates.per_second("a", 1000.0, 10.0)
    assert rates.per_second("a", 5.0, 20.0) == 0.0
    assert rates.per_second("a", 15.0, 30.0) == 1.0


def test_it_remembers_a_bounded_number_of_counters() -> None:
    rates = Rates(0.0)
    for number in range(COUNTERS + 10):
        rates.per_second(str(number), 1.0, 1.0)
    assert len(rates._looks) == COUNTERS
