"""Two minutes of the checker with every kind of fault in the deck, and a proof that it bites."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from tests.checker.faults import FAULTS, Fault
from tests.checker.field import Field
from tests.checker.run import Checker, Plan

MINUTES = float(os.environ.get("RTMP_SYNC_CHECKER_MINUTES", "2"))
SEED = int(os.environ.get("RTMP_SYNC_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
AROUND_SECONDS = 480  # starting, the strike under way, the last verdict and the comparison


@pytest.mark.timeout(MINUTES * 60 + AROUND_SECONDS)
async def test_two_minutes_of_faults_break_no_promise() -> None:
    print(f"RTMP_SYNC_SEED={SEED}")
    outcome = await Checker(Plan(MINUTES, SEED, FAULTS), tell=print).run()
    print(outcome.figures)
    assert outcome.problems == [], f"see {outcome.kept}"
    assert outcome.tally.strikes > 0


async def _lose_both_disks(field: Field) -> None:
    killed = await field.kill(*field.pair.nodes(), guard=True)
    assert await field.gone(killed, 5.0)
    for node in field.pair.nodes():
        field.wipe(node)


@pytest.mark.timeout(AROUND_SECONDS)
async def test_a_pair_that_forgets_is_found_out() -> None:
    plan = Plan(0.1, SEED, [Fault("both disks are lost", _lose_both_disks, alone=True)])
    outcome = await Checker(plan, tell=print).run()
    assert any(problem.startswith("lost:") for problem in outcome.problems), outcome.problems
    assert outcome.kept is not None
    shutil.rmtree(outcome.kept)
