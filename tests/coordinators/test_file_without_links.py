"""The file coordinator where files can't have two names, as on most SMB shares."""

from __future__ import annotations

# ruff: noqa: ASYNC240  (a test may touch a local file on its loop)
import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.file import FileCoordinator
from tests.coordinators.stores import NODES, FileStore
from tests.support.fuse_disk import FuseDisk

FIRST = first_record(NODES, Author("A", "a1", "first", ""))


def author(boot_id: str, nonce: str) -> Author:
    return Author(boot_id[0].upper(), boot_id, nonce, "")


@pytest.fixture
async def share(fuse: FuseDisk) -> AsyncIterator[FileStore]:
    fuse.have_no_links()
    store = FileStore(fuse.path, fuse)
    yield store
    await store.close()


@pytest.fixture
def a(share: FileStore) -> FileCoordinator:
    return share.node("A", "a1")


@pytest.fixture
def b(share: FileStore) -> FileCoordinator:
    return share.node("B", "b1")


async def landed(coordinator: FileCoordinator, record: Record) -> Record:
    attempt = await coordinator.cas(record)
    assert attempt.result.outcome is Outcome.LANDED, attempt
    assert attempt.highest == record
    return record


async def until_line(coordinator: FileCoordinator, path: Path, content: bytes) -> None:
    async with asyncio.timeout(20):
        while True:
            reading = await coordinator.read(beat=False)
            if path.read_bytes() == content:
                assert reading.wished_holder is None
                return


# -- records -------------------------------------------------------------------------


async def test_a_record_is_read_by_both_as_it_was_written(
    share: FileStore, a: FileCoordinator, b: FileCoordinator
) -> None:
    await landed(a, FIRST)
    assert (await b.read(beat=False)).sighting.record == FIRST
    assert (Path(f"{share.pair_file}.d") / "rec.1").is_dir()


async def test_racing_writers_land_one_record_a_revision(share: FileStore) -> None:
    rounds, racers = 8, 4
    coordinators = [share.node("AB"[number % 2], f"x{number}") for number in range(racers)]
    await landed(coordinators[0], FIRST)
    landed_at: dict[int, list[str]] = {}

    async def race(number: int) -> None:
        for turn in range(rounds):
            record = (await coordinators[number].read(beat=False)).sighting.record
            assert record is not None
            after = record.unchanged(author("a9", f"{number}-{turn}"), 0)
            attempt = await coordinators[number].cas(after)
            assert attempt.result.outcome in (Outcome.LANDED, Outcome.LOST)
            if attempt.result.outcome is Outcome.LANDED:
                landed_at.setdefault(after.rev, []).append(after.nonce)

    await asyncio.gather(*(race(number) for number in range(racers)))
    record = (await coordinators[0].read(beat=False)).sighting.record
    assert record is not None
    assert sorted(landed_at) == list(range(2, record.rev + 1))
    assert all(len(nonces) == 1 for nonces in landed_at.values())


async def test_a_revision_is_taken_whether_by_a_link_or_by_a_folder(
    share: FileStore, a: FileCoordinator, b: FileCoordinator, fuse: FuseDisk
) -> None:
    await landed(a, FIRST)
    late = first_record(NODES, author("b1", "late"))
    await asyncio.to_thread(fuse.heal)  # now there are links: another mount of the same store
    assert (await b.cas(late)).result.outcome is Outcome.LOST
    paused = await landed(b, FIRST.with_pause(author("b1", "p"), 0, True))
    await asyncio.to_thread(fuse.have_no_links)
    other = FIRST.with_pause(author("a1", "other"), 0, True)
    attempt = await a.cas(other)
    assert (attempt.result.outcome, attempt.highest) == (Outcome.LOST, paused)


async def test_a_repeated_attempt_that_had_landed_has_landed(a: FileCoordinator) -> None:
    await landed(a, FIRST)
    await landed(a, FIRST)


async def test_what_a_dead_helper_left_is_removed(share: FileStore) -> None:
    folder = Path(f"{share.pair_file}.d")
    left = folder / "tmp.A-a1-0.1.1"
    left.mkdir(parents=True)
    (left / file_io.RECORD).write_bytes(b"half a rec")
    a = share.node("A", "a1")
    await landed(a, FIRST)
    assert [path.name for path in folder.iterdir()] == ["rec.1"]


def test_old_records_are_pruned_in_either_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "KEEP_RECORDS", 2)
    folder = file_io.Folder(str(tmp_path / "pair"), "A")
    records = Path(folder.path)
    records.mkdir()
    for rev in (1, 2, 3, 4):
        (records / f"rec.{rev}").mkdir()
        (records / f"rec.{rev}" / file_io.RECORD).write_bytes(b"{}")
        (records / f"stamp.{rev}").write_bytes(b"{}")
    folder._prune()
    names = sorted(path.name for path in records.iterdir())
    assert names == ["rec.3", "rec.4", "stamp.3", "stamp.4"]


# -- the line ------------------------------------------------------------------------


async def test_the_line_follows_the_record_and_is_no_request(
    share: FileStore, a: FileCoordinator, b: FileCoordinator
) -> None:
    await b.read(beat=False)
    await landed(a, FIRST)
    await landed(b, FIRST.claimed(author("b1", "n"), 0, "x"))
    await until_line(b, share.pair_file, b"A\\B\\secondaryUP")
    for _ in range(3):
        reading = await b.read(beat=False)
        assert (reading.line, reading.wished_holder) == ("valid", None)


async def test_an_edit_is_a_request(share: FileStore, b: FileCoordinator) -> None:
    await b.read(beat=False)
    first = first_record(NODES, author("b1", "first"))
    await landed(b, first)
    await until_line(b, share.pair_file, b"A\\B\\secondaryUP")
    share.pair_file.write_bytes(b"a\\b\r\n")
    assert (await b.read(beat=False)).wished_holder is None
    assert (await b.read(beat=False)).wished_holder == "A"
    assert share.pair_file.read_bytes() == b"a\\b\r\n"


async def test_an_edit_to_what_an_older_projection_said_is_a_request(
    share: FileStore, a: FileCoordinator, b: FileCoordinator
) -> None:
    """The same bytes, saved at another time."""
    await landed(a, FIRST)
    share.pair_file.write_bytes(b"A\\B\r\n")
    await until_line(a, share.pair_file, b"A\\B")
    await landed(b, FIRST.claimed(author("b1", "n"), 0, "x"))
    await until_line(b, share.pair_file, b"A\\B\\secondaryUP")
    share.pair_file.write_bytes(b"A\\B")
    later = share.pair_file.stat().st_mtime + 60
    os.utime(share.pair_file, (later, later))
    assert (await b.read(beat=False)).wished_holder is None
    assert (await b.read(beat=False)).wished_holder == "A"


async def test_a_late_rename_of_an_older_projection_is_rewritten(
    share: FileStore, a: FileCoordinator, b: FileCoordinator
) -> None:
    await landed(a, FIRST)
    await until_line(a, share.pair_file, b"A\\B")
    older = share.pair_file.with_name("kept by a frozen node")
    os.rename(share.pair_file, older)
    share.pair_file.write_bytes(b"A\\B")
    synced = FIRST.synced(author("a1", "s"), 0, "in_sync", InSync("B", "b1"))
    await landed(a, synced)
    await landed(b, synced.claimed(author("b1", "n"), 0, "x"))
    await until_line(b, share.pair_file, b"A\\B\\secondaryUP")
    os.rename(older, share.pair_file)
    await until_line(b, share.pair_file, b"A\\B\\secondaryUP")
