"""What a client that returns with a version is told."""

from __future__ import annotations

from rtmp_sync.state.fold import LOSSY_VERSION_STEP
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import MAX_TOMBSTONES, SharedObject
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from tests.support.changes import new_state

SCOPE = "text/_definst_"


def changed(obj: SharedObject, version: int) -> dict[str, bytes | None] | None:
    found = obj.since(version)
    if found is None:
        return None
    return dict(found)


def test_a_new_object_has_version_1_and_a_new_client_needs_everything():
    obj = new_state().shared_object(SCOPE, "text", "T")
    assert obj.version == 1
    assert obj.since(0) is None
    assert obj.since(1) == []


def test_a_returning_client_gets_what_changed_and_what_was_deleted():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "P")
    state.set_slot(obj, "a", b"1", state.next_version(obj))
    seen = obj.version
    state.set_slot(obj, "b", b"2", state.next_version(obj))
    state.delete_slot(obj, "a", state.next_version(obj))
    assert changed(obj, seen) == {"b": b"2", "a": None}
    assert changed(obj, obj.version) == {}


def test_a_version_from_the_future_is_not_known():
    obj = new_state().shared_object(SCOPE, "text", "T")
    assert obj.since(obj.version + 1) is None


def test_a_slot_set_again_after_its_deletion_is_no_tombstone():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "T")
    state.delete_slot(obj, "a", state.next_version(obj))
    state.set_slot(obj, "a", b"new", state.next_version(obj))
    assert changed(obj, 1) == {"a": b"new"}
    assert obj.tombstones == {}


def test_a_clear_makes_older_versions_unknown():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "T")
    state.set_slot(obj, "a", b"1", state.next_version(obj))
    seen = obj.version
    state.clear(obj, state.next_version(obj))
    assert obj.since(seen) is None
    assert obj.since(obj.version) == []
    assert obj.slots == {}


def test_past_the_bound_of_tombstones_old_versions_are_unknown():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "T")
    for number in range(MAX_TOMBSTONES + 1):
        state.delete_slot(obj, str(number), state.next_version(obj))
    assert len(obj.tombstones) == MAX_TOMBSTONES
    assert obj.since(1) is None
    assert len(obj.since(2) or []) == MAX_TOMBSTONES
    assert state.digest() == state.recompute_digest()


def test_several_changes_of_one_message_share_a_version():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "T")
    version = state.next_version(obj)
    state.set_slot(obj, "a", b"1", version)
    state.set_slot(obj, "b", b"2", version)
    assert obj.version == version == 2
    assert changed(obj, 1) == {"a": b"1", "b": b"2"}


def test_an_object_made_again_starts_above_every_version_of_its_instance():
    state = new_state()
    old = state.shared_object(SCOPE, "text", "T")
    other = state.shared_object(SCOPE, "other", "P")
    for _ in range(5):
        state.set_slot(other, "a", b"1", state.next_version(other))
    state.destroy(old)
    new = state.shared_object(SCOPE, "text", "T")
    assert new.version == other.version + 1
    assert new.since(1) is None


def test_the_same_holds_when_the_instance_was_empty_meanwhile():
    state = new_state()
    old = state.shared_object(SCOPE, "text", "T")
    state.set_slot(old, "a", b"1", state.next_version(old))
    state.destroy(old)
    assert SCOPE not in state.instances
    assert state.shared_object(SCOPE, "text", "T").version == old.version + 1


def test_a_lossy_promotion_skips_versions_that_clients_may_have_seen():
    state = new_state()
    obj = state.shared_object(SCOPE, "text", "P")
    state.set_slot(obj, "a", b"1", state.next_version(obj))
    seen_and_lost = obj.version + 7
    state.start_epoch(2, "boot2", "h2", lossy=True)
    assert obj.version == 2 + LOSSY_VERSION_STEP
    assert obj.since(seen_and_lost) is None
    assert state.shared_object(SCOPE, "new", "T").version > obj.version


def test_a_lossy_promotion_skips_more_when_lossy_epochs_are_lost_themselves():
    mine, other = new_state(), new_state()
    for state in (mine, other):
        state.shared_object(SCOPE, "text", "P")
    other.start_epoch(2, "boot2", "h2", lossy=True)
    lost = other.shared_object(SCOPE, "text", "P")
    other.set_slot(lost, "a", b"1", other.next_version(lost))
    mine.start_epoch(3, "boot3", "h3", lossy=True)
    assert mine.shared_object(SCOPE, "text", "P").version > lost.version


def test_every_lossy_epoch_has_versions_of_its_own_from_whatever_copy_it_began():
    """One node's copy ends in epoch 1, the other's in epoch 2; both are promoted in turn."""
    first, second = new_state(), new_state()
    for state in (first, second):
        state.shared_object(SCOPE, "text", "P")
    second.start_epoch(2, "boot2", "h2", lossy=False)
    edit(second, 3)
    first.start_epoch(3, "boot1", "h3", lossy=True)
    lost = edit(first, 10)
    second.start_epoch(4, "boot2", "h4", lossy=True)
    assert second.shared_object(SCOPE, "text", "P").version > lost
    assert second.shared_object(SCOPE, "text", "P").since(lost) is None
    second.start_epoch(5, "boot2", "h5", lossy=False)
    lost = edit(second, 10)
    first.start_epoch(6, "boot1", "h6", lossy=True)  # its copy still ends in epoch 3
    assert first.shared_object(SCOPE, "text", "P").since(lost) is None
    copy = copied(first)
    assert copy.digest() == first.digest() == first.recompute_digest()
    for state in (first, copy):
        state.start_epoch(8, "boot1", "h8", lossy=True)
    assert copy.digest() == first.digest()


def edit(state: ReplicatedState, times: int) -> int:
    """Change the object; its version then."""
    obj = state.shared_object(SCOPE, "text", "P")
    for _ in range(times):
        state.set_slot(obj, "a", b"1", state.next_version(obj))
    return obj.version


def copied(state: ReplicatedState) -> ReplicatedState:
    snapshot = state.snapshot()
    loader = SnapshotLoader(snapshot.header)
    for chunk in snapshot.chunks():
        loader.feed(chunk)
    snapshot.close()
    return loader.finish(snapshot.digest)


def test_persistent_temporary_and_variables_of_one_name_are_different_objects():
    state = new_state()
    objects = {state.shared_object(SCOPE, "text", kind) for kind in "PTV"}
    assert len(objects) == 3
    assert state.find(SCOPE, "text", "P") in objects
    assert state.find(SCOPE, "none", "P") is None
