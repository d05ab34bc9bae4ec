"""Reducing the faults of a failing seed."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation import Fault
from tests.simulation.shrink import MAX_RUNS, SHORTEST_SECONDS, shrink

PLAN = [Fault(float(number), f"kind{number}", "A", 8.0, 0.5) for number in range(12)]


def kinds(plan: Sequence[Fault]) -> list[str]:
    return [fault.kind for fault in plan]


def test_what_does_not_matter_is_left_out_and_what_matters_stays_in_its_order() -> None:
    needed = {"kind2", "kind3", "kind9"}
    smallest = shrink(PLAN, lambda plan: needed <= set(kinds(plan)))
    assert kinds(smallest) == ["kind2", "kind3", "kind9"]


def test_what_is_left_becomes_as_short_as_it_can_be() -> None:
    def fails(plan: Sequence[Fault]) -> bool:
        return any(fault.kind == "kind5" and fault.seconds >= 1.9 for fault in plan)

    assert [fault.seconds for fault in shrink(PLAN, fails)] == [2.0]


def test_a_seed_that_fails_without_any_fault_needs_none() -> None:
    assert shrink(PLAN, lambda plan: True) == []


def test_the_number_of_runs_is_bounded() -> None:
    runs = 0

    def fails(plan: Sequence[Fault]) -> bool:
        nonlocal runs
        runs += 1
        return len(plan) % 2 == 0 and all(fault.seconds > SHORTEST_SECONDS for fault in plan)

    many = [Fault(float(number), "kind", "A", 1e9, 0.5) for number in range(400)]
    assert fails(shrink(many, fails))
    assert runs <= MAX_RUNS + 1
