"""The simulated world itself: a seed is one world, and in it the invariants hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import Fault, plan, simulate

SEEDS = 60
BLOCK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_invariant_holds_whatever_goes_wrong(first: int) -> None:
    for seed in range(first, first + BLOCK):
        violation = simulate(seed).violation
        assert violation is None, f"seed {seed}: {violation}"


def test_a_seed_runs_the_same_way_twice() -> None:
    one, other = simulate(7, trace=True), simulate(7, trace=True)
    assert one.trace == other.trace
    assert one.stats == other.stats


def test_nor_does_it_depend_on_how_the_process_hashes() -> None:
    """Sets of names are in another order in each process; nothing may follow it."""
    program = "from tests.simulation import simulate; print(*simulate(12, trace=True).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1


def test_a_trace_changes_nothing() -> None:
    assert simulate(8, trace=True).stats == simulate(8).stats


def test_a_seed_runs_with_the_faults_it_is_given() -> None:
    crash = Fault(2.0, "crash", "active", 1.0, 0.5)
    outcome = simulate(9, faults=[crash], trace=True)
    assert outcome.faults == [crash]
    assert outcome.stats["faults.crash"] == 1
    assert outcome.stats["takeovers"] == 1


def test_without_faults_nothing_happens_but_service() -> None:
    outcome = simulate(10, faults=[])
    assert outcome.violation is None
    assert outcome.stats["takeovers"] == outcome.stats["degrades"] == 0
    assert outcome.stats["acknowledged"] > 0


def test_the_faults_of_a_seed_are_drawn_up_front() -> None:
    assert plan(11) == plan(11)
    assert simulate(11).faults == plan(11)
