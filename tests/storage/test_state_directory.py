"""A state directory has one owner and one user."""

from __future__ import annotations

import threading

import msgpack
import pytest

from rtmp_sync.errors import ConfigError
from rtmp_sync.state.journal import Batch
from rtmp_sync.storage.state_directory import StateDirectory
from tests.support.changes import new_state


def test_the_same_node_may_come_back(tmp_path):
    for _ in range(2):
        directory = StateDirectory(tmp_path / "state", "A")
        directory.open()
        directory.close()


def test_another_nodes_directory_is_refused(tmp_path):
    directory = StateDirectory(tmp_path, "A")
    directory.open()
    directory.close()
    with pytest.raises(ConfigError, match="belongs to node 'A'; give node 'B'") as caught:
        StateDirectory(tmp_path, "B").open()
    assert caught.value.key == "storage.state"


def test_two_processes_never_share_one(tmp_path):
    directory = StateDirectory(tmp_path, "A")
    directory.open()
    with pytest.raises(ConfigError, match="another process uses it"):
        StateDirectory(tmp_path, "A").open()
    directory.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not usable"):
        StateDirectory(tmp_path / "file" / "state", "A").open()


def test_an_owner_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "owner").write_text("[]")
    with pytest.raises(ConfigError, match="owner file"):
        StateDirectory(tmp_path, "A").open()


async def test_a_long_tail_is_packed_beside_the_loop(tmp_path, monkeypatch):
    packed_by: list[threading.Thread] = []
    changes = Batch.changes
    monkeypatch.setattr(
        Batch, "changes", lambda one: packed_by.append(threading.current_thread()) or changes(one)
    )
    state = new_state()
    batch = state.journal.take_batch()
    directory = StateDirectory(tmp_path, "A")
    directory.open()
    await directory.save_divergent(1, [batch])
    directory.close()
    assert packed_by
    assert threading.main_thread() not in packed_by


async def test_dropped_changes_are_kept_aside(tmp_path):
    state = new_state()
    state.join_client("text/a", "c", b"info")
    batch = state.journal.take_batch()
    assert batch is not None
    directory = StateDirectory(tmp_path, "A")
    directory.open()
    first = await directory.save_divergent(1, [batch])
    state.join_client("text/a", "another", b"info")
    another = state.journal.take_batch()
    assert another is not None
    second = await directory.save_divergent(1, [another])
    again = [await directory.save_divergent(1, [one]) for one in (another, batch)]
    directory.close()
    assert first.name == "divergent-1.msgpack"
    assert second.name == "divergent-1.2.msgpack"
    assert again == [second, first]  # a link that breaks each time before the copy is taken
    saved = msgpack.unpackb(first.read_bytes(), use_list=False)
    assert saved["first_seq"] == 1
    assert [tuple(change) for change in batch.changes()] == list(saved["changes"])
