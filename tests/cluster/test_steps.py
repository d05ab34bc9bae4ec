"""How long each step took."""

from __future__ import annotations

from rtmp_sync.cluster.steps import steps_ms


def test_each_step_begins_where_the_one_before_ended() -> None:
    assert steps_ms(1.0, first=1.5, second=1.75) == {"first": 500, "second": 250}


def test_a_step_that_was_over_before_it_began_took_no_time() -> None:
    assert steps_ms(1.0, first=2.0, second=1.5, third=2.25) == {
        "first": 1000,
        "second": 0,
        "third": 250,
    }
