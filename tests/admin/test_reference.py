"""docs/admin_api.md has the methods as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.admin.method import found_methods
from rtmp_sync.admin.reference import renewed, table

PAGE = Path(__file__).parents[2] / "docs" / "admin_api.md"


def test_the_table_of_the_page_is_the_one_that_the_methods_make() -> None:
    page = PAGE.read_text()
    told = "run `python -m rtmp_sync.admin.reference docs/admin_api.md`"
    assert page == renewed(page), told


def test_the_table_has_every_method_once() -> None:
    rows = table().splitlines()[2:]
    assert sorted(row.split("`")[1] for row in rows) == sorted(found_methods())


def test_a_page_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs"):
        renewed("# Something else\n")
