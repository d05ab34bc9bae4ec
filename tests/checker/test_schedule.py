"""A seed names one order of faults, every kind comes, and what must be alone is alone."""

from __future__ import annotations

from itertools import islice

from tests.checker.faults import FAULTS
from tests.checker.schedule import Strike, schedule


def strikes(seed: int, count: int) -> list[Strike]:
    return list(islice(schedule(seed, FAULTS), count))


def test_a_seed_repeats_the_order_and_what_each_fault_draws() -> None:
    def drawn(seed: int) -> list[tuple[str, float, bool, list[float]]]:
        return [
            (strike.name, strike.pause_seconds, strike.waits, [m.random() for m in strike.moments])
            for strike in strikes(seed, 100)
        ]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_each_deck_holds_every_kind_once() -> None:
    firsts = [strike.faults[0].name for strike in strikes(3, 2 * len(FAULTS))]
    names = sorted(fault.name for fault in FAULTS)
    assert sorted(firsts[: len(FAULTS)]) == names
    assert sorted(firsts[len(FAULTS) :]) == names


def test_what_must_be_alone_is_alone_and_waits_for_a_whole_pair() -> None:
    drawn = strikes(5, 1000)
    assert any(len(strike.faults) == 2 for strike in drawn)
    assert any(not strike.waits for strike in drawn)
    for strike in drawn:
        if any(fault.alone for fault in strike.faults):
            assert len(strike.faults) == 1
            assert strike.needs_whole
