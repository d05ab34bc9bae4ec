"""A whole copy at one instant, taken while serving goes on."""

from __future__ import annotations

import random

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.change import MAX_VALUE_BYTES
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import CHUNK_BYTES
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from rtmp_sync.wire.packing import pack
from tests.support.changes import change_something, new_state


def busy_state(rng: random.Random, changes: int = 400) -> ReplicatedState:
    state = new_state()
    for _ in range(changes):
        change_something(state, rng)
    return state


@pytest.mark.parametrize("seed", range(15))
def test_a_copy_is_the_state_at_the_cut_whatever_changes_meanwhile(seed):
    rng = random.Random(seed)
    active = busy_state(rng)
    big = active.shared_object("text/room", "big", "P")
    for number in range(300):
        active.set_slot(big, str(number), rng.randbytes(900), active.next_version(big))
    active.delete_slot(big, "7", active.next_version(big))
    active.journal.take_batch()
    cut_digest = active.digest()

    snapshot = active.snapshot()
    loader = SnapshotLoader(snapshot.header)
    for chunk in snapshot.chunks():
        assert len(chunk) <= CHUNK_BYTES
        loader.feed(chunk)
        for _ in range(25):
            change_something(active, rng)
        if not big.gone:
            active.set_slot(big, "7", b"after the cut", active.next_version(big))
    snapshot.close()
    copy = loader.finish(cut_digest)
    assert copy.digest() == copy.recompute_digest() == cut_digest

    standby = ReplicatedState()
    standby.install(copy)
    active.journal.take_batch()
    journal = standby.journal
    assert journal.head == snapshot.header.cut_seq
    for batch in active.journal.since(journal.history_id, journal.head) or []:
        standby.apply_batch(batch.first_seq, batch.data)
    assert standby.digest() == active.digest() == standby.recompute_digest()


def test_an_empty_state_has_a_snapshot_too():
    snapshot = new_state().snapshot()
    assert list(snapshot.chunks()) == []
    copy = SnapshotLoader(snapshot.header).finish(snapshot.header.digest)
    assert copy.journal.position == (1, 1)


def test_large_values_are_cut_into_small_chunks():
    state = new_state()
    obj = state.shared_object("text/a", "x", "P")
    for key in "abc":
        state.set_slot(obj, key, bytes(MAX_VALUE_BYTES), state.next_version(obj))
    snapshot = state.snapshot()
    chunks = list(snapshot.chunks())
    assert max(map(len, chunks)) == CHUNK_BYTES
    loader = SnapshotLoader(snapshot.header)
    for chunk in chunks:
        loader.feed(chunk)
    assert loader.finish(snapshot.header.digest).digest() == state.digest()


def test_a_flipped_bit_in_the_content_is_found():
    state = busy_state(random.Random(3))
    snapshot = state.snapshot()
    content = bytearray(b"".join(snapshot.chunks()))
    at = content.index(b"_definst_")
    content[at] ^= 1
    loader = SnapshotLoader(snapshot.header)
    loader.feed(bytes(content))
    with pytest.raises(RemoteProtocolError, match="digest"):
        loader.finish(snapshot.header.digest)


@pytest.mark.parametrize(
    "record",
    [7, ["?"], ["i"], ["i", "s", 1], ["s", 7], ["s", [["k", "text", 1]]], ["c", "id", b"", 1, 2]],
)
def test_a_malformed_record_is_the_peers_error(record):
    loader = SnapshotLoader(new_state().snapshot().header)
    with pytest.raises(RemoteProtocolError):
        loader.feed(pack(record))


def test_a_missing_chunk_is_found():
    state = busy_state(random.Random(5), changes=3000)
    snapshot = state.snapshot()
    chunks = list(snapshot.chunks())
    loader = SnapshotLoader(snapshot.header)
    with pytest.raises(RemoteProtocolError):  # noqa: PT012 - either step may find it
        for chunk in chunks[:-1]:
            loader.feed(chunk)
        loader.finish(snapshot.header.digest)


def test_a_closed_snapshot_keeps_no_copies():
    state = busy_state(random.Random(6))
    snapshot = state.snapshot()
    snapshot.close()
    snapshot.close()
    rng = random.Random(7)
    for _ in range(50):
        change_something(state, rng)
    assert state.digest() == state.recompute_digest()
