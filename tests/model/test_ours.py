"""Our rules, in every state that one fault leads to, and in as many as there is time for beyond."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model.scenario import Scenario, explore

# Some seconds of CPU each, which a machine that does ten other things gives slowly.
pytestmark = pytest.mark.timeout(900)

TWO_FAULTS = frozenset(
    ("pause", "isolate", "crash", "clock runs ahead", "store is away", "unknown", "late")
)


def _nothing_found(scenario: Scenario, record_property: Callable[[str, object], None]) -> int:
    report, lines = explore(scenario)
    record_property("model", f"{report.visited} states, depth {report.depth}")
    assert report.found is None, "\n" + "\n".join(lines)
    return report.exhausted


@pytest.mark.parametrize("coordinator", ["file", "etcd"])
def test_no_fault_and_no_command_breaks_a_pair(
    coordinator: str, record_property: Callable[[str, object], None]
) -> None:
    scenario = Scenario(coordinator=coordinator)
    assert _nothing_found(scenario, record_property) == scenario.faults


@pytest.mark.parametrize("coordinator", ["file", "etcd"])
def test_a_pair_begins_in_whatever_order(
    coordinator: str, record_property: Callable[[str, object], None]
) -> None:
    scenario = Scenario(coordinator=coordinator, begin="cold", faults=0)
    assert _nothing_found(scenario, record_property) == scenario.faults


@pytest.mark.parametrize("mode", ["semi", "strict"])
def test_an_acknowledged_write_is_on_whoever_opens_next(
    mode: str, record_property: Callable[[str, object], None]
) -> None:
    kinds = frozenset(("crash", "power", "ask", "reset", "late", "isolate"))
    scenario = Scenario(writes=True, journal=True, kinds=kinds, mode=mode, states=2000)
    _nothing_found(scenario, record_property)


@pytest.mark.parametrize("coordinator", ["file", "etcd"])
def test_two_faults_at_once(
    coordinator: str, record_property: Callable[[str, object], None]
) -> None:
    scenario = Scenario(coordinator=coordinator, faults=2, kinds=TWO_FAULTS, states=1500)
    _nothing_found(scenario, record_property)
