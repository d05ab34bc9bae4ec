from __future__ import annotations

import json

import pytest

from rtmp_sync.cluster.record import Author, InSync, Record, decode, encode, first_record
from rtmp_sync.errors import StoreError

A = Author("A", "a1", "nonce-1", "2026-01-01T00:00:00+00:00")
B = Author("B", "b1", "nonce-2", "2026-01-01T00:00:01+00:00")
FIRST = first_record(("A", "B"), A)


def test_the_first_record_is_epoch_one_of_its_author() -> None:
    assert (FIRST.rev, FIRST.epoch, FIRST.sync, FIRST.released) == (1, 1, (), False)
    assert FIRST.held_by("A", "a1")
    assert not FIRST.held_by("A", "a2")


def test_a_claim_takes_the_next_epoch_and_lists_nobody() -> None:
    synced = FIRST.synced(A, 5, "in_sync", InSync("B", "b1"))
    released = synced.let_go(A, 5, "process_exit")
    claim = released.claimed(B, 5, "process_exit")
    assert (claim.rev, claim.prev, claim.epoch) == (released.rev + 1, released.nonce, 2)
    assert claim.held_by("B", "b1")
    assert (claim.sync, claim.released) == ((), False)
    assert claim.history_id != FIRST.history_id


def test_a_release_keeps_who_was_in_sync() -> None:
    released = FIRST.synced(A, 5, "in_sync", InSync("B", "b1")).let_go(A, 6, "hung")
    assert released.lists("B", "b1")
    assert released.reason == "hung"


def test_a_switchover_names_the_next_holder_and_who_is_in_sync_with_it() -> None:
    released = FIRST.let_go(A, 1, "x")
    handed = released.handed_over(A, 9, InSync("B", "b7"), InSync("A", "a1"))
    assert handed.held_by("B", "b7")
    assert handed.sync == (InSync("A", "a1"),)
    assert (handed.epoch, handed.reason, handed.released) == (2, "switchover", False)


def test_a_pause_keeps_the_reason_and_every_other_write_sets_its_own() -> None:
    handed = FIRST.handed_over(A, 9, InSync("B", "b7"))
    assert handed.with_pause(B, 9, True).reason == "switchover"
    assert handed.unchanged(B, 9).reason == "no-op"


def test_an_encoded_record_decodes_to_itself() -> None:
    record = FIRST.synced(A, 5, "in_sync", InSync("B", "b1"))
    assert decode(encode(record)) == record


def test_every_changed_byte_is_noticed() -> None:
    content = encode(FIRST)
    for place in range(len(content) - 1):  # the last byte is the line end
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(StoreError):
            decode(bytes(damaged))


def test_what_is_json_and_cannot_be_written_again_is_no_record() -> None:
    with pytest.raises(StoreError):
        decode(b'{"at": "\\ud800"}')
    for depth in range(700, 1000):  # somewhere here it can still be read
        with pytest.raises(StoreError):
            decode(b'{"at":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize("length", [0, 1, 50, 300])
def test_a_torn_record_is_no_record(length: int) -> None:
    with pytest.raises(StoreError):
        decode(encode(FIRST)[:length])


def with_members(**changes: object) -> bytes:
    """A record with a right checksum over wrong members."""
    record = {**json.loads(encode(FIRST)), **changes}
    record.pop("checksum")
    import hashlib

    text = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
    record["checksum"] = hashlib.sha256(text).hexdigest()
    return json.dumps(record, sort_keys=True, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"nodes": ["A"]},
        {"nodes": None},
        {"sync": [{"node": "B"}]},
        {"holder": "C"},
        {"epoch": 0},
        {"rev": 0},
        {"extra": 1},
        {"rev": "1"},
        {"epoch": None},
        {"released": 0},
        {"nodes": ["A", 2]},
        {"nodes": ["A", "a"]},
    ],
)
def test_a_record_of_another_shape_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StoreError):
        decode(with_members(**changes))


def test_the_encoded_record_is_one_json_line_for_people() -> None:
    content = encode(FIRST)
    assert content.count(b"\n") == 1
    assert json.loads(content)["holder"] == "A"


def test_the_other_node_is_known_from_either_side() -> None:
    record: Record = FIRST
    assert (record.other("A"), record.other("B")) == ("B", "A")
