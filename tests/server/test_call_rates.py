"""How often clients may call."""

from __future__ import annotations

import pytest

from rtmp_sync.server.call_rates import CallRates
from rtmp_sync.state.access import Limit, Rate

EACH = (Limit("Type1", "set*", True, Rate(10.0, 3)),)
ALL = (Limit("Type1", "*", False, Rate(10.0, 3)),)


def admitted(rates: CallRates, limits: tuple[Limit, ...], at: list[float], who: str = "a") -> int:
    return sum(rates.admit(who, limits, now) for now in at)


@pytest.mark.parametrize(
    ("at", "count"),
    [
        ([0.0] * 5, 3),  # the burst
        ([0.0] * 5 + [0.1] * 2, 4),  # and one for each tenth of a second
        ([0.0] * 5 + [10.0] * 5, 6),  # no more than the burst however long nobody called
        ([number / 10 for number in range(1000)], 1000),  # who keeps to the rate is never refused
        ([number / 20 for number in range(1000)], 502),  # half of twice the rate, and the burst
        ([0.3, 0.2, 0.1, 0.0], 2),  # a clock that goes backwards gives nothing
    ],
)
def test_admits_a_burst_and_then_the_rate(at: list[float], count: int) -> None:
    assert admitted(CallRates(), EACH, at) == count


def test_clients_count_apart_and_a_total_together() -> None:
    rates = CallRates()
    assert [admitted(rates, EACH, [0.0] * 5, who) for who in ("a", "b")] == [3, 3]
    assert [admitted(rates, ALL, [0.0] * 5, who) for who in ("a", "b")] == [3, 0]


def test_a_call_that_one_limit_refuses_counts_for_none() -> None:
    rates = CallRates()
    assert admitted(rates, ALL, [0.0] * 3, "a") == 3
    assert admitted(rates, EACH + ALL, [0.0] * 9, "b") == 0
    assert admitted(rates, EACH, [0.0] * 5, "b") == 3


def test_who_is_gone_begins_anew() -> None:
    rates = CallRates()
    assert admitted(rates, EACH, [0.0] * 5) == 3
    rates.forget("a")
    assert admitted(rates, EACH, [0.0] * 5) == 3
