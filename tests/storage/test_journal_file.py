"""A node's disk: what was written is there again, and what is damaged is cut off and named."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from pathlib import Path

import pytest

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage import disk_journal, disk_lane
from rtmp_sync.storage.journal_file import JournalFile, LoadReport
from rtmp_sync.storage.journal_format import SNAPSHOT, generations, journal_name
from tests.support.changes import change_something, new_state
from tests.support.nodes import until

SCOPE = "text/_definst_"


class Disk:
    """A state, its journal file and what the file reported."""

    def __init__(self, directory: Path, **options: int) -> None:
        self.state = ReplicatedState()
        self.file = JournalFile(directory, **options)
        self.report = self.file.load(self.state)
        self.written = 0
        self.failures: list[str] = []
        self.recovered = 0
        self.file.on_written = lambda seq: setattr(self, "written", seq)
        self.file.on_failed = self.failures.append
        self.file.on_recovered = lambda: setattr(self, "recovered", self.recovered + 1)

    def begin(self, first: ReplicatedState | None = None) -> None:
        """Go on after what was found; a new state is written from its first Change on."""
        self.file.begin()
        if self.state.empty:
            batch = (first or new_state()).journal.take_batch()
            assert batch is not None
            self.file.write(self.state.apply_batch(batch.first_seq, batch.data))

    def compact(self) -> None:
        self.file._journal._copy_wanted = True
        self.state.join_client(SCOPE, "compacted", b"")
        self.turn()

    async def copied(self) -> None:
        await until(lambda: not self.file._journal.copying)

    def turn(self) -> None:
        batch = self.state.journal.take_batch()
        if batch is not None:
            self.file.write(batch)

    def change(self, rng: random.Random, turns: int) -> None:
        for _ in range(turns):
            for _ in range(rng.randrange(1, 6)):
                change_something(self.state, rng)
            self.turn()

    async def settle(self) -> None:
        await until(lambda: self.written == self.state.journal.head)


def reload(directory: Path, **options: float) -> tuple[ReplicatedState, LoadReport]:
    state = ReplicatedState()
    return state, JournalFile(directory).load(state, **options)


async def test_what_was_written_is_there_again(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(1), 60)
    await disk.settle()
    await disk.file.stop()
    state, report = reload(tmp_path)
    assert state.digest() == disk.state.digest() == state.recompute_digest()
    assert state.journal.position == disk.state.journal.position == report.position
    assert state.journal.history_id == disk.state.journal.history_id
    assert report.damage == ()
    assert report.changes == disk.state.journal.head
    assert not state.temporary_stale


async def test_a_process_that_was_killed_loses_nothing_that_was_reported(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(2), 30)
    await disk.settle()
    state, _ = reload(tmp_path)  # the first process never stopped
    assert state.digest() == disk.state.digest()
    await disk.file.stop()


async def test_the_backlog_is_there_again_too(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(3), 10)
    await disk.settle()
    await disk.file.stop()
    state, _ = reload(tmp_path)
    history = state.journal.history_id
    assert state.journal.since(history, 3) == disk.state.journal.since(history, 3)


@pytest.mark.parametrize("seed", range(6))
async def test_compaction_while_writing_loses_nothing(tmp_path, seed):
    rng = random.Random(seed)
    disk = Disk(tmp_path, compact_bytes=1500)
    disk.begin()
    for _ in range(60):
        disk.change(rng, 3)
        await asyncio.sleep(0)
    await disk.settle()
    await disk.copied()
    assert disk.file.compactions > 0
    assert len(generations(os.listdir(tmp_path))) <= 2
    disk.change(rng, 5)
    await disk.settle()
    await disk.file.stop()
    state, report = reload(tmp_path)
    assert state.digest() == disk.state.digest() == state.recompute_digest()
    assert report.damage == ()


async def test_a_crash_within_compaction_leaves_what_was_before(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(4), 40)
    disk.compact()
    await disk.copied()
    disk.change(random.Random(5), 10)
    disk.compact()  # a new journal begins; its snapshot is never finished
    disk.file._journal.stop()
    disk.change(random.Random(6), 10)
    await disk.settle()
    await disk.file.stop()
    (tmp_path / f"{SNAPSHOT}.new").write_bytes(b"half of it")
    state, report = reload(tmp_path)
    assert state.digest() == disk.state.digest()
    assert report.damage == ()


async def test_restarts_go_on_where_the_last_one_ended(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    rng = random.Random(7)
    for _ in range(12):
        disk.change(rng, 5)
        await disk.settle()
        await disk.file.stop()
        disk = Disk(tmp_path)
        assert disk.report.damage == ()
        disk.begin()
    await disk.copied()
    assert len(generations(os.listdir(tmp_path))) < 12
    await disk.file.stop()


async def written_journal(directory: Path) -> tuple[Path, list[bytes]]:
    """One journal of ten batches, and the digest after each of them."""
    disk = Disk(directory)
    disk.begin()
    digests = [ReplicatedState().digest(), disk.state.digest()]
    for number in range(9):
        disk.state.join_client(SCOPE, f"c{number}", b"info")
        disk.turn()
        digests.append(disk.state.digest())
    await disk.settle()
    await disk.file.stop()
    [generation] = generations(os.listdir(directory))
    return directory / journal_name(generation), digests


async def test_a_damaged_end_does_not_hide_what_is_written_later(tmp_path):
    path, digests = await written_journal(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    disk = Disk(tmp_path)
    assert disk.report.damage != ()
    assert disk.state.digest() == digests[9]
    disk.begin()
    disk.state.join_client(SCOPE, "later", b"")
    disk.turn()
    await disk.settle()
    await disk.file.stop()
    state, _ = reload(tmp_path)
    assert state.digest() == disk.state.digest()


async def test_a_damaged_snapshot_is_named_and_nothing_is_made_up(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(8), 40)
    disk.compact()
    await disk.copied()
    await disk.file.stop()
    path = tmp_path / SNAPSHOT
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    state, report = reload(tmp_path)
    assert state.empty
    assert report.damage[0].file == SNAPSHOT


async def test_a_copy_that_took_the_states_place_voids_the_old_journal(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(9), 20)
    await disk.settle()
    head = disk.state.journal.head
    other = new_state(epoch=2, history_id="h2")
    while other.journal.head < head:
        other.join_client(SCOPE, "c", b"")
    other.journal.take_batch()
    disk.state.install(other)
    disk.file.begin_anew()
    disk.state.join_client(SCOPE, "after", b"")
    disk.turn()
    await disk.settle()
    await disk.file.stop()
    state, report = reload(tmp_path)
    assert state.digest() == disk.state.digest()
    assert state.journal.position == disk.state.journal.position
    assert report.damage == ()


async def test_an_old_journal_is_never_replayed_on_another_state_of_the_same_seq(tmp_path):
    disk = Disk(tmp_path)
    disk.begin()
    disk.change(random.Random(10), 20)
    await disk.settle()
    await disk.file.stop()
    before = disk.state.digest()
    (tmp_path / "other").mkdir()
    intruder = Disk(tmp_path / "other")
    intruder.begin(new_state(history_id="h9"))
    while intruder.state.journal.head < disk.state.journal.head:
        intruder.state.join_client(SCOPE, "c", b"")
    intruder.turn()
    intruder.compact()
    await intruder.copied()
    intruder.state.join_client(SCOPE, "d", b"")
    intruder.turn()
    await intruder.settle()
    await intruder.file.stop()
    left_over = journal_name(max(generations(os.listdir(tmp_path / "other"))))
    (tmp_path / "other" / left_over).rename(tmp_path / journal_name(99))
    state, _ = reload(tmp_path)
    assert state.digest() == before


async def test_a_copy_older_than_the_grace_is_stale_in_its_temporary_part(tmp_path):
    path, _ = await written_journal(tmp_path)
    assert not reload(tmp_path, reconnect_grace=30.0)[0].temporary_stale
    long_ago = time.time() - 31
    os.utime(path, (long_ago, long_ago))
    state, report = reload(tmp_path, reconnect_grace=30.0)
    assert state.temporary_stale
    assert report.age_seconds is not None
    assert report.age_seconds > 30


async def test_sessions_of_calls_outlive_the_grace_but_not_ten_minutes(tmp_path):
    """A client that waited all the time must not have its call run a second time."""
    disk = Disk(tmp_path)
    disk.begin()
    disk.state.begin_call(b"k" * 16, 1, 0)
    disk.turn()
    await disk.settle()
    await disk.file.stop()
    [path] = tmp_path.iterdir()
    for age, kept in ((500, True), (700, False)):
        long_ago = time.time() - age
        os.utime(path, (long_ago, long_ago))
        state, _ = reload(tmp_path, reconnect_grace=30.0)
        state.start_epoch(2, "boot", "h2", lossy=False)
        state.expire_sessions(1000.0)
        assert bool(state.sessions) == kept


async def test_an_idle_node_says_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_lane, "ALIVE_SECONDS", 0.01)
    disk = Disk(tmp_path)
    disk.begin()
    await disk.settle()
    [generation] = generations(os.listdir(tmp_path))
    path = tmp_path / journal_name(generation)
    os.utime(path, (1, 1))
    await until(lambda: path.stat().st_mtime > 1)
    await disk.file.stop()


async def test_an_idle_disk_that_hangs_does_not_stop_the_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_lane, "ALIVE_SECONDS", 0.02)
    hangs, go_on = threading.Event(), threading.Event()
    gone_on: list[bool] = []

    def hang(fd: int) -> None:
        hangs.set()
        gone_on.append(go_on.wait(10))

    monkeypatch.setattr(disk_lane.os, "utime", hang)
    disk = Disk(tmp_path)
    disk.begin()
    await disk.settle()
    await until(hangs.is_set)
    disk.change(random.Random(12), 1)
    go_on.set()
    await disk.settle()
    await disk.file.stop()
    assert gone_on[0], "the loop waited for the disk"


async def test_a_full_disk_is_reported_once_and_recovers_with_a_new_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_journal, "RETRY_SECONDS", 0.01)
    disk = Disk(tmp_path)
    disk.begin()
    await disk.settle()
    full = threading.Event()
    full.set()
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if full.is_set():
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(disk_lane.os, "write", refuse)
    disk.change(random.Random(11), 5)
    await until(lambda: disk.file.failed)
    disk.change(random.Random(12), 5)
    written = disk.written
    assert written < disk.state.journal.head
    full.clear()
    await until(lambda: disk.recovered == 1)
    assert len(disk.failures) == 1
    await disk.settle()
    disk.change(random.Random(13), 5)
    await disk.settle()
    await disk.file.stop()
    assert reload(tmp_path)[0].digest() == disk.state.digest()


async def test_a_disk_that_hangs_is_given_up_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_journal, "HUNG_SECONDS", 0.05)
    monkeypatch.setattr(disk_journal, "RETRY_SECONDS", 0.01)
    disk = Disk(tmp_path)
    disk.begin()
    await disk.settle()
    go_on = threading.Event()
    write = os.write

    def hang(fd: int, data: bytes) -> int:
        go_on.wait(10)
        return write(fd, data)

    monkeypatch.setattr(disk_lane.os, "write", hang)
    disk.change(random.Random(14), 3)
    await until(lambda: disk.file.failed)
    go_on.set()
    await until(lambda: disk.recovered == 1)
    await disk.settle()
    await disk.file.stop()
    assert reload(tmp_path)[0].digest() == disk.state.digest()


async def test_a_disk_that_hangs_in_a_new_copy_is_given_up_though_no_batch_waits(
    tmp_path, monkeypatch
):
    """A promotion waits for `written_seq`, which a copy from the other node holds back."""
    monkeypatch.setattr(disk_journal, "HUNG_SECONDS", 0.05)
    disk = Disk(tmp_path)
    disk.begin()
    await disk.settle()
    go_on = threading.Event()
    write = os.write

    def hang(fd: int, data: bytes) -> int:
        if of_snapshot(fd):
            go_on.wait(10)
        return write(fd, data)

    monkeypatch.setattr(disk_lane.os, "write", hang)
    disk.state.install(new_state(epoch=2, history_id="h2"))
    disk.file.begin_anew()
    await until(lambda: disk.file.failed)
    go_on.set()
    await disk.file.stop()


async def test_without_a_disk_there_are_no_files(tmp_path):
    file = JournalFile(tmp_path, mode="off")
    state = new_state()
    assert file.load(ReplicatedState()).age_seconds is None
    file.begin()
    batch = state.journal.take_batch()
    assert batch is not None
    file.write(batch)
    file.begin_anew()
    await file.stop()
    assert list(tmp_path.iterdir()) == []


def of_snapshot(fd: int) -> bool:
    return os.readlink(f"/proc/self/fd/{fd}").endswith("snapshot.new")


async def test_fsync_waits_for_the_disk_itself(tmp_path, monkeypatch):
    go_on = threading.Event()
    sync = os.fdatasync

    def late(fd: int) -> None:
        go_on.wait(10)
        sync(fd)

    disk = Disk(tmp_path, mode="fsync")
    disk.begin()
    await disk.settle()
    monkeypatch.setattr(disk_lane.os, "fdatasync", late)
    before = disk.written
    path = tmp_path / journal_name(1)
    size = path.stat().st_size
    disk.change(random.Random(15), 1)
    await until(lambda: path.stat().st_size > size)
    assert disk.written == before  # it is in the file, and the file not yet on the disk
    go_on.set()
    await disk.settle()
    await disk.file.stop()


async def test_names_are_on_the_disk_too_before_fsync_counts_what_is_behind_them(
    tmp_path, monkeypatch
):
    go_on = threading.Event()
    sync = os.fsync

    def late(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            go_on.wait(10)
        sync(fd)

    monkeypatch.setattr(disk_lane.os, "fsync", late)
    disk = Disk(tmp_path, mode="fsync")
    disk.begin()
    await until(lambda: (tmp_path / journal_name(1)).exists())
    assert disk.written == 0
    go_on.set()
    await disk.settle()
    await disk.file.stop()


async def test_a_snapshot_that_the_disk_takes_slowly_holds_up_no_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_journal, "HUNG_SECONDS", 0.05)
    go_on = threading.Event()
    begun = threading.Event()
    sync = os.fdatasync

    def late(fd: int) -> None:
        if of_snapshot(fd):
            begun.set()
            go_on.wait(10)
        sync(fd)

    monkeypatch.setattr(disk_lane.os, "fdatasync", late)
    disk = Disk(tmp_path, mode="fsync")
    disk.begin()
    await disk.settle()
    disk.compact()
    await until(begun.is_set)
    disk.change(random.Random(16), 1)
    await disk.settle()
    await until(lambda: disk.file._journal._lanes[1].hangs)  # for longer than any batch may
    disk.change(random.Random(17), 1)
    await disk.settle()
    assert disk.failures == []
    assert disk.file.compactions == 0
    go_on.set()
    await disk.copied()
    assert disk.file.compactions == 1
    await disk.file.stop()


async def test_a_big_snapshot_comes_to_the_disk_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_journal, "SYNC_BYTES", 200_000)
    sizes = []
    sync = os.fdatasync

    def note(fd: int) -> None:
        if of_snapshot(fd):
            sizes.append(os.fstat(fd).st_size)
        sync(fd)

    monkeypatch.setattr(disk_lane.os, "fdatasync", note)
    disk = Disk(tmp_path)
    disk.begin()
    board = disk.state.shared_object(SCOPE, "board", "P")
    for number in range(100):
        disk.state.set_slot(board, f"k{number}", bytes(10_000), disk.state.next_version(board))
    disk.turn()
    disk.compact()
    await disk.copied()
    assert len(sizes) >= 5
    assert max(after - before for before, after in zip([0, *sizes], sizes, strict=False)) < 400_000
    await disk.file.stop()
