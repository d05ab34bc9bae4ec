from __future__ import annotations

from rtmp_sync.server.renewals import WINDOW_SECONDS, Renewals


def test_the_slowest_renewal_is_told_for_a_minute_at_least() -> None:
    renewals = Renewals()
    assert renewals.worst_seconds(0.0) == 0.0
    for at, seconds in ((10.0, 0.01), (20.0, 1.5), (30.0, 0.02)):
        renewals.took(seconds, at)
    assert (renewals.count, renewals.last_seconds) == (3, 0.02)
    assert renewals.worst_seconds(20.0 + WINDOW_SECONDS) == 1.5
    assert renewals.worst_seconds(20.0 + 2 * WINDOW_SECONDS) == 0.0


def test_what_is_long_ago_is_forgotten_also_when_nobody_asked() -> None:
    renewals = Renewals()
    renewals.took(1.5, 10.0)
    renewals.took(0.01, 10_000.0)
    assert renewals.worst_seconds(10_000.0) == 0.01
