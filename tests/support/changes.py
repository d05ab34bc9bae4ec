"""Random but repeatable operations on a `ReplicatedState`, as an application would do them."""

from __future__ import annotations

import random

from rtmp_sync.state.calls import MAX_OPEN_CALLS
from rtmp_sync.state.replicated_state import ReplicatedState

SCOPES = ("text/_definst_", "text/room", "chat/a")
NAMES = ("users", "board", "text")
KINDS = "PTV"


def new_state(epoch: int = 1, history_id: str = "h1") -> ReplicatedState:
    """A copy that was promoted once."""
    state = ReplicatedState()
    state.start_epoch(epoch, "boot", history_id, lossy=False)
    return state


def change_something(state: ReplicatedState, rng: random.Random) -> None:
    """One operation of the active."""
    scope = rng.choice(SCOPES)
    choice = rng.random()
    if choice < 0.75:
        _change_object(state, rng, scope, choice)
    elif choice < 0.85:
        client = f"c{rng.randrange(8)}"
        if rng.random() < 0.6:
            state.join_client(scope, client, rng.randbytes(6))
        else:
            state.leave_client(scope, client)
    elif choice < 0.97:
        _call(state, rng)
    elif choice < 0.985:
        state.start_instance(scope)
    else:
        state.stop_instance(scope)


def _change_object(state: ReplicatedState, rng: random.Random, scope: str, choice: float) -> None:
    obj = state.shared_object(scope, rng.choice(NAMES), rng.choice(KINDS))
    key = f"k{rng.randrange(12)}"
    version = state.next_version(obj)
    if choice < 0.55:
        state.set_slot(obj, key, rng.randbytes(rng.randrange(40)), version)
    elif choice < 0.68:
        state.delete_slot(obj, key, version)
    elif choice < 0.72:
        state.clear(obj, version)
    else:
        state.destroy(obj)


def _call(state: ReplicatedState, rng: random.Random) -> None:
    session = bytes([rng.randrange(5)]) * 16
    known = state.sessions.get(session.hex())
    if known is None or rng.random() < 0.5:
        last = max(known.calls, default=known.lowest_open) if known is not None else 0
        number = last + 1
        state.begin_call(session, number, max(0, number - MAX_OPEN_CALLS // 8))
    elif known.calls:
        state.finish_call(session, rng.choice(list(known.calls)), rng.randbytes(8))
