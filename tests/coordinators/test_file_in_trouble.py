"""The file coordinator on a store that hangs, is full, or loses what it had."""

from __future__ import annotations

# ruff: noqa: ASYNC240  (a test may touch a local file on its loop)
import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from rtmp_sync.cluster.record import Author, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators import file_io
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.file_helper import FileHelper
from rtmp_sync.errors import StoreTimeout
from rtmp_sync.firewalls.run_program import run_program
from tests.coordinators.stores import NODES, FileStore
from tests.support.fuse_disk import FuseDisk

FIRST = first_record(NODES, Author("A", "a1", "first", ""))


@pytest.fixture
async def store(fuse: FuseDisk) -> AsyncIterator[FileStore]:
    made = FileStore(fuse.path, fuse)
    yield made
    await made.close()


async def landed(a: FileCoordinator) -> None:
    async with asyncio.timeout(60):
        while True:
            if (await a.cas(FIRST)).result.outcome is Outcome.LANDED:
                return


async def test_a_release_waits_until_a_hung_helper_is_gone(store: FileStore) -> None:
    """What that one was about to write could come after it."""
    a = store.node("A", "a1", patient=False)
    await landed(a)
    await store.hang()
    with pytest.raises(StoreTimeout):
        await a.read(beat=True)
    released = FIRST.let_go(Author("A", "a1", "bye", ""), 0, "stopped")
    attempt = await a.cas(released)
    assert (attempt.result.outcome, attempt.highest) == (Outcome.REFUSED, None)
    assert "hung helper" in attempt.result.detail
    await store.heal()
    async with asyncio.timeout(60):
        while True:
            if (await a.cas(released)).result.outcome is Outcome.LANDED:
                return


async def test_a_full_store_takes_no_heartbeat_and_shows_the_record(store: FileStore) -> None:
    a = store.node("A", "a1")
    await landed(a)
    await store.fill()
    sighting = (await a.read(beat=True)).sighting
    assert (sighting.record, sighting.beat_written) == (FIRST, False)
    assert "ENOSPC" in a.condition
    await store.heal()
    assert (await a.read(beat=True)).sighting.beat_written
    assert a.condition == "ok"


async def test_a_deleted_folder_shows_no_record_and_is_no_damaged_one(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    a = store.node("A", "a1")
    await landed(a)
    folder = Path(f"{store.pair_file}.d")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    sighting = (await a.read(beat=False)).sighting
    assert (sighting.record, sighting.invalid) == (None, False)
    await store.close()


def test_records_do_not_pile_up_while_there_is_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "KEEP_RECORDS", 4)
    folder = file_io.Folder(str(tmp_path / "pair"), "A")
    for rev in range(1, 13):
        folder.cas(rev, '{"nonce": "n"}', "n")
    kept = sorted(int(path.suffix[1:]) for path in Path(folder.path).iterdir())
    assert kept == [9, 10, 11, 12]


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_recording_on_a_nas_that_hangs_keeps_no_loop_that_starts_programs(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    nas, healed = FuseDisk(tmp_path / "nas", tmp_path / "beneath"), threading.Event()

    def heal() -> None:
        healed.set()
        nas.heal()

    late = threading.Timer(10, heal)  # or a loop that stands still would for ever

    async def scenario() -> None:
        helper = FileHelper(nas.path / "pair.txt", "A", 0.2)
        with (nas.path / "recording").open("wb", buffering=0) as recording:
            recording.write(b"x")
            nas.hang()
            late.start()
            running = asyncio.ensure_future(run_program(["true"], deadline_seconds=60))
            with pytest.raises(StoreTimeout):
                await helper.request("read", node="A", beat=None, peer=None)
            assert not running.done()
            assert not healed.is_set()
            heal()
        assert (await running).code == 0
        await helper.stop()

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(scenario())
    finally:
        late.cancel()
        nas.close()
