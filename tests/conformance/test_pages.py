"""docs/from_ssas.md and docs/from_red5.md say what is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.page import PAGES, exists, names_here, page, rows

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("which", PAGES)
def test_the_page_is_made_of_the_data(which: str) -> None:
    assert (DOCS / PAGES[which]).read_text() == page(which), (
        f"run `python -m tests.conformance.page {which} > docs/{PAGES[which]}`"
    )


@pytest.mark.parametrize("which", PAGES)
def test_what_is_named_exists(which: str) -> None:
    assert [
        name for _, here, _ in rows(which) for name in names_here(here) if not exists(name)
    ] == []


@pytest.mark.parametrize("which", PAGES)
def test_what_is_left_out_has_a_reason(which: str) -> None:
    assert [there for there, here, note in rows(which) if not here and not note] == []


@pytest.mark.parametrize("name", ["Nothing", "Client.nothing", "Client._link", "NetConnection.no"])
def test_what_does_not_exist_is_noticed(name: str) -> None:
    assert not exists(name)


def test_the_same_is_what_has_the_same_name_in_the_spelling_of_python() -> None:
    lines = page("ssas").splitlines()
    assert any(line.startswith("| `readAccess` | same | `Client.read_access` |") for line in lines)
    assert any(line.startswith("| `broadcastMsg()` | other name |") for line in lines)
    assert any(line.startswith("| `gc()` | left out |") for line in lines)
