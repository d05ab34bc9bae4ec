"""Memory that changes behind the digest's back is found and repaired; old copies go in slices."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.server.upkeep import Upkeep
from rtmp_sync.state.replicated_state import ReplicatedState
from tests.server.test_replication import SCOPE, Node, Pair, same, until
from tests.support.changes import change_something, new_state


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    both = Pair()
    await both.start()
    await both.connect()
    both.a.write(300)
    await until(lambda: same(both.a, both.b))
    yield both
    await both.stop()


def flip(node: Node) -> None:
    """One bit of one value in memory."""
    slots = node.state.instances[SCOPE].objects["T:x"].slots
    slots["k7"] = bytes([slots["k7"][0] ^ 1]) + slots["k7"][1:]


async def audit(node: Node) -> list[str]:
    """One whole audit, as it runs every minute; what it found."""
    found: list[str] = []
    upkeep = Upkeep(node.state, found.extend, audit_seconds=0.0)
    upkeep.start()
    await until(lambda: upkeep.audits > 0)
    upkeep.stop()
    return found


@pytest.mark.parametrize("which", ["standby", "active"])
async def test_a_flipped_bit_in_memory_is_found_by_the_audit_and_repaired_by_a_copy(pair, which):
    node = pair.b if which == "standby" else pair.a
    flip(node)
    assert await pair.a.replication.digest_agrees()  # the digest knows nothing of it
    assert await audit(node) == [f"{SCOPE} T:x"]
    assert not await pair.a.replication.digest_agrees()
    pair.a.replication.repair()
    await until(lambda: pair.b.log.installed == 2 and pair.a.replication.peer_caught_up)
    assert await pair.a.replication.digest_agrees()
    values = [node.state.instances[SCOPE].objects["T:x"].slots for node in (pair.a, pair.b)]
    assert values[0] == values[1]
    assert await audit(pair.a) == await audit(pair.b) == []


async def test_a_copy_of_flipped_memory_does_not_fail_and_tells_it(pair):
    flip(pair.a)
    pair.a.replication.repair()
    await until(lambda: pair.b.log.installed == 2 and same(pair.a, pair.b))
    assert "memory_corrupted" in pair.a.log.events
    assert pair.a.state.digest() == pair.b.state.recompute_digest()


async def test_an_audit_finds_nothing_where_nothing_is_wrong_whatever_is_written_meanwhile():
    state = new_state()
    rng = random.Random(4)
    for _ in range(3000):
        change_something(state, rng)
    found: list[str] = []
    upkeep = Upkeep(state, found.extend, audit_seconds=0.0)
    upkeep.start()

    def write_until_three() -> bool:
        change_something(state, rng)
        return upkeep.audits >= 3

    await until(write_until_three)
    upkeep.stop()
    assert found == []
    assert state.digest() == state.recompute_digest()


async def test_an_audit_ends_with_its_copy_and_the_old_one_is_let_go():
    state, other = new_state(), new_state(epoch=2, history_id="h2")
    obj = state.shared_object(SCOPE, "x", "T")
    for number in range(2000):
        state.set_slot(obj, str(number), bytes(10), state.next_version(obj))
    upkeep = Upkeep(state, lambda entries: None, audit_seconds=0.0)
    upkeep.start()
    await until(lambda: bool(state._snapshots))
    state.install(other)
    assert len(obj.slots) == 2000
    await until(lambda: upkeep.audits > 0 and not state.leftovers)
    upkeep.stop()
    assert not obj.slots
    assert not state._snapshots


async def test_a_stopped_audit_keeps_nothing():
    state = ReplicatedState()
    upkeep = Upkeep(state, lambda entries: None, audit_seconds=0.0)
    upkeep.start()
    upkeep._step()
    upkeep.stop()
    assert not state._snapshots
