"""The article's rules, fed to a search of the same kind."""

from __future__ import annotations

import pytest

from tests.model.article import DEFECTS, search_article


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_one_fault_is_enough(defect: str) -> None:
    found = search_article(defect)
    assert found is not None
    assert found.faults == 1


def test_both_are_closed_for_ever_once_a_primary_was_repaired() -> None:
    found = search_article("D1")
    assert found is not None
    assert found.steps == ("A crashes", "B runs its script")


def test_both_serve_when_they_lose_sight_of_each_other() -> None:
    found = search_article("D24")
    assert found is not None
    assert found.steps == ("they lose sight of each other", "B runs its script")
