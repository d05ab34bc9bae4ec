"""What an origin waits for of its disk, and for how long."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmp_sync import Config
from rtmp_sync.cluster.sink import DivergentTail
from rtmp_sync.errors import ConfigError
from rtmp_sync.server import persistence as module
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.history import History
from rtmp_sync.server.persistence import Persistence
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage import journal_file
from rtmp_sync.storage.journal_format import journal_name, record
from rtmp_sync.wire.packing import pack
from tests.support.changes import new_state
from tests.support.origins import config_of, until

SCOPE = "text/a"


class Node:
    """A state, its disk and its commit point, without the rest of an origin."""

    def __init__(self, directory: Path, disk: str = "journal") -> None:
        config: Config = config_of(directory, storage={"disk": disk})
        self.state = ReplicatedState()
        self.commit = CommitPoint(require_disk=disk != "off")
        self.persistence = Persistence(config, self.state, self.commit)
        self.history: History

    async def start(self) -> None:
        self.history = await self.persistence.start()
        self.change()

    def change(self) -> int:
        """One batch; its last seq."""
        if self.state.empty:
            self.state.start_epoch(1, "boot", "h1", lossy=False)
        self.state.join_client(SCOPE, "c", b"")
        batch = self.state.journal.take_batch()
        assert batch is not None
        self.persistence.write(batch)
        self.commit.head_moved(batch.last_seq)
        return batch.last_seq

    def events(self) -> list[str]:
        return [event["event"] for event in self.history.events()]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Writing to the disk waits for it."""
    go_on = threading.Event()
    write = os.write

    def late(fd: int, data: bytes) -> int:
        go_on.wait(10)
        return write(fd, data)

    monkeypatch.setattr("rtmp_sync.storage.disk_lane.os.write", late)
    yield go_on
    go_on.set()


async def test_what_was_made_is_shown_when_the_disk_has_it(
    tmp_path: Path, held: threading.Event
) -> None:
    node = Node(tmp_path)
    await node.start()
    head = node.state.journal.head
    waiting = asyncio.create_task(node.persistence.written(head))
    await asyncio.sleep(0)
    assert node.commit.level == 0
    assert not waiting.done()
    held.set()
    await waiting
    assert node.commit.level == node.persistence.written_seq == head
    await node.persistence.stop()


async def test_without_a_disk_nothing_is_waited_for(tmp_path: Path) -> None:
    node = Node(tmp_path, "off")
    await node.start()
    await node.persistence.written(node.state.journal.head)
    assert node.commit.level == node.state.journal.head
    await node.persistence.stop()


async def test_a_takeover_does_not_wait_for_the_snapshot_of_the_copy_it_got_before(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPY_SECONDS", 0.01)
    node = Node(tmp_path)
    await node.start()
    node.state.install(new_state(2, "h2"))
    node.persistence.begin_anew()
    await node.persistence.written(node.change())
    assert node.persistence.failed
    assert node.commit.level == node.state.journal.head
    held.set()
    await until(lambda: not node.persistence.failed)
    assert (node.persistence.failures, node.persistence.compactions) == (1, 1)
    assert node.events() == ["persist_failed", "persist_recovered"]
    await node.persistence.written(node.change())
    assert node.commit.level == node.state.journal.head
    await node.persistence.stop()


async def test_a_directory_that_a_hung_disk_may_still_write_to_is_not_given_free(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "STOP_SECONDS", 0.01)
    node = Node(tmp_path)
    await node.start()
    await node.persistence.stop()
    node.persistence.close()
    with pytest.raises(ConfigError, match="another process uses it"):
        await Node(tmp_path).start()
    held.set()


async def test_a_file_that_cannot_be_read_is_named_and_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "snapshot").symlink_to("/proc/self/mem")  # EIO, for root too
    node = Node(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        await node.persistence.start()
    assert caught.value.key == "storage.state"
    (tmp_path / "snapshot").unlink()
    await node.start()  # the directory was given free
    await node.persistence.stop()


async def test_files_of_another_version_of_this_software_are_never_begun_without(
    tmp_path: Path,
) -> None:
    (tmp_path / journal_name(1)).write_bytes(record(pack((99, "what this version knows not"))))
    with pytest.raises(ConfigError, match=r"has format 99, .* start that version"):
        await Node(tmp_path).persistence.start()


async def test_a_tail_that_the_pair_never_had_is_saved_and_listed_before_it_goes(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    await node.start()
    batches = node.state.journal.since("h1", 0) or []
    gone: list[list[str]] = []
    tail = DivergentTail(epoch=1, batches=batches)
    node.persistence.save_divergent(tail, lambda: gone.append(node.events()))
    await until(lambda: gone)
    assert gone == [["divergent_saved"]]
    assert (tmp_path / "divergent-1.msgpack").exists()
    await node.persistence.stop()


async def test_a_tail_that_cannot_be_saved_is_listed_too(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.start()
    batches = node.state.journal.since("h1", 0) or []
    (tmp_path / "divergent-1.msgpack.new").mkdir()
    gone: list[list[str]] = []
    tail = DivergentTail(epoch=1, batches=batches)
    node.persistence.save_divergent(tail, lambda: gone.append(node.events()))
    await until(lambda: gone)
    assert gone == [["divergent_not_saved"]]
    await node.persistence.stop()
