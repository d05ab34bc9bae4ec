"""The search bites: rules that are broken on purpose are found, with the fewest faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model.sabotage import BROKEN
from tests.model.scenario import broken, explore

# Some seconds of CPU each, which a machine that does ten other things gives slowly.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_is_found_for_what_it_is(name: str, record_property: Callable[[str, object], None]) -> None:
    report, lines = explore(broken(name))
    assert report.found is not None, f"{report.visited} states without a violation"
    assert report.found.invariant in BROKEN[name].caught_by
    assert report.found.faults == BROKEN[name].faults
    assert len(lines) > len(report.found.steps)
    record_property("model", f"{name}: {report.found.invariant}, {report.visited} states")
