"""What is mended in the folder of a pair, and what is left to its nodes and its operator."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.coordinators.file_repair import REVISIONS_AHEAD, Copy, FileRepair, copies_from
from rtmp_sync.errors import ConfigError, StoreError
from tests.coordinators.stores import NODES, FileStore

FIRST = first_record(NODES, Author("A", "a1", "first", ""))
SYNCED = FIRST.synced(Author("A", "a1", "s", ""), 5, "in_sync", InSync("B", "b1"))
A_SERVES = Copy("A", "a1", 1, 9, serving=True, history_id="1-first", rev=2)
A_CLOSED = Copy("A", "a2", 1, 9)
B_CLOSED = Copy("B", "b1", 1, 8)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    made = FileStore(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def a(store: FileStore) -> FileCoordinator:
    """A pair in its second record."""
    made = store.node("A", "a1")
    for record in (FIRST, SYNCED):
        assert (await made.cas(record)).result.outcome is Outcome.LANDED
    return made


@pytest.fixture
async def repair(store: FileStore) -> AsyncIterator[FileRepair]:
    made = FileRepair(store.pair_file, "A")
    yield made
    await made.close()


async def record_of(coordinator: FileCoordinator) -> Record | None:
    return (await coordinator.read(beat=False)).sighting.record


def records(store: FileStore) -> Path:
    return Path(f"{store.pair_file}.d")


async def test_where_nothing_is_wrong_nothing_is_done(
    a: FileCoordinator, repair: FileRepair
) -> None:
    plan = await repair.look([A_SERVES, B_CLOSED])
    assert not plan.is_needed
    assert plan.steps == ()
    assert plan.found[0] == "record 2 is valid: epoch 1, holder A (boot a1)"


async def test_somebodys_request_is_left_alone(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    store.pair_file.write_bytes(b"a\\b\\secondaryUP\r\n")
    assert not (await repair.look([])).is_needed


@pytest.mark.parametrize("content", [None, b"", b"A\\B\\up", b"B\\A", b"A\\C"])
async def test_a_line_is_written_from_the_newest_record(
    store: FileStore, a: FileCoordinator, repair: FileRepair, content: bytes | None
) -> None:
    claimed = SYNCED.claimed(Author("B", "b1", "c", ""), 5, "x")
    assert (await a.cas(claimed)).result.outcome is Outcome.LANDED
    if content is None:
        store.pair_file.unlink()
    else:
        store.pair_file.write_bytes(content)
    plan = await repair.look([])  # the nodes need not run
    assert plan.steps == ("write the line A\\B\\secondaryUP",)
    await repair.carry_out(plan)
    assert store.pair_file.read_bytes() == b"A\\B\\secondaryUP"
    for _ in range(2):
        reading = await a.read(beat=False)
        assert (reading.line, reading.wished_holder) == ("valid", None)


async def test_who_serves_goes_on_when_the_records_were_deleted(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    shutil.rmtree(records(store))
    plan = await repair.look([A_SERVES, B_CLOSED])
    assert plan.found[0] == "there are no records"
    assert plan.steps[0] == f"write record {2 + REVISIONS_AHEAD}: epoch 1, holder A (boot a1)"
    await repair.carry_out(plan)
    record = await record_of(a)
    assert record is not None
    assert record.held_by("A", "a1")
    assert (record.epoch, record.history_id, record.sync) == (1, "1-first", ())


async def test_who_has_the_newest_copy_must_claim_when_nobody_serves(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    shutil.rmtree(records(store))
    newer = replace(B_CLOSED, epoch=3)
    await repair.carry_out(await repair.look([A_CLOSED, newer]))
    record = await record_of(a)
    assert record is not None
    assert (record.holder, record.epoch, record.boot_id) == ("B", 3, "")
    assert not record.held_by("B", "b1")


async def test_a_damaged_record_is_followed_by_one_that_trusts_nobody(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    (records(store) / "rec.7").write_bytes(b"garbage")
    assert (await a.read(beat=False)).sighting.invalid
    plan = await repair.look([A_CLOSED, B_CLOSED])
    assert plan.found[0].startswith("record 7 is damaged; the newest valid one is 2")
    await repair.carry_out(plan)
    record = await record_of(a)
    assert record is not None
    assert record.rev == 7 + REVISIONS_AHEAD
    assert (record.holder, record.sync, record.prev) == ("A", (), SYNCED.nonce)


async def test_a_damaged_record_needs_the_word_of_both_nodes(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    (records(store) / "rec.7").write_bytes(b"garbage")
    for copies in ([], [A_CLOSED]):
        plan = await repair.look(copies)
        assert not plan.is_needed
        assert plan.steps[0].startswith("start A and B" if not copies else "start B")


async def test_it_is_done_where_the_pair_is_served(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    shutil.rmtree(records(store))
    plan = await repair.look([A_CLOSED, replace(B_CLOSED, serving=True)])
    assert not plan.is_needed
    assert plan.steps == ("B serves: run this there",)


async def test_a_pair_that_never_served_starts_by_itself(
    store: FileStore, repair: FileRepair
) -> None:
    plan = await repair.look([Copy("A", "a1", 0, 0), Copy("B", "b1", 0, 0)])
    assert not plan.is_needed
    assert "starts by itself" in plan.steps[0]


async def test_without_names_the_operator_has_to_write_them(
    store: FileStore, repair: FileRepair
) -> None:
    store.pair_file.unlink()
    with pytest.raises(ConfigError) as raised:
        await repair.look([A_CLOSED, B_CLOSED])
    assert raised.value.key == "failover.pair_file"


async def test_a_record_that_comes_in_between_is_not_overwritten(
    store: FileStore, a: FileCoordinator, repair: FileRepair
) -> None:
    shutil.rmtree(records(store))
    plan = await repair.look([A_SERVES, B_CLOSED])
    assert plan.record is not None
    other = replace(plan.record, nonce="somebody's")
    assert (await a.cas(other)).result.outcome is Outcome.LANDED
    with pytest.raises(StoreError):
        await repair.carry_out(plan)
    assert await record_of(a) == other


def test_a_nodes_status_tells_of_both_copies() -> None:
    peer = {
        "id": "B",
        "boot_id": "b1",
        "link": "up",
        "epoch": 1,
        "head_seq": 8,
        "gate_open": False,
    }
    status = {
        "id": "A",
        "boot_id": "a1",
        "epoch": 1,
        "seq": 9,
        "gate": "open",
        "history_id": "1-first",
        "rev": 2,
        "peer": peer,
    }
    assert copies_from(status) == [A_SERVES, B_CLOSED]
    assert copies_from(status | {"peer": peer | {"link": "down"}}) == [A_SERVES]
