"""The fold: the same on both nodes, whole or not at all."""

from __future__ import annotations

import random

import pytest

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.state.calls import SESSION_SECONDS
from rtmp_sync.state.change import OBJECT_GONE, SLOT_SET, Change, encode_changes
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.support.changes import change_something, new_state

SCOPE = "text/_definst_"


def follow(standby: ReplicatedState, active: ReplicatedState) -> None:
    batch = active.journal.take_batch()
    if batch is not None:
        standby.apply_batch(batch.first_seq, batch.data)


@pytest.mark.parametrize("seed", range(20))
def test_a_copy_that_applied_the_same_batches_has_the_same_digest(seed):
    rng = random.Random(seed)
    active, standby = new_state(), ReplicatedState()
    for _ in range(40):
        for _ in range(rng.randrange(12)):
            change_something(active, rng)
        follow(standby, active)
        if rng.random() < 0.1:
            active.start_epoch(
                active.journal.epoch + 1, "boot", f"h{rng.random()}", lossy=rng.random() < 0.5
            )
            follow(standby, active)
        assert active.digest() == active.recompute_digest() == standby.digest()
        assert standby.recompute_digest() == standby.digest()
    assert standby.journal.position == active.journal.position
    assert standby.journal.history_id == active.journal.history_id
    assert standby.journal.previous == active.journal.previous


def test_different_states_have_different_digests():
    digests = set()
    for changes in range(30):
        rng = random.Random(4)
        state = new_state()
        for _ in range(changes):
            change_something(state, rng)
        digests.add(state.digest())
    assert len(digests) > 25  # a few operations change nothing


def test_a_promoted_standby_goes_on_and_the_old_active_follows_it():
    active, standby = new_state(), ReplicatedState()
    change_something(active, random.Random(1))
    follow(standby, active)
    standby.start_epoch(2, "boot-b", "h2", lossy=False)
    obj = standby.shared_object(SCOPE, "x", "T")
    standby.set_slot(obj, "k", b"v", standby.next_version(obj))
    standby.journal.take_batch()
    journal = active.journal
    for batch in standby.journal.since(journal.history_id, journal.head) or []:
        active.apply_batch(batch.first_seq, batch.data)
    assert active.digest() == standby.digest()
    assert active.journal.position == (2, standby.journal.head)


def test_a_batch_that_leaves_a_gap_changes_nothing():
    active, standby = new_state(), ReplicatedState()
    follow(standby, active)
    before = standby.digest()
    active.join_client(SCOPE, "c1", b"")
    active.journal.take_batch()
    active.join_client(SCOPE, "c2", b"")
    batch = active.journal.take_batch()
    assert batch is not None
    with pytest.raises(RemoteProtocolError, match="does not follow"):
        standby.apply_batch(batch.first_seq, batch.data)
    assert standby.digest() == before
    assert standby.journal.head == 1


def test_a_batch_with_one_malformed_change_changes_nothing():
    standby = new_state()
    standby.journal.take_batch()
    before = standby.digest()
    good = Change(SLOT_SET, SCOPE, "T:x", "k", b"v", 2)
    data = encode_changes([good, good._replace(version=-1)])
    with pytest.raises(RemoteProtocolError):
        standby.apply_batch(2, data)
    with pytest.raises(RemoteProtocolError, match="empty"):
        standby.apply_batch(2, encode_changes([]))
    assert standby.digest() == before
    assert standby.journal.head == 1


def test_a_change_of_something_that_is_not_there_is_without_effect():
    standby = new_state()
    standby.journal.take_batch()
    standby.apply_batch(
        2,
        encode_changes(
            [
                Change(SLOT_SET, SCOPE, "T:none", "k", b"v", 2),
                Change(OBJECT_GONE, SCOPE, "T:none", "", b"", 0),
            ]
        ),
    )
    assert standby.instances == {}
    assert standby.journal.head == 3


def test_a_destroyed_object_takes_no_more_changes():
    state = new_state()
    obj = state.shared_object(SCOPE, "x", "T")
    state.destroy(obj)
    with pytest.raises(LocalProtocolError, match="destroyed"):
        state.set_slot(obj, "k", b"v", 2)


def test_a_value_too_big_to_replicate_is_refused_before_anything_changed():
    state = new_state()
    obj = state.shared_object(SCOPE, "x", "T")
    head = state.journal.head
    with pytest.raises(LocalProtocolError):
        state.set_slot(obj, "k", bytes(2**20), state.next_version(obj))
    assert state.journal.head == head
    assert obj.slots == {}


def test_clients_of_an_earlier_epoch_are_orphans():
    state = new_state()
    state.join_client(SCOPE, "c1", b"one")
    state.start_epoch(2, "boot", "h2", lossy=False)
    state.join_client(SCOPE, "c2", b"two")
    assert state.orphans() == [(SCOPE, "c1", b"one")]
    state.leave_client(SCOPE, "c1")
    assert state.orphans() == []


def test_a_stopped_instance_keeps_its_persistent_objects_only():
    state = new_state()
    state.start_instance(SCOPE)
    for kind in "PTV":
        state.shared_object(SCOPE, "x", kind)
    state.join_client(SCOPE, "c1", b"")
    state.stop_instance(SCOPE)
    assert list(state.instances[SCOPE].objects) == ["P:x"]
    assert not state.instances[SCOPE].started
    assert state.instances[SCOPE].clients == {}


def test_an_instance_name_leaves_nothing_behind():
    state = new_state()
    for number in range(100):
        scope = f"text/{number}"
        state.start_instance(scope)
        state.shared_object(scope, "x", "T")
        state.stop_instance(scope)
    assert state.instances == {}
    assert state.digest() == state.recompute_digest()


def test_a_copy_loaded_too_late_drops_its_temporary_part_when_it_is_promoted():
    state = new_state()
    for kind in "PTV":
        state.shared_object(SCOPE, "x", kind)
    state.begin_call(bytes(16), 1, 1)
    state.temporary_stale = True
    state.start_epoch(2, "boot", "h2", lossy=False)
    assert list(state.instances[SCOPE].objects) == ["P:x"]
    assert list(state.sessions) == [bytes(16).hex()]  # its client may wait for longer
    assert not state.temporary_stale


def test_a_fresh_copy_is_empty_until_an_epoch_started():
    state = ReplicatedState()
    assert state.empty
    state.start_epoch(1, "boot", "h1", lossy=False)
    assert not state.empty


def test_what_is_gone_is_not_kept_to_be_counted():
    state = new_state()
    for number in range(50):
        scope = f"text/{number}"
        state.shared_object(scope, "x", "T")
        state.stop_instance(scope)
        state.begin_call(number.to_bytes(16), 1, 1)
        state.finish_call(number.to_bytes(16), 1, b"r")
    state.drop_temporary()
    state.expire_sessions(0.0)
    state.expire_sessions(SESSION_SECONDS + 1)
    assert state._dirty_objects == state._dirty_instances == state._dirty_sessions == set()
    assert state.digest() == state.recompute_digest()
