from __future__ import annotations

from rtmp_sync.admin.allowances import API, CHECKS
from rtmp_sync.server.rate_limit import ADDRESSES, Allowance, RateLimit

FEW = Allowance(per_second=10.0, burst=40.0)


def burst(limit: RateLimit, address: str, now: float) -> int:
    """How many requests pass at one instant."""
    passed = 0
    while not limit.take(address, now):
        passed += 1
    return passed


def test_an_address_has_a_burst_and_then_a_rate() -> None:
    limit = RateLimit(FEW)
    assert burst(limit, "a", 0.0) == 40
    assert burst(limit, "a", 1.0) == 10
    assert burst(limit, "a", 1e6) == 40


def test_who_is_refused_is_told_when_to_come_back() -> None:
    limit = RateLimit(FEW)
    burst(limit, "a", 0.0)
    wait = limit.take("a", 0.0)
    assert wait == 0.1
    assert not limit.take("a", wait)


def test_one_address_does_not_use_up_what_others_have() -> None:
    limit = RateLimit(FEW)
    burst(limit, "a", 0.0)
    assert not limit.take("b", 0.0)


def test_an_ipv6_customer_is_one_address() -> None:
    limit = RateLimit(FEW)
    burst(limit, "2001:db8::1", 0.0)
    assert limit.take("2001:db8::2", 0.0)
    assert not limit.take("2001:db8:0:1::1", 0.0)
    limit.charge("2001:db8:0:1::2", 2 * FEW.burst, 0.0)
    assert limit.take("2001:db8:0:1::3", 0.0)


def test_a_charge_makes_an_address_wait() -> None:
    limit = RateLimit(FEW)
    assert not limit.take("a", 0.0)
    limit.charge("a", FEW.burst + FEW.per_second - 1, 0.0)
    assert limit.take("a", 1.0)
    assert not limit.take("a", 1.1)


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    limit = RateLimit(FEW)
    for number in range(3 * ADDRESSES):
        limit.take(str(number), 0.0)
    assert len(limit._buckets) == ADDRESSES


def test_a_load_balancer_that_checks_every_100_ms_is_never_refused() -> None:
    """Nor are fifty of them behind one address."""
    limit = RateLimit(CHECKS)
    for tick in range(600):
        assert not any(limit.take("10.0.0.9", tick / 10) for _ in range(50))


def test_the_probes_of_the_fast_profile_are_far_below_what_is_allowed() -> None:
    assert API.per_second > 10 * (1 / 0.25)
