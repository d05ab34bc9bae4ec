"""Real programs publish, play, seek, resume, pull and push: the table of tests/e2e/programs.

All rows that are asked for run beside each other, once; then each test looks at its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tests.support.programs import require

from .programs.row import Outcome, Row, outcomes
from .programs.scene import Scene
from .programs.table import TABLE


@pytest.fixture(scope="module")
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Outcome]:
    """What the rows of the selected tests did."""
    selected = [
        item.callspec.params["row"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
    ]
    rows = [row for row in TABLE if row in selected and not row.missing]

    async def run() -> list[Outcome]:
        async with Scene.open(tmp_path_factory.mktemp("programs")) as scene:
            return await outcomes(rows, scene)

    return {one.row.id: one for one in asyncio.run(run())}


@pytest.mark.parametrize("row", TABLE, ids=[row.id for row in TABLE])
def test_a_program_does_what_the_table_says(row: Row, seen: Mapping[str, Outcome]) -> None:
    for command in row.needs:
        require(command)
    outcome = seen[row.id]
    assert outcome.as_expected, outcome.observed
