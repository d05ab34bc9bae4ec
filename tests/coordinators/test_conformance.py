"""What every coordinator does, whatever it keeps the record in: the rules of failover.md that
the decisions rest on, on a real folder and on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from rtmp_sync.cluster.observer import Observer
from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import Identity, Outcome
from rtmp_sync.cluster.view import Store as StoreState
from rtmp_sync.coordinators.base import Coordinator, Reading
from rtmp_sync.errors import StoreError, StoreTimeout
from rtmp_sync.server.clock import now
from tests.coordinators.stores import NODES, Store, TroubledStore

FIRST = first_record(NODES, Author("A", "a1", "first", ""))
T = TypeVar("T")

PATIENT = Timing(t_conf=60.0)


def author(boot_id: str, nonce: str) -> Author:
    return Author(boot_id[0].upper(), boot_id, nonce, "")


async def record_of(coordinator: Coordinator) -> Record | None:
    return (await coordinator.read(beat=False)).sighting.record


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What it gives when it gives something, and no StoreError."""
    async with asyncio.timeout(60):
        while True:
            try:
                if (found := await look()) is not None:
                    return found
            except StoreError:
                pass
            await asyncio.sleep(0.02)


async def authority(coordinator: Coordinator, boot_id: str) -> tuple[int, bool]:
    """The epoch that a read gives the authority for, and whether it has not ended."""
    observer = Observer(Identity(coordinator.node_id, boot_id, 0.0), PATIENT)
    observer.saw((await coordinator.read(beat=True)).sighting)
    epoch, until = observer.authority
    return epoch, until > now()


@pytest.fixture
def a(store: Store) -> Coordinator:
    return store.node("A", "a1")


@pytest.fixture
def b(store: Store) -> Coordinator:
    return store.node("B", "b1")


async def landed(coordinator: Coordinator, record: Record) -> Record:
    attempt = await coordinator.cas(record)
    assert attempt.result.outcome is Outcome.LANDED, attempt
    assert attempt.result.nonce == record.nonce
    assert attempt.highest == record
    return record


# -- the register --------------------------------------------------------------------


async def test_a_store_without_a_record_names_the_pair(a: Coordinator) -> None:
    assert await a.start() == NODES
    reading = await a.read(beat=False)
    assert reading.sighting.record is None
    assert not reading.sighting.invalid
    assert reading.nodes == NODES


async def test_the_first_record_is_read_by_both_as_it_was_written(
    a: Coordinator, b: Coordinator
) -> None:
    await landed(a, FIRST)
    assert await record_of(a) == await record_of(b) == FIRST


async def test_of_two_first_records_one_lands(a: Coordinator, b: Coordinator) -> None:
    mine, theirs = FIRST, first_record(NODES, author("b1", "first of B"))
    attempts = await asyncio.gather(a.cas(mine), b.cas(theirs))
    outcomes = [attempt.result.outcome for attempt in attempts]
    assert sorted(outcome.value for outcome in outcomes) == ["landed", "lost"]
    winner = mine if outcomes[0] is Outcome.LANDED else theirs
    assert await record_of(b) == winner
    assert [attempt.highest for attempt in attempts] == [winner, winner]


async def test_of_two_writers_at_one_revision_one_lands(a: Coordinator, b: Coordinator) -> None:
    await landed(a, FIRST)
    mine, theirs = (FIRST.with_pause(author(boot_id, boot_id), 0, True) for boot_id in ("a1", "b1"))
    attempts = await asyncio.gather(a.cas(mine), b.cas(theirs))
    outcomes = sorted(attempt.result.outcome.value for attempt in attempts)
    assert outcomes == ["landed", "lost"]
    there = await record_of(a)
    assert all(attempt.highest == there for attempt in attempts)


async def test_racing_writers_land_one_record_a_revision(store: Store) -> None:
    rounds, racers = 20, 4
    coordinators = [store.node("AB"[number % 2], f"x{number}") for number in range(racers)]
    await coordinators[0].cas(FIRST)
    landed_at: dict[int, list[str]] = {}

    async def race(number: int) -> None:
        for turn in range(rounds):
            record = await record_of(coordinators[number])
            assert record is not None
            after = record.unchanged(author("a9", f"{number}-{turn}"), 0)
            attempt = await coordinators[number].cas(after)
            assert attempt.result.outcome in (Outcome.LANDED, Outcome.LOST)
            if attempt.result.outcome is Outcome.LANDED:
                landed_at.setdefault(after.rev, []).append(after.nonce)

    await asyncio.gather(*(race(number) for number in range(racers)))
    record = await record_of(coordinators[0])
    assert record is not None
    assert sorted(landed_at) == list(range(2, record.rev + 1))
    assert all(len(nonces) == 1 for nonces in landed_at.values())


