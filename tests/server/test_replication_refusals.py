"""What was refused is counted always and said seldom."""

from __future__ import annotations

import pytest

from rtmp_sync.server.replication_refusals import BAD_MAC_SECONDS, BAD_MACS, Refusals
from rtmp_sync.wire.refusals import Reason


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rtmp_sync.server.replication_refusals.now", clock)
    return clock


def test_a_refusal_that_goes_on_is_said_more_and_more_seldom_and_counted_each_time(clock):
    said: list[tuple[float, int]] = []
    refusals = Refusals("A", lambda event, **fields: said.append((clock.now, fields["times"])))
    for _ in range(24 * 3600):
        refusals.add(Reason.BAD_SECRET, "the secret differs", "192.0.2.1")
        clock.now += 1.0
    assert [at for at, _ in said[:5]] == [1000.0, 1010.0, 1030.0, 1070.0, 1150.0]
    assert [times for _, times in said[:5]] == [1, 10, 20, 40, 80]
    assert len(said) < 40
    assert refusals.counts["bad_secret"] == 24 * 3600


def test_a_refusal_after_a_time_without_is_said_at_once(clock):
    said: list[str] = []
    refusals = Refusals("A", lambda event, **fields: said.append(fields["reason"]))
    refusals.add(Reason.GAP, "gap", "")
    refusals.add(Reason.BAD_MAC, "bad_mac", "")
    clock.now += 60.0
    refusals.add(Reason.GAP, "gap", "")
    assert said == ["gap", "bad_mac", "gap"]
    assert refusals.counts["gap"] == 2


def test_bad_macs_far_apart_are_no_alarm_and_close_together_one_that_ends(clock):
    refusals = Refusals("A", lambda event, **fields: None)
    for _ in range(10):
        refusals.add(Reason.BAD_MAC, "bad_mac", "")
        clock.now += BAD_MAC_SECONDS / 2 + 1
    assert refusals.alarms == {}
    clock.now += BAD_MAC_SECONDS
    for _ in range(BAD_MACS):
        assert refusals.alarms == {}
        clock.now += 1.0
        refusals.add(Reason.BAD_MAC, "bad_mac", "")
    assert list(refusals.alarms) == ["bad_mac"]
    clock.now += BAD_MAC_SECONDS
    assert refusals.alarms == {}
