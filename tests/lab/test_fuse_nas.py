"""A mount that shows what was there when it became stale, and what was done through it since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fuse_disk import FuseDisk

SERVER = "tests.lab.fuse_nas"


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[tuple[FuseDisk, FuseDisk]]:
    """Two of one folder."""
    one = FuseDisk(tmp_path / "one", tmp_path / "nas", server=SERVER)
    other = FuseDisk(tmp_path / "other", tmp_path / "nas", server=SERVER)
    yield one, other
    one.close()
    other.close()


def test_others_changes_are_not_seen_until_it_is_well(mounts: tuple[FuseDisk, FuseDisk]) -> None:
    fresh, stale = mounts
    (fresh.path / "file").write_text("before")
    stale.stale()
    (fresh.path / "new").write_text("renamed")
    (fresh.path / "new").rename(fresh.path / "file")
    (fresh.path / "later").write_text("unseen")
    assert (stale.path / "file").read_text() == "before"
    assert os.listdir(stale.path) == ["file"]
    assert not (stale.path / "later").exists()
    stale.heal()
    assert (stale.path / "file").read_text() == "renamed"
    assert sorted(os.listdir(stale.path)) == ["file", "later"]


def test_what_is_done_through_it_is_seen(mounts: tuple[FuseDisk, FuseDisk]) -> None:
    fresh, stale = mounts
    stale.stale()
    (stale.path / "mine").write_text("m")
    os.link(stale.path / "mine", stale.path / "linked")
    (stale.path / "mine").unlink()
    assert os.listdir(stale.path) == ["linked"]
    assert (stale.path / "linked").read_text() == "m"
    assert (fresh.path / "linked").read_text() == "m"


def test_a_name_that_another_made_is_there_all_the_same(
    mounts: tuple[FuseDisk, FuseDisk],
) -> None:
    fresh, stale = mounts
    stale.stale()
    (stale.path / "temporary").write_text("mine")
    (fresh.path / "record").write_text("theirs")
    with pytest.raises(FileExistsError):
        os.link(stale.path / "temporary", stale.path / "record")
