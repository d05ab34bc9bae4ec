"""The file coordinator on a real folder, with its real helper process."""

from __future__ import annotations

# ruff: noqa: ASYNC240  (a test may touch a local file on its loop)
import asyncio
import codecs
import errno
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, InSync, Record, encode, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.base import Reading
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.file_helper import MAX_DYING, FileHelper
from rtmp_sync.errors import ConfigError, StoreError, StoreTimeout

FIRST = first_record(("A", "B"), Author("A", "a1", "first", ""))


def author(node: str, nonce: str) -> Author:
    return Author(node, f"{node.lower()}1", nonce, "")


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    path = tmp_path / "MainOriginConfig.txt"
    path.write_bytes(b"A\\B\r\n")
    return path


@pytest.fixture
async def a(pair_file: Path) -> AsyncIterator[FileCoordinator]:
    coordinator = FileCoordinator(pair_file, "A", deadline_seconds=10)
    yield coordinator
    await coordinator.stop()


@pytest.fixture
async def b(pair_file: Path) -> AsyncIterator[FileCoordinator]:
    coordinator = FileCoordinator(pair_file, "B", deadline_seconds=10)
    yield coordinator
    await coordinator.stop()


async def read_until_line(coordinator: FileCoordinator, path: Path, content: bytes) -> Reading:
    """Read until the projection is in place."""
    async with asyncio.timeout(10):
        while True:
            reading = await coordinator.read(beat=False)
            if path.read_bytes() == content:
                return reading


