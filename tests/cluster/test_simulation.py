"""Random faults on a simulated pair; the invariants are checked after every step."""

from __future__ import annotations

import pytest

from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import Policy
from tests.cluster.simulation import Simulation, Violation

SEEDS = 300
BLOCK = 25


def run(seeds: range) -> None:
    for seed in seeds:
        Simulation(seed).run()


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_never_two_gates_nothing_acknowledged_lost_and_somebody_serves_again(first: int) -> None:
    run(range(first, first + BLOCK))


def test_strict_mode_keeps_the_invariants_too() -> None:
    for seed in range(BLOCK):
        Simulation(seed, policy=Policy(mode="strict")).run()


def test_a_seed_runs_the_same_way_twice() -> None:
    one, other = Simulation(7), Simulation(7)
    one.run()
    other.run()
    assert one.lines == other.lines


def test_without_the_wait_of_the_claim_rule_two_serve_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Timing, "binding", property(lambda self: 0.0))
    with pytest.raises(Violation, match="I1"):
        run(range(200))
