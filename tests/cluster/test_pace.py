from __future__ import annotations

from rtmp_sync.cluster.pace import HASTE_SECONDS, STALL_SECONDS, Pace


def test_after_the_links_end_the_store_is_read_at_once_and_often_for_a_while() -> None:
    pace = Pace(0.5, 0.5, 0.0)
    assert not pace.wants_read
    assert pace.read_interval(10.0) == 0.5
    pace.hurry(10.0)
    assert pace.wants_read
    assert pace.read_interval(10.0 + HASTE_SECONDS - 0.01) == 0.05
    assert pace.read_interval(10.0 + HASTE_SECONDS) == 0.5


def test_what_is_wanted_during_a_read_is_wanted_of_the_next_one() -> None:
    pace = Pace(0.5, 0.5, 0.0)
    pace.read_soon()
    pace.read_began()
    assert not pace.wants_read
    pace.read_soon()
    assert pace.wants_read


def test_a_node_that_did_not_run_for_longer_than_a_probe_and_a_second_has_stalled() -> None:
    pace = Pace(0.5, 0.5, 10.0)
    assert pace.ran(10.5 + STALL_SECONDS) == 0.0
    assert pace.ran(20.0) == 8.0
    assert pace.stalled_at == 20.0
    assert pace.ran(20.1) == 0.0
