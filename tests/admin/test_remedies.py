"""Each alarm that an origin can raise comes with what to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rtmp_sync
from rtmp_sync.admin.remedies import REMEDIES
from rtmp_sync.cluster.view import SELF_TESTS

PACKAGE = Path(rtmp_sync.__file__).parent
SOURCES = ("cluster/alarms.py", "admin/facts.py", "server/replication_refusals.py")
CHOSEN = {"record_refused", "claim_failed", *SELF_TESTS}  # named by an expression


def raised() -> set[str]:
    """The names that are written as `found["name"] = …` or `alarms["name"] = …`, and the keys of
    tables of names."""
    names = set(CHOSEN)
    for source in SOURCES:
        for node in ast.walk(ast.parse((PACKAGE / source).read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                key = node.targets[0].slice
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    names.add(key.value)
            elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # of _LINE
                first = node.elts[0]
                if isinstance(first, ast.Constant) and "_" in str(first.value):
                    names.add(str(first.value))
    return names


def test_the_alarms_are_found_in_the_sources() -> None:
    assert {"paused", "config_invalid", "guard_lost", "persist_failed"} <= raised()


@pytest.mark.parametrize("alarm", sorted(raised()))
def test_each_alarm_has_a_remedy(alarm: str) -> None:
    assert REMEDIES[alarm]


def test_no_remedy_is_for_an_alarm_that_nobody_raises() -> None:
    elsewhere = {"bad_mac", "unreachable"}  # told by the link, and by the command line
    assert set(REMEDIES) - raised() == elsewhere


def test_the_guide_for_operators_lists_them_all() -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text()
    for alarm, advice in REMEDIES.items():
        if alarm != "unreachable":  # said of an origin that says nothing itself
            assert any(
                line.startswith(f"| `{alarm}` ") and line.endswith(f"| {advice} |")
                for line in guide.splitlines()
            ), alarm
