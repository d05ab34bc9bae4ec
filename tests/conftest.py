"""What all tests share: the first seed of this run's simulation, and a word on what it saw."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import pytest

SEED = "RTMP_SYNC_SEED"


def pytest_configure() -> None:
    """Before processes of pytest-xdist are started: all of them take the same seeds."""
    os.environ.setdefault(SEED, str(time.time_ns() // 1_000_000 % 1_000_000_000))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Also when all went well: a seed that nobody wrote down can't be looked at again."""
    said: dict[str, list[Any]] = {"seeds": [], "bite": []}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", "") == "call":
            for name, value in report.user_properties:
                said.setdefault(name, []).append(value)
    if said["seeds"] or said["bite"]:
        terminalreporter.section(f"simulation: {SEED}={os.environ[SEED]}")
    if said["seeds"]:
        terminalreporter.line(_seen(said["seeds"]))
    for line in sorted(said["bite"]):
        terminalreporter.line(f"bites: {line}")


def _seen(blocks: list[dict[str, Any]]) -> str:
    """The blocks of seeds in one line. Each: seeds, violations, all_rows, rows that acted."""
    seeds, violations = (sum(block[key] for block in blocks) for key in ("seeds", "violations"))
    acted = {row for block in blocks for row in block["rows"]}
    never = ", ".join(row for row in blocks[0]["all_rows"] if row not in acted)
    return f"{seeds:,} seeds, {violations} violations, rows never visited: {never or 'none'}"
