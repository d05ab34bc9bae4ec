"""A whole copy at one instant, taken while serving goes on."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.change import MAX_VALUE_BYTES
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.state.snapshot import CHUNK_BYTES, CHUNK_ENTRIES, Snapshot
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
    assert snapshot.digest == cut_digest
    assert active.correct(snapshot) == []
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


@pytest.mark.parametrize("read_first", [False, True])
def test_a_session_is_read_as_it_was_at_the_cut(read_first):
    state = new_state()
    for key in (b"1", b"2", b"3"):
        state.begin_call(key * 16, 1, 1)
    cut_digest = state.digest()
    snapshot = state.snapshot()
    loader = SnapshotLoader(snapshot.header)
    if read_first:
        for chunk in snapshot.chunks():
            loader.feed(chunk)
    state.finish_call(b"1" * 16, 1, b"result")
    state.begin_call(b"2" * 16, 2, 2)
    state.begin_call(b"4" * 16, 1, 1)
    state._end_session((b"3" * 16).hex())
    state.digest()
    state.finish_call(b"2" * 16, 2, b"result")
    if not read_first:
        for chunk in snapshot.chunks():
            loader.feed(chunk)
    snapshot.close()
    assert snapshot.digest == cut_digest
    assert len(loader.finish(cut_digest).sessions) == 3
    assert state.digest() == state.recompute_digest()


def test_an_empty_state_has_a_snapshot_too():
    snapshot = new_state().snapshot()
    loader = SnapshotLoader(snapshot.header)
    for chunk in snapshot.chunks():
        loader.feed(chunk)
    copy = loader.finish(snapshot.header.digest)
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


def read(snapshot: Snapshot) -> Snapshot:
    for _ in snapshot.chunks():
        pass
    snapshot.close()
    return snapshot


def flip(state: ReplicatedState, what: str) -> str:
    """Change an entry in memory behind the fold's back; what an audit must say of it."""
    instance = state.instances["text/room"]
    if what == "client":
        client_id, client = next(iter(instance.clients.items()))
        instance.clients[client_id] = client._replace(info=b"flipped")
        return "text/room clients"
    if what == "session":
        session = next(iter(state.sessions.values()))
        session.lowest_open ^= 1
        return f"session {session.key}"
    obj = instance.objects["P:big"]
    if what == "value":
        obj.slots["1"] = bytes([obj.slots["1"][0] ^ 1]) + obj.slots["1"][1:]
    elif what == "version":
        obj.versions["1"] -= 1
    elif what == "key":
        obj.slots["1x"], obj.versions["1x"] = obj.slots.pop("1"), obj.versions.pop("1")
    else:
        del obj.tombstones["0"]
    return "text/room P:big"


FLIPS = ("value", "version", "key", "tombstone", "client", "session")


def state_to_flip() -> ReplicatedState:
    state = new_state()
    big = state.shared_object("text/room", "big", "P")
    for number in range(600):
        state.set_slot(big, str(number), b"some value", state.next_version(big))
    state.delete_slot(big, "0", state.next_version(big))
    state.join_client("text/room", "c1", b"info")
    state.begin_call(b"s" * 16, 1, 1)
    state.digest()
    return state


@pytest.mark.parametrize("when", ["at rest", "edited after the cut", "cleared after the cut"])
@pytest.mark.parametrize("what", FLIPS)
def test_memory_that_was_changed_behind_the_folds_back_is_found_and_counted(what, when):
    state = state_to_flip()
    believed = state.digest()
    expected = flip(state, what)
    assert state.digest() == believed
    snapshot = state.snapshot()
    big = state.shared_object("text/room", "big", "P")
    if when == "edited after the cut":
        for key in ("1", "1x", "0", "2"):
            state.set_slot(big, key, b"new", state.next_version(big))
        state.join_client("text/room", "c2", b"info")
        state.finish_call(b"s" * 16, 1, b"result")
    elif when == "cleared after the cut":
        state.clear(big, state.next_version(big))
    read(snapshot)
    assert snapshot.digest != snapshot.header.digest == believed
    assert state.correct(snapshot) == [expected]
    assert state.digest() == state.recompute_digest()
    assert state.correct(read(state.snapshot())) == []


@pytest.mark.parametrize("what", ["an instance's highest version", "the sum"])
def test_what_is_wrong_above_the_entries_is_counted_again(what):
    state = state_to_flip()
    if what == "the sum":
        state._sum ^= 1
    else:
        state.instances["text/room"].highest += 1
    snapshot = read(state.snapshot())
    assert snapshot.digest != snapshot.header.digest
    assert state.correct(snapshot) == ["the sums"]
    assert state.digest() == state.recompute_digest()
    assert state.correct(read(state.snapshot())) == []


@pytest.mark.parametrize("when", ["both were read", "the other had not begun"])
@pytest.mark.parametrize("what", FLIPS)
def test_what_two_snapshots_find_at_once_is_counted_once(what, when):
    state = state_to_flip()
    flip(state, what)
    one, other = state.snapshot(), state.snapshot()
    if when == "both were read":
        read(other)
    read(one)
    assert state.correct(one)
    assert state.digest() == state.recompute_digest()
    if when == "the other had not begun":
        read(other)
    assert state.correct(other)
    assert other.digest != other.header.digest
    assert state.digest() == state.recompute_digest()


def test_what_was_wrong_and_is_gone_needs_no_correction():
    state = state_to_flip()
    for what in FLIPS[3:] + FLIPS[:1]:
        flip(state, what)
    snapshot = read(state.snapshot())
    state.destroy(state.shared_object("text/room", "big", "P"))
    state.leave_client("text/room", "c1")
    state.finish_call(b"s" * 16, 1, b"result")
    state.expire_sessions(0.0)
    state.expire_sessions(10_000.0)
    assert len(state.correct(snapshot)) == 3
    assert not state.sessions


def test_a_chunk_is_short_when_its_entries_are_small():
    state = new_state()
    obj = state.shared_object("text/a", "x", "P")
    for number in range(5000):
        state.set_slot(obj, str(number), b"\x05", state.next_version(obj))
    loader = SnapshotLoader(state.snapshot().header)
    most = 0
    for chunk in state.snapshot().chunks():
        before = sum(len(one.slots) for one in loader_objects(loader))
        loader.feed(chunk)
        most = max(most, sum(len(one.slots) for one in loader_objects(loader)) - before)
    assert 0 < most <= CHUNK_ENTRIES + 64


def loader_objects(loader: SnapshotLoader) -> list[SharedObject]:
    return [obj for one in loader._copy.instances.values() for obj in one.objects.values()]


def test_a_copy_that_is_dropped_is_gone_at_once_not_when_garbage_is_collected():
    active = busy_state(random.Random(8))
    snapshot = active.snapshot()
    chunks = list(snapshot.chunks())
    standby = ReplicatedState()
    gc.collect()
    gc.disable()
    try:
        abandoned = SnapshotLoader(snapshot.header)
        abandoned.feed(chunks[0])
        shadow = weakref.ref(abandoned._copy)
        del abandoned
        assert shadow() is None
        for _ in range(2):
            loader = SnapshotLoader(snapshot.header)
            for chunk in chunks:
                loader.feed(chunk)
            shadow = weakref.ref(loader._copy)
            standby.install(loader.finish(snapshot.digest))
            del loader
            assert shadow() is None
        audit = standby.snapshot()
        audit.close()
        old = standby.instances
        standby.install(ReplicatedState())
        assert old
        while standby.leftovers:
            standby.leftovers.let_go()
        assert not old
    finally:
        gc.enable()