async def test_an_attempt_on_an_older_record_is_lost_and_shows_the_newer_one(
    a: Coordinator, b: Coordinator
) -> None:
    await landed(a, FIRST)
    paused = await landed(b, FIRST.with_pause(author("b1", "p"), 0, True))
    attempt = await a.cas(FIRST.let_go(author("a1", "late"), 0, "stopped"))
    assert (attempt.result.outcome, attempt.highest) == (Outcome.LOST, paused)
    assert await record_of(a) == paused


async def test_an_attempt_that_others_built_upon_has_landed(a: Coordinator, b: Coordinator) -> None:
    await landed(a, FIRST)
    paused = await landed(b, FIRST.with_pause(author("b1", "p"), 0, True))
    attempt = await a.cas(FIRST)
    assert (attempt.result.outcome, attempt.highest) == (Outcome.LANDED, paused)


async def test_a_repeated_attempt_that_had_landed_has_landed(a: Coordinator) -> None:
    await landed(a, FIRST)
    await landed(a, FIRST)


async def test_what_is_no_record_is_invalid_and_not_absent(store: Store, a: Coordinator) -> None:
    await landed(a, FIRST)
    await store.damage()
    sighting = (await a.read(beat=False)).sighting
    assert (sighting.record, sighting.invalid) == (None, True)
    observer = Observer(Identity("B", "b1", 0.0), PATIENT)
    observer.saw(sighting)
    assert observer.store is StoreState.INVALID


async def test_names_are_spelled_as_the_record_spells_them(store: Store, a: Coordinator) -> None:
    await landed(a, FIRST)
    other = store.node("b", "b1")
    assert await other.start() == NODES
    assert other.node_id == "B"


# -- the holder ----------------------------------------------------------------------


async def test_the_holder_has_authority_and_nobody_else(a: Coordinator, b: Coordinator) -> None:
    await landed(a, FIRST)
    assert await authority(a, "a1") == (1, True)
    assert await authority(b, "b1") == (0, False)


async def test_a_later_boot_of_the_holder_has_none(store: Store, a: Coordinator) -> None:
    await landed(a, FIRST)
    assert await authority(store.node("A", "a2"), "a2") == (0, False)


async def test_who_was_released_by_is_followed_at_once(a: Coordinator, b: Coordinator) -> None:
    await landed(a, FIRST)
    await authority(a, "a1")
    released = await landed(a, FIRST.let_go(author("a1", "bye"), 7, "stopped"))
    assert (await b.read(beat=False)).sighting.holder_key in (None, False)
    await landed(b, released.claimed(author("b1", "claim"), 7, "released"))
    assert await authority(b, "b1") == (2, True)


async def test_the_guard_releases_for_a_dead_boot(
    store: Store, a: Coordinator, b: Coordinator
) -> None:
    await landed(a, FIRST)
    await authority(a, "a1")
    guard = store.node("A")
    record = await record_of(guard)
    assert record is not None
    released = await landed(guard, record.let_go(author("a1", "guard"), 0, "process_exit"))
    await landed(b, released.claimed(author("b1", "claim"), 0, "released"))


async def test_a_guard_that_comes_too_late_changes_nothing(
    store: Store, a: Coordinator, b: Coordinator
) -> None:
    await landed(a, FIRST)
    guard = store.node("A")
    record = await record_of(guard)
    assert record is not None
    released = await landed(a, FIRST.let_go(author("a1", "bye"), 0, "stopped"))
    claimed = await landed(b, released.claimed(author("b1", "claim"), 0, "released"))
    attempt = await guard.cas(record.let_go(author("a1", "guard"), 0, "process_exit"))
    assert (attempt.result.outcome, attempt.highest) == (Outcome.LOST, claimed)
    assert await authority(b, "b1") == (2, True)


async def test_a_switchover_names_its_holder_who_needs_no_claim(
    a: Coordinator, b: Coordinator
) -> None:
    await landed(a, FIRST)
    await authority(a, "a1")
    synced = await landed(a, FIRST.synced(author("a1", "s"), 1, "in_sync", InSync("B", "b1")))
    handed = synced.handed_over(author("a1", "h"), 1, InSync("B", "b1"), InSync("A", "a1"))
    await landed(a, handed)
    # Between the record and the new holder's first read nobody may take it for dead.
    assert (await a.read(beat=False)).sighting.holder_key in (None, True)
    assert await authority(a, "a1") == (0, False)
    assert await authority(b, "b1") == (2, True)
    back = handed.synced(author("b1", "s2"), 2, "in_sync", InSync("A", "a1"))
    await landed(b, back)


