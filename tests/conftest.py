"""What all tests share: the first seed of this run's simulation, and a word on what it saw."""

from __future__ import annotations

import os
import time

import pytest

SEED = "RTMP_SYNC_SEED"


def pytest_configure() -> None:
    """Before processes of pytest-xdist are started: all of them take the same seeds."""
    os.environ.setdefault(SEED, str(time.time_ns() // 1_000_000 % 1_000_000_000))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Also when all went well: a seed that nobody wrote down can't be looked at again."""
    said = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "simulation" and report.when == "call"
    ]
    if said:
        terminalreporter.section(f"simulation: {SEED}={os.environ[SEED]}")
        for line in sorted(said):
            terminalreporter.line(line)
