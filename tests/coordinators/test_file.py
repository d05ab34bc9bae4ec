"""The file coordinator on a real folder, with its real helper process."""

from __future__ import annotations

# ruff: noqa: ASYNC240  (a test may touch a local file on its loop)
import asyncio
import errno
import os
import signal
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, Record, encode, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.base import Reading
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.file_helper import MAX_DYING, FileHelper
from rtmp_sync.errors import ConfigError, StoreError, StoreTimeout
from rtmp_sync.server.spawn import ended

FIRST = first_record(("A", "B"), Author("A", "a1", "first", ""))


def author(node: str, nonce: str) -> Author:
    return Author(node, f"{node.lower()}1", nonce, "")


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
    helper._dying.update(hung)  # what the end of one in uninterruptible sleep is waited for with
    with pytest.raises(StoreTimeout):
        await helper.request("read", node="A", beat=None, peer=None)
    assert helper._helper is None
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
    running = coordinator._helper._helper
    assert running is not None
    return running.process.pid


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
    running = a._helper._helper
    assert running is not None
    running.requests.close()
    assert await asyncio.wait_for(ended(running.process), 10) == 0


# -- the nodes' nonces ---------------------------------------------------------------


async def test_a_node_reads_what_the_other_one_wrote_last(
    a: FileCoordinator, b: FileCoordinator
) -> None:
    assert await b.read_nonce("A") is None
    written = [await a.write_nonce(), await a.write_nonce()]
    assert written[0] != written[1]
    assert await b.read_nonce("A") == written[1]
    assert await a.read_nonce("B") is None
