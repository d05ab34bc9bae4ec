"""Fresh seeds on every run; the invariants of failover.md hold in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import SEED
from tests.simulation.run import explain, main
from tests.simulation.seeds import Scenario, run_seeds
from tests.simulation.tally import ROWS

SEEDS = 1000
BLOCK = 50

FIRST = int(os.environ[SEED])


@pytest.mark.parametrize("block", range(SEEDS // BLOCK))
def test_every_invariant_holds(block: int, record_property: Callable[[str, object], None]) -> None:
    seeds = range(FIRST + block * BLOCK, FIRST + (block + 1) * BLOCK)
    tally = run_seeds(Scenario(), seeds)
    acted = [row for row in ROWS if tally.rows[row]]
    failures = len(tally.failures)
    said = {"seeds": len(seeds), "violations": failures, "all_rows": [*ROWS], "rows": acted}
    record_property("seeds", said)
    if tally.failures:
        pytest.fail(explain(Scenario(), tally.failures[0].seed), pytrace=False)


def test_a_seed_runs_the_same_way_in_every_process() -> None:
    one, other = (
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    )
    assert one == other
    assert "every invariant held" in one


def test_a_run_ends_well_with_the_averages_and_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--first", "1", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "4 seeds from 1" in said
    assert "takeovers" in said
    assert "rows of the transition table visited" in said


def test_a_violation_is_told_with_its_seed_its_faults_and_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = ["--sabotage", "ack-before-replication"]
    assert main([*broken, "--seeds", "40", "--first", "0", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert "reduced from" in said
    command = said.splitlines()[-1].partition("again: python -m tests.simulation ")[2].split()
    assert main(command) == 1
