"""A part of the lab: ten faults of the table, done to a pair in network namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pair import ROOT
from tests.support.programs import require

FAULTS = os.environ.get("RTMP_SYNC_LAB_FAULTS", "1,3,5,10,13,30,31,35,36,38")
SECONDS = 900


@pytest.mark.timeout(SECONDS)
def test_the_outcome_of_each_fault_is_the_one_of_the_table(tmp_path: Path) -> None:
    for program in ("ip", "nft", "haproxy"):
        require(program)
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    results = tmp_path / "lab.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.lab", "--faults", FAULTS),
            *("--coordinator", "file", "--json", str(results)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert all(one["passed"] for one in json.loads(results.read_text()))
