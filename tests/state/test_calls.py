"""Calls that run exactly once."""

from __future__ import annotations

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.calls import (
    BEGUN,
    MAX_OPEN_CALLS,
    MAX_SESSIONS,
    SESSION_SECONDS,
    Begun,
    OpenCall,
)
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from tests.support.changes import new_state

KEY = b"\x01" * 16


def test_a_call_is_unknown_then_begun_then_answered():
    state = new_state()
    assert state.call_outcome(KEY, 1) is None
    state.begin_call(KEY, 1, 1)
    assert state.call_outcome(KEY, 1) is BEGUN
    state.finish_call(KEY, 1, b"result")
    assert state.call_outcome(KEY, 1) == b"result"


def test_results_below_the_lowest_open_call_are_forgotten():
    state = new_state()
    for number in (1, 2, 3):
        state.begin_call(KEY, number, 1)
        state.finish_call(KEY, number, b"r")
    state.begin_call(KEY, 4, 3)
    assert sorted(state.sessions[KEY.hex()].calls) == [3, 4]
    with pytest.raises(RemoteProtocolError, match="below the lowest"):
        state.call_outcome(KEY, 2)


def test_a_call_never_begins_twice():
    state = new_state()
    state.begin_call(KEY, 1, 1)
    with pytest.raises(RemoteProtocolError, match="begun before"):
        state.begin_call(KEY, 1, 1)


def test_no_more_than_64_calls_are_open():
    state = new_state()
    for number in range(1, MAX_OPEN_CALLS + 1):
        state.begin_call(KEY, number, 1)
    with pytest.raises(RemoteProtocolError, match="64"):
        state.begin_call(KEY, MAX_OPEN_CALLS + 1, 1)
    state.begin_call(KEY, MAX_OPEN_CALLS + 1, 2)


@pytest.mark.parametrize(("number", "lowest"), [(-1, -1), (1, 2), (1, -1), (2**53 + 1, 1)])
def test_numbers_that_make_no_sense_are_refused(number, lowest):
    with pytest.raises(RemoteProtocolError):
        new_state().begin_call(KEY, number, lowest)


def test_a_session_is_forgotten_ten_minutes_after_its_last_use():
    state = new_state()
    state.begin_call(KEY, 1, 1)
    state.finish_call(KEY, 1, b"r")
    state.expire_sessions(100.0)
    state.begin_call(KEY, 2, 1)
    state.finish_call(KEY, 2, b"r")
    state.expire_sessions(100.0 + SESSION_SECONDS)
    state.expire_sessions(100.0 + 2 * SESSION_SECONDS)
    assert state.call_outcome(KEY, 2) == b"r"
    state.expire_sessions(101.0 + 2 * SESSION_SECONDS)
    assert state.sessions == {}
    assert state.digest() == state.recompute_digest()


def test_a_session_with_a_call_that_runs_is_in_use_until_an_epoch_ends_it():
    state = new_state()
    state.begin_call(KEY, 1, 1)
    for times in range(5):
        state.expire_sessions(times * 2 * SESSION_SECONDS)
    assert state.call_outcome(KEY, 1) is BEGUN
    state.start_epoch(2, "boot", "h2", lossy=False)
    state.expire_sessions(20 * SESSION_SECONDS)
    assert state.sessions == {}


def test_the_oldest_session_makes_room_for_a_new_one():
    state = new_state()
    for number in range(MAX_SESSIONS + 1):
        state.begin_call(number.to_bytes(16), 1, 1)
    assert len(state.sessions) == MAX_SESSIONS
    assert state.call_outcome(bytes(16), 1) is None


def test_the_session_that_goes_for_a_new_one_is_the_one_longest_unused() -> None:
    state = new_state()
    keys = [number.to_bytes(16) for number in range(MAX_SESSIONS + 1)]
    for key in keys[:-1]:
        state.begin_call(key, 1, 1)
    state.finish_call(keys[0], 1, b"once")
    state.begin_call(keys[0], 2, 1)  # this client is still here
    state.begin_call(keys[-1], 1, 1)
    assert state.call_outcome(keys[0], 1) == b"once"
    assert state.call_outcome(keys[1], 1) is None


def test_a_result_for_a_call_that_the_client_closed_is_dropped():
    state = new_state()
    state.begin_call(KEY, 1, 1)
    state.begin_call(KEY, 2, 2)
    state.finish_call(KEY, 1, b"late")
    assert list(state.sessions[KEY.hex()].calls) == [2]


@pytest.mark.parametrize(("slept", "kept"), [(500.0, True), (601.0, False)])
def test_a_session_ages_while_the_pair_is_away(slept, kept):
    state = new_state()
    state.begin_call(KEY, 1, 1)
    state.temporary_stale = True  # it was away for longer than clients have to come back
    state.slept(slept)
    state.start_epoch(2, "boot", "h2", lossy=False)
    state.expire_sessions(0.0)
    assert (state.sessions != {}) is kept
    state.expire_sessions(SESSION_SECONDS - 499.0)
    assert state.sessions == {}


def test_a_session_that_is_used_after_the_pair_was_away_is_as_good_as_new():
    state = new_state()
    state.begin_call(KEY, 1, 1)
    state.slept(500.0)
    state.start_epoch(2, "boot", "h2", lossy=False)
    state.begin_call(KEY, 2, 1)
    state.expire_sessions(0.0)
    state.expire_sessions(SESSION_SECONDS)
    assert list(state.sessions) == [KEY.hex()]


def test_what_a_copy_from_the_active_tells_of_a_session_is_not_old():
    """This node slept, the pair did not."""
    active, standby = new_state(), ReplicatedState()
    active.begin_call(KEY, 1, 1)
    active.journal.take_batch()
    standby.slept(10_000.0)
    for batch in active.journal.since("h1", 0) or []:
        standby.apply_batch(batch.first_seq, batch.data)
    standby.start_epoch(2, "boot", "h2", lossy=False)
    standby.expire_sessions(0.0)
    assert list(standby.sessions) == [KEY.hex()]


def test_the_calls_that_an_epoch_leaves_unfinished_are_known_by_name():
    state = new_state()
    state.begin_call(KEY, 1, 1, "text/room", "setText")
    state.begin_call(KEY, 2, 1, "text/room", "getText")
    state.finish_call(KEY, 2, b"r")
    epoch = state.journal.epoch
    left = [OpenCall(KEY.hex(), 1, Begun("text/room", "setText", epoch))]
    assert state.open_calls() == left
    snapshot = state.snapshot()
    loader = SnapshotLoader(snapshot.header)
    for chunk in snapshot.chunks():
        loader.feed(chunk)
    assert loader.finish(snapshot.digest).open_calls() == left
    state.start_epoch(epoch + 1, "boot", "h2", lossy=False)
    assert state.open_calls() == []
    assert state.call_outcome(KEY, 1) is BEGUN