async def test_a_deposed_node_records_nothing(a: Coordinator, b: Coordinator) -> None:
    await landed(a, FIRST)
    released = await landed(a, FIRST.let_go(author("a1", "bye"), 0, "stopped"))
    claimed = await landed(b, released.claimed(author("b1", "claim"), 0, "released"))
    for late in (
        FIRST.synced(author("a1", "s"), 1, "in_sync", InSync("B", "b1")),
        released.claimed(author("a1", "c"), 1, "again"),
    ):
        attempt = await a.cas(late)
        assert (attempt.result.outcome, attempt.highest) == (Outcome.LOST, claimed)
    assert await record_of(b) == claimed


# -- troubles ------------------------------------------------------------------------


async def test_an_answer_that_is_lost_leaves_the_outcome_unknown(
    store: Store, b: Coordinator
) -> None:
    attempt = await store.deaf("A", "a1").cas(FIRST)
    assert attempt.result.outcome is Outcome.UNKNOWN
    assert await record_of(b) == FIRST


async def test_an_attempt_that_is_under_way_lands_late(troubled: TroubledStore) -> None:
    a, b = troubled.node("A", "a1", patient=False), troubled.node("B", "b1")
    await eventually(lambda: _settled(a, FIRST))
    await troubled.hold_writes()
    paused = FIRST.with_pause(author("a1", "p"), 0, True)
    assert (await a.cas(paused)).result.outcome is Outcome.UNKNOWN
    await troubled.heal()
    assert await eventually(lambda: _at(b, 2)) == paused


async def test_an_attempt_whose_place_was_taken_never_lands(troubled: TroubledStore) -> None:
    """The way out of an unknown outcome: a record at its revision."""
    a, b = troubled.node("A", "a1", patient=False), troubled.node("B", "b1")
    await eventually(lambda: _settled(a, FIRST))
    await troubled.hold_writes()
    lost = FIRST.with_pause(author("a1", "lost"), 0, True)
    assert (await a.cas(lost)).result.outcome is Outcome.UNKNOWN
    no_op = FIRST.unchanged(author("a1", "no-op"), 0)
    await troubled.take_place(no_op)
    await troubled.heal()
    assert (await b.cas(lost)).result.outcome is Outcome.LOST
    assert await record_of(b) == no_op


async def test_a_full_store_refuses_and_nothing_has_landed(troubled: TroubledStore) -> None:
    a, b = troubled.node("A", "a1"), troubled.node("B", "b1")
    await landed(a, FIRST)
    await troubled.fill()
    attempt = await a.cas(FIRST.with_pause(author("a1", "full"), 0, True))
    assert attempt.result.outcome is Outcome.REFUSED, attempt
    assert "space" in attempt.result.detail
    assert await record_of(b) == FIRST
    assert await record_of(a) == FIRST


async def test_a_store_that_is_away_refuses_reads_and_lands_nothing(
    troubled: TroubledStore,
) -> None:
    a = troubled.node("A", "a1")
    await landed(a, FIRST)
    await troubled.leave()
    with pytest.raises(StoreError):
        await a.read(beat=True)
    assert a.condition != "ok"
    attempt = await a.cas(FIRST.with_pause(author("a1", "away"), 0, True))
    assert attempt.result.outcome in (Outcome.REFUSED, Outcome.UNKNOWN)
    await troubled.heal()
    assert await eventually(lambda: record_of(a)) == FIRST
    assert a.condition == "ok"


async def test_a_store_that_hangs_gives_no_answer_and_holds_nobody_up(
    troubled: TroubledStore,
) -> None:
    a = troubled.node("A", "a1", patient=False)
    await eventually(lambda: _settled(a, FIRST))
    await troubled.hang()
    with pytest.raises(StoreTimeout):
        await a.read(beat=True)
    assert a.condition in ("hung", "no_quorum")
    attempt = await a.cas(FIRST.with_pause(author("a1", "hung"), 0, True))
    assert attempt.result.outcome is Outcome.UNKNOWN
    await troubled.heal()
    record = await eventually(lambda: record_of(a))
    assert record.nonce in ("first", "hung")


async def _settled(coordinator: Coordinator, record: Record) -> bool | None:
    """A short deadline may not be enough on a busy machine: again, until it has landed."""
    attempt = await coordinator.cas(record)
    return attempt.result.outcome is Outcome.LANDED or None


async def _at(coordinator: Coordinator, rev: int) -> Record | None:
    record = await record_of(coordinator)
    return record if record is not None and record.rev >= rev else None


async def test_a_reading_says_what_line_there_is(a: Coordinator) -> None:
    reading: Reading = await a.read(beat=False)
    assert reading.line in ("valid", "none")