def test_a_record_is_whole_though_the_system_takes_it_in_pieces(
    pair_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is nearly full may take a part; half a record would stop both nodes."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    content = encode(FIRST).decode("latin-1")
    answer = file_io.Folder(str(pair_file), "A").cas(1, content, FIRST.nonce)
    assert (answer["outcome"], answer["record"]) == ("landed", content)


def test_a_record_in_place_is_never_called_refused(
    pair_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without space may show the name and refuse to write itself down."""

    def full(_path: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_io, "_sync_directory", full)
    folder, content = file_io.Folder(str(pair_file), "A"), encode(FIRST).decode("latin-1")
    request = {"op": "cas", "rev": 1, "content": content, "nonce": FIRST.nonce}
    assert "outcome" not in file_io._answer(folder, request)  # which is: unknown
    assert folder.read("A", None, "B")["record"] == content


async def test_helpers_that_cannot_be_killed_do_not_pile_up(a: FileCoordinator) -> None:
    """A NAS that hangs for hours: each request would leave a process behind."""
    loop = asyncio.get_running_loop()
    helper = FileHelper(a._pair_file, "A", 0.05)
    hung = [loop.create_task(asyncio.Event().wait()) for _ in range(MAX_DYING)]
    helper._dying.update(hung)  # what `process.wait()` of one in uninterruptible sleep is
    with pytest.raises(StoreTimeout):
        await helper.request("read", node="A", beat=None, peer=None)
    assert helper._process is None
    assert len(helper._dying) == MAX_DYING
    helper._deadline_seconds = 10
    hung[0].cancel()
    helper._dying.discard(hung[0])
    answer = await helper.request("read", node="A", beat=None, peer=None)
    assert answer["line"] == "A\\B\r\n"
    for task in hung:
        task.cancel()
        helper._dying.discard(task)
    await helper.stop()


def helper_pid(coordinator: FileCoordinator) -> int:
    process = coordinator._helper._process
    assert process is not None
    return process.pid


# -- start ---------------------------------------------------------------------------


async def test_the_names_come_from_the_line(a: FileCoordinator) -> None:
    assert await a.start() == ("A", "B")


async def test_the_pairs_spelling_of_a_name_counts(pair_file: Path) -> None:
    coordinator = FileCoordinator(pair_file, "b", deadline_seconds=10)
    await coordinator.start()
    assert coordinator.node_id == "B"
    await coordinator.stop()


@pytest.mark.parametrize("content", [None, b"", b"A", b"A\\B\\primaryUP"])
async def test_no_record_and_no_line_is_a_wrong_configuration(
    pair_file: Path, a: FileCoordinator, content: bytes | None
) -> None:
    if content is None:
        pair_file.unlink()
    else:
        pair_file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        await a.start()
    assert raised.value.key == "failover.pair_file"


async def test_a_node_that_the_line_does_not_name_is_a_wrong_configuration(
    pair_file: Path,
) -> None:
    coordinator = FileCoordinator(pair_file, "C", deadline_seconds=10)
    with pytest.raises(ConfigError) as raised:
        await coordinator.start()
    assert raised.value.key == "node.id"
    await coordinator.stop()


async def test_valid_records_carry_a_pair_whose_line_is_gone(
    pair_file: Path, a: FileCoordinator, b: FileCoordinator
) -> None:
    await a.cas(FIRST)
    pair_file.unlink()
    assert await b.start() == ("A", "B")
    assert (await b.read(beat=False)).line == "missing"


async def test_a_store_that_cannot_be_reached_is_no_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"a file where the folder should be")
    path = tmp_path / "folder" / "pair.txt"
    coordinator = FileCoordinator(path, "A", deadline_seconds=10)
    assert await coordinator.start() is None
    with pytest.raises(StoreError):
        await coordinator.read(beat=False)
    await coordinator.stop()


# -- records -------------------------------------------------------------------------


async def test_a_record_is_read_back_as_it_was_written(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    attempt = await a.cas(FIRST)
    assert attempt.result.outcome is Outcome.LANDED
    assert attempt.highest == FIRST
    assert (await b.read(beat=False)).sighting.record == FIRST


async def test_of_two_attempts_at_one_revision_one_lands(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    await a.cas(FIRST)
    mine = FIRST.synced(author("A", "n-a"), 1, "in_sync", InSync("B", "b1"))
    theirs = FIRST.claimed(author("B", "n-b"), 1, "holder_expired")
    attempts = await asyncio.gather(a.cas(mine), b.cas(theirs))
    outcomes = sorted(attempt.result.outcome.value for attempt in attempts)
    assert outcomes == ["landed", "lost"]
    record = (await a.read(beat=False)).sighting.record
    assert all(attempt.highest == record for attempt in attempts)


async def test_racing_processes_land_exactly_one_record_a_revision(pair_file: Path) -> None:
    rounds, racers = 25, 4
    coordinators = [
        FileCoordinator(pair_file, "AB"[n % 2], deadline_seconds=30, owner=f"racer{n}")
        for n in range(racers)
    ]
    await coordinators[0].cas(FIRST)
    landed: dict[int, list[str]] = {}

    async def race(number: int) -> None:
        coordinator = coordinators[number]
        for attempt_number in range(rounds):
            record = (await coordinator.read(beat=False)).sighting.record
            assert record is not None
            nonce = f"{number}-{attempt_number}"
            after = record.unchanged(author("A", nonce), 0)
            attempt = await coordinator.cas(after)
            if attempt.result.outcome is Outcome.LANDED:
                landed.setdefault(after.rev, []).append(nonce)

    await asyncio.gather(*(race(number) for number in range(racers)))
    record = (await coordinators[0].read(beat=False)).sighting.record
    assert record is not None
    assert sorted(landed) == list(range(2, record.rev + 1))
    assert all(len(nonces) == 1 for nonces in landed.values())
    for coordinator in coordinators:
        await coordinator.stop()


async def test_a_repeated_attempt_that_had_landed_has_landed(a: FileCoordinator) -> None:
    await a.cas(FIRST)
    assert (await a.cas(FIRST)).result.outcome is Outcome.LANDED


async def test_an_attempt_that_others_built_upon_has_landed(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    await a.cas(FIRST)
    await b.cas(FIRST.claimed(author("B", "n"), 0, "x"))
    attempt = await a.cas(FIRST)
    assert attempt.result.outcome is Outcome.LANDED
    assert attempt.highest is not None
    assert attempt.highest.rev == 2


async def test_an_attempt_into_a_pruned_revision_is_lost(
    pair_file: Path, a: FileCoordinator
) -> None:
    record: Record = FIRST
    for number in range(3):
        await a.cas(record)
        record = record.unchanged(author("A", f"n{number}"), 0)
    os.unlink(f"{pair_file}.d/rec.2")
    late = FIRST.claimed(author("B", "late"), 0, "x")
    assert (await a.cas(late)).result.outcome is Outcome.LOST


async def test_at_least_a_hundred_records_stay(pair_file: Path, a: FileCoordinator) -> None:
    record = FIRST
    for number in range(150):
        await a.cas(record)
        record = record.unchanged(author("A", f"n{number}"), 0)
    pair_file.write_bytes(b"A\\B")  # a fresh line is projected anew, and that prunes
    await a.read(beat=False)
    folder = Path(f"{pair_file}.d")
    async with asyncio.timeout(10):
        while (folder / "rec.1").exists():
            await a.read(beat=False)
    kept = [path for path in folder.iterdir() if path.name.startswith("rec.")]
    assert 100 <= len(kept) < 150


async def test_a_damaged_record_is_invalid_and_not_absent(
    pair_file: Path, a: FileCoordinator
) -> None:
    await a.cas(FIRST)
    Path(f"{pair_file}.d/rec.1").write_bytes(b"{}")
    sighting = (await a.read(beat=False)).sighting
    assert sighting.record is None
    assert sighting.invalid


async def test_a_full_store_refuses_and_nothing_has_landed(
    pair_file: Path, a: FileCoordinator
) -> None:
    Path(f"{pair_file}.d").write_bytes(b"no folder can be made here")
    attempt = await a.cas(FIRST)
    assert attempt.result.outcome is Outcome.REFUSED
    assert attempt.result.detail


async def test_temporary_files_of_a_dead_helper_are_removed(
    pair_file: Path, a: FileCoordinator
) -> None:
    folder = Path(f"{pair_file}.d")
    folder.mkdir()
    stale, foreign = folder / "tmp.A.1.1", folder / "tmp.B.1.1"
    stale.write_bytes(b"half a rec")
    foreign.write_bytes(b"half a rec")
    assert (await a.read(beat=False)).sighting.record is None
    assert not stale.exists()
    assert foreign.exists()
    await a.cas(FIRST)
    assert not [path for path in folder.iterdir() if path.name.startswith("tmp.A")]


# -- heartbeats ----------------------------------------------------------------------


async def test_a_heartbeat_is_seen_by_the_other_node_as_a_change(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    await a.cas(FIRST)
    seen = []
    for _ in range(2):
        assert (await a.read(beat=True)).sighting.beat_written
        readings = [await b.read(beat=False), await b.read(beat=False)]
        seen += [reading.sighting.peer_beat for reading in readings]
    assert seen[0] == seen[1] != ""
    assert seen[2] == seen[3] != seen[0]


async def test_nodes_do_not_see_their_own_heartbeat(a: FileCoordinator) -> None:
    await a.read(beat=True)
    assert (await a.read(beat=True)).sighting.peer_beat == ""


# -- the helper ----------------------------------------------------------------------


async def test_a_hung_helper_gives_an_unknown_outcome_and_is_replaced(pair_file: Path) -> None:
    coordinator = FileCoordinator(pair_file, "A", deadline_seconds=1)
    await coordinator.read(beat=False)
    hung = helper_pid(coordinator)
    os.kill(hung, signal.SIGSTOP)
    attempt = await coordinator.cas(FIRST)
    assert attempt.result.outcome is Outcome.UNKNOWN
    assert await coordinator._helper.reaped()
    async with asyncio.timeout(20):
        while (reading := await _read(coordinator)) is None:
            pass
    assert helper_pid(coordinator) != hung
    assert reading.sighting.record in (None, FIRST)
    await coordinator.stop()


async def _read(coordinator: FileCoordinator) -> Reading | None:
    try:
        return await coordinator.read(beat=False)
    except StoreTimeout:  # a busy machine starts a helper slowly
        return None


async def test_a_killed_helper_is_replaced(a: FileCoordinator) -> None:
    await a.read(beat=False)
    os.kill(helper_pid(a), signal.SIGKILL)
    with pytest.raises(StoreTimeout):
        await a.read(beat=False)
    assert (await a.read(beat=False)).nodes == ("A", "B")


async def test_a_helper_ends_with_its_origin(a: FileCoordinator) -> None:
    await a.read(beat=False)
    process = a._helper._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0


# -- the line ------------------------------------------------------------------------


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


# -- the nodes' nonces ---------------------------------------------------------------


async def test_a_node_reads_what_the_other_one_wrote_last(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    assert await b.read_nonce("A") is None
    written = [await a.write_nonce(), await a.write_nonce()]
    assert written[0] != written[1]
    assert await b.read_nonce("A") == written[1]
    assert await a.read_nonce("B") is None
