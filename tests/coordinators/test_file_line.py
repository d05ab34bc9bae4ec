"""The operator's line beside the records: what is ours, what is a request, and what is neither."""

from __future__ import annotations

# ruff: noqa: ASYNC240  (a test may touch a local file on its loop)
import asyncio
import codecs
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, InSync, first_record
from rtmp_sync.coordinators.base import Reading
from rtmp_sync.coordinators.file import FileCoordinator

FIRST = first_record(("A", "B"), Author("A", "a1", "first", ""))


def author(node: str, nonce: str) -> Author:
    return Author(node, f"{node.lower()}1", nonce, "")


async def read_until_line(coordinator: FileCoordinator, path: Path, content: bytes) -> Reading:
    """Read until the projection is in place."""
    async with asyncio.timeout(60):
        while True:
            reading = await coordinator.read(beat=False)
            if path.read_bytes() == content:
                return reading


async def test_the_line_follows_the_record_and_is_no_request(
    pair_file: Path, a: FileCoordinator, b: FileCoordinator
) -> None:
    await b.read(beat=False)
    await a.cas(FIRST)
    await b.cas(FIRST.claimed(author("B", "n"), 0, "x"))
    await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    for _ in range(3):
        reading = await b.read(beat=False)
        assert (reading.line, reading.wished_holder) == ("valid", None)
    assert pair_file.stat().st_nlink == 2


@pytest.mark.parametrize("in_place", [True, False])
async def test_an_operators_reset_is_a_request_once_it_is_stable(
    pair_file: Path, b: FileCoordinator, in_place: bool
) -> None:
    await b.read(beat=False)
    await b.cas(replace(FIRST.claimed(author("B", "n"), 0, "x"), rev=1))
    await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    if not in_place:  # an editor that writes a new file and renames it
        pair_file.unlink()
    pair_file.write_bytes(b"a\\b\r\n")
    assert (await b.read(beat=False)).wished_holder is None
    assert (await b.read(beat=False)).wished_holder == "A"
    assert (await b.read(beat=False)).wished_holder == "A"
    assert pair_file.read_bytes() == b"a\\b\r\n"  # left until it is granted


@pytest.mark.parametrize(
    "content",
    [
        b"A\\B\r\n",
        b"  a \\ b  \r\n\r\n",
        b"\xef\xbb\xbfA\\B\r\n",
        "A\\B\r\n".encode("utf-16"),
        "A\\B\r\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "A\\B\r\n".encode("utf-16-be"),
        "a\\b".encode("utf-16-be"),
        b"A\\B",  # what an older projection said, saved by somebody
    ],
)
async def test_a_line_saved_by_any_editor_is_a_request(
    pair_file: Path, a: FileCoordinator, b: FileCoordinator, content: bytes
) -> None:
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    await b.cas(FIRST.claimed(author("B", "n"), 0, "x"))
    await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    pair_file.unlink()  # most editors write another file and rename it
    pair_file.write_bytes(content)
    wishes = [(await b.read(beat=False)).wished_holder for _ in range(3)]
    assert wishes == [None, "A", "A"]


async def test_a_request_for_the_second_node_is_understood_in_any_case(
    pair_file: Path, a: FileCoordinator
) -> None:
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    pair_file.write_bytes(b"a\\b\\SECONDARYup \r\n")
    wishes = [(await a.read(beat=False)).wished_holder for _ in range(2)]
    assert wishes == [None, "B"]


async def test_an_edit_that_changes_while_it_is_looked_at_is_no_request_yet(
    pair_file: Path, a: FileCoordinator
) -> None:
    """An editor that truncates first, and an operator who saves twice."""
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    wishes = []
    for content in (b"", b"A\\B\\secondaryUP", b"A\\B\\secondaryUP\r\n", b"A\\B\\secondaryUP\r\n"):
        pair_file.write_bytes(content)
        wishes.append((await a.read(beat=False)).wished_holder)
    assert wishes == [None, None, None, "B"]


async def test_a_request_that_is_granted_becomes_a_projection(
    pair_file: Path, a: FileCoordinator, b: FileCoordinator
) -> None:
    await b.read(beat=False)
    claimed = replace(FIRST.claimed(author("B", "n"), 0, "x"), rev=1)
    await b.cas(claimed)
    await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    pair_file.write_bytes(b"A\\B\r\n")
    await b.cas(claimed.handed_over(author("B", "n2"), 0, InSync("A", "a1")))
    reading = await read_until_line(a, pair_file, b"A\\B")
    assert reading.wished_holder is None


async def test_a_late_rename_of_an_older_projection_is_rewritten(
    pair_file: Path, a: FileCoordinator, b: FileCoordinator
) -> None:
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    await b.cas(FIRST.claimed(author("B", "n"), 0, "x"))
    await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    pair_file.unlink()
    os.link(f"{pair_file}.d/line.1", pair_file)
    reading = await read_until_line(b, pair_file, b"A\\B\\secondaryUP")
    assert reading.wished_holder is None


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"B\\A", "rejected"), (b"A\\C", "rejected"), (b"A\\B\\up", "invalid"), (b"", "invalid")],
)
async def test_a_wrong_line_is_reported_and_left_alone(
    pair_file: Path, a: FileCoordinator, content: bytes, status: str
) -> None:
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    pair_file.write_bytes(content)
    for _ in range(3):
        reading = await a.read(beat=False)
        assert (reading.line, reading.wished_holder) == (status, None)
    assert pair_file.read_bytes() == content


async def test_a_deleted_line_is_not_recreated(pair_file: Path, a: FileCoordinator) -> None:
    await a.cas(FIRST)
    await read_until_line(a, pair_file, b"A\\B")
    pair_file.unlink()
    for _ in range(3):
        assert (await a.read(beat=False)).line == "missing"
    assert not pair_file.exists()
