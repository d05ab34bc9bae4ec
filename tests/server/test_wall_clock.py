from __future__ import annotations

from rtmp_sync.server.wall_clock import WallClock


class Clocks:
    def __init__(self) -> None:
        self.wall, self.clock = 5000.0, 100.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.clock += seconds


def test_time_that_passes_is_no_step_and_a_clock_that_is_set_is_one() -> None:
    clocks = Clocks()
    wall = WallClock(lambda: clocks.wall, lambda: clocks.clock)
    clocks.pass_by(3600)
    assert wall.step() == 0
    clocks.wall -= 3600
    assert wall.step() == -3600
    assert wall.step() == 0
    clocks.wall += 0.5  # kept in time
    assert wall.step() == 0


def test_a_look_in_whose_middle_the_process_was_stopped_says_nothing() -> None:
    clocks = Clocks()
    stops = iter([0.0, 60.0, 0.0])  # as it is made, and at each look

    def time_of_day() -> float:
        clocks.pass_by(next(stops))
        return clocks.wall

    wall = WallClock(time_of_day, lambda: clocks.clock)
    assert wall.step() == 0
    assert wall.step() == 0
