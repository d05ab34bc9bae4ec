"""The simulation bites: each way in which the code is broken on purpose is reported, as what
it is, and the unbroken code passes the same seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.sabotage import SABOTAGES
from tests.simulation.seeds import Scenario, attempt

SEEDS = 1000


@pytest.mark.parametrize("name", sorted(SABOTAGES))
def test_is_reported_for_what_it_is(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    bite = SABOTAGES[name]
    whole, broken = Scenario(bite.mix), Scenario(bite.mix, name)
    for seed in range(SEEDS):
        violation = attempt(broken, seed).violation
        assert attempt(whole, seed).violation is None, seed
        if violation is not None and violation.invariant in bite.caught_by:
            break
    else:
        pytest.fail(f"{SEEDS} seeds without a report", pytrace=False)
    record_property("bite", f"{name}: {violation.invariant}, after {seed + 1} seeds")
