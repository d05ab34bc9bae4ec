"""The article's own rules under the simulation's faults: what our rules are there for."""

from __future__ import annotations

import pytest

from tests.simulation import Fault, plan
from tests.simulation.article import (
    INTERVAL,
    OUTAGE,
    TWO_WRITERS,
    ScriptError,
    Step,
    script,
    simulate_article,
)
from tests.simulation.shrink import shrink

SEEDS = 1000
GOOD, NOBODY = "<result>NetConnection.Call.Success</result>", "failed"


@pytest.mark.parametrize(
    ("me", "line", "reply", "step"),
    [
        ("A", r"A\B", GOOD, Step(gate_open=True)),
        ("A", r"A\B\secondaryUP", GOOD, Step(gate_open=False)),
        ("A", r"A\B", NOBODY, Step(gate_open=False)),
        ("B", r"A\B", GOOD, Step(gate_open=False)),
        ("B", r"A\B\secondaryUP", GOOD, Step(gate_open=False)),
        ("B", r"A\B", NOBODY, Step(gate_open=True, line=r"A\B\secondaryUP")),
        ("B", r"A\B\secondaryUP", NOBODY, Step(gate_open=True)),
        ("B", r"A\B", "NetConnection.Connect.Rejected", Step(gate_open=False)),
    ],
)
def test_a_run_of_the_script_does_what_the_article_prints(
    me: str, line: str, reply: str, step: Step
) -> None:
    assert script(me, line, reply) == step


@pytest.mark.parametrize("line", [None, ""])
def test_a_missing_or_empty_file_kills_the_script(line: str | None) -> None:
    with pytest.raises(ScriptError, match="subscript"):
        script("A", line, GOOD)


def test_without_faults_the_primary_serves() -> None:
    assert simulate_article(0, []).violations == []


@pytest.mark.parametrize("invariant", [OUTAGE, TWO_WRITERS])
def test_random_faults_find_the_outage_and_the_two_writers(invariant: str) -> None:
    found = next(seed for seed in range(SEEDS) if invariant in _broken(seed, plan(seed)))
    smallest = shrink(plan(found), lambda faults: invariant in _broken(found, list(faults)))
    assert len(smallest) == 1


def test_a_primary_that_was_repaired_leaves_both_gates_closed() -> None:
    pair = simulate_article(0, [Fault(10.0, "crash", "A", 10.0, 0.5)])
    assert pair.line == r"A\B\secondaryUP"
    assert [str(violation) for violation in pair.violations][-1].startswith(OUTAGE)
    assert not any(machine.gate_open for machine in pair.machines.values())


def test_a_partition_opens_both_gates_until_the_primary_reads_the_file_again() -> None:
    pair = simulate_article(0, [Fault(10.0, "cut", "A", 10.0, 0.5)])
    assert pair.violations[0].invariant == TWO_WRITERS
    assert 0 < pair.two_writers_seconds <= INTERVAL


def test_a_primary_cut_off_from_the_file_too_goes_on_beside_the_secondary() -> None:
    pair = simulate_article(0, [Fault(10.0, "isolate", "A", 20.0, 0.5)])
    assert pair.two_writers_seconds > 20.0 - INTERVAL


def _broken(seed: int, faults: list[Fault]) -> set[str]:
    return {violation.invariant for violation in simulate_article(seed, faults).violations}
