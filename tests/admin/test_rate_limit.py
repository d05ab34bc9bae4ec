from __future__ import annotations

from rtmp_sync.admin.rate_limit import ADDRESSES, BURST, REQUESTS_PER_SECOND, RateLimit


def burst(limit: RateLimit, address: str, now: float) -> int:
    """How many requests pass at one instant."""
    passed = 0
    while limit.allows(address, now):
        passed += 1
    return passed


def test_an_address_has_a_burst_and_then_a_rate() -> None:
    limit = RateLimit()
    assert burst(limit, "a", 0.0) == BURST
    assert burst(limit, "a", 0.1) == REQUESTS_PER_SECOND / 10
    assert burst(limit, "a", 1e6) == BURST


def test_one_address_does_not_use_up_what_others_have() -> None:
    limit = RateLimit()
    burst(limit, "a", 0.0)
    assert limit.allows("b", 0.0)


def test_a_charge_makes_an_address_wait() -> None:
    limit = RateLimit()
    assert limit.allows("a", 0.0)
    limit.charge("a", BURST + REQUESTS_PER_SECOND)
    assert not limit.allows("a", 1.0)
    assert limit.allows("a", 1.1)


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    limit = RateLimit()
    for number in range(3 * ADDRESSES):
        limit.allows(str(number), 0.0)
    assert len(limit._buckets) == ADDRESSES
