"""The log of Changes: batches, backlog and what can be continued from it."""

from __future__ import annotations

import pytest

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.state.change import (
    CALL_BEGUN,
    MAX_VALUE_BYTES,
    SLOT_SET,
    Change,
    check_size,
    decode_changes,
    encode_changes,
)
from rtmp_sync.state.journal import Batch, Journal
from rtmp_sync.wire.packing import pack


def change(number: int) -> Change:
    return Change(SLOT_SET, "text/a", "T:text", f"k{number}", b"\x05", number)


def filled(turns: list[int], **limits: int) -> Journal:
    journal = Journal(**limits)
    journal.history_id = "h1"
    for count in turns:
        for _ in range(count):
            journal.append(change(journal.head + 1))
        journal.take_batch()
    return journal


def sequence(batches: list[Batch] | None) -> list[int]:
    assert batches is not None
    return [made.version for batch in batches for made in batch.changes()]


def test_a_turn_is_one_batch():
    journal = filled([])
    assert journal.append(change(1)) == 1
    assert journal.append(change(2)) == 2
    batch = journal.take_batch()
    assert batch is not None
    assert (batch.first_seq, batch.count, batch.last_seq) == (1, 2, 2)
    assert batch.changes() == [change(1), change(2)]
    assert journal.take_batch() is None


@pytest.mark.parametrize("seq", range(7))
def test_continues_from_any_seq_of_the_backlog(seq):
    assert sequence(filled([3, 1, 2]).since("h1", seq)) == list(range(seq + 1, 7))


def test_a_seq_beyond_the_head_or_another_history_needs_a_full_copy():
    journal = filled([3])
    assert journal.since("h1", 4) is None
    assert journal.since("h0", 2) is None
    assert journal.since("", 0) is None


def test_the_previous_history_continues_up_to_its_end():
    journal = filled([3])
    journal.append(change(4))
    journal.start_epoch(2, "h2")
    journal.take_batch()
    assert sequence(journal.since("h1", 3)) == [4]
    assert sequence(journal.since("h1", 1)) == [2, 3, 4]
    assert journal.since("h1", 4) is None  # the other node has more than this history had
    assert journal.position == (2, 4)


def test_the_backlog_is_bounded_by_changes_and_by_bytes():
    journal = filled([2] * 10, max_changes=6)
    assert journal.backlog_start == 14
    assert journal.since("h1", 13) is None
    assert sequence(journal.since("h1", 14)) == list(range(15, 21))
    small = filled([1] * 100, max_bytes=1000)
    assert small.backlog_bytes <= 1000
    assert small.since("h1", 50) is None


def full_to_the_brim(sizes: list[tuple[int, int]]) -> Journal:
    """A journal with the bounds of the product; sizes: (Changes, bytes) of its turns."""
    journal = Journal()
    journal.history_id = "h1"
    for count, size in sizes:
        journal.accept(Batch(journal.taken + 1, count, bytes(size)))
        journal.head = journal.taken
    return journal


def test_sixteen_mebibytes_fit_and_a_byte_more_drops_the_oldest_turn():
    quarter = 4 * 1024 * 1024
    journal = full_to_the_brim([(10, quarter - 32)] * 4)
    assert journal.backlog_bytes == 16 * 1024 * 1024
    assert journal.backlog_start == 0
    assert len(journal.since("h1", 0) or []) == 4
    journal = full_to_the_brim([(10, quarter - 32)] * 3 + [(10, quarter - 31)])
    assert journal.backlog_start == 10
    assert journal.since("h1", 0) is None
    assert len(journal.since("h1", 10) or []) == 3


def test_two_hundred_thousand_changes_fit_and_one_more_drops_the_oldest_turn():
    journal = full_to_the_brim([(1, 1), (99_999, 1), (100_000, 1)])
    assert journal.backlog_start == 0
    assert len(journal.since("h1", 0) or []) == 3
    journal = full_to_the_brim([(1, 1), (99_999, 1), (100_000, 1), (1, 1)])
    assert journal.backlog_start == 1
    assert journal.since("h1", 0) is None
    assert journal.since("h1", 1) is not None


def test_a_turn_larger_than_the_whole_backlog_leaves_none():
    journal = full_to_the_brim([(5, 100), (5, 16 * 1024 * 1024), (5, 100)])
    assert journal.backlog_start == 10
    assert journal.since("h1", 9) is None
    assert len(journal.since("h1", 10) or []) == 1


def test_without_a_backlog_only_the_head_itself_continues():
    journal = filled([5])
    journal.drop_backlog()
    assert journal.since("h1", 4) is None
    assert journal.since("h1", 5) == []


def test_a_batch_survives_encoding_with_any_text():
    odd = Change(SLOT_SET, "a/\ud800", "T:\U0001f600", "", b"\x00\xff", 2**40)
    assert decode_changes(encode_changes([odd])) == [odd]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91",
        pack(7),
        pack([7]),
        pack([[1, "s", "n", "k", b"v"]]),
        pack([[0, "s", "n", "k", b"v", 1]]),
        pack([[99, "s", "n", "k", b"v", 1]]),
        pack([[1, "s", "n", "k", "text", 1]]),
        pack([[1, "s", "n", "k", b"v", -1]]),
        pack([[True, "s", "n", "k", b"v", 1]]),
        pack([[CALL_BEGUN, "", "x", "00", b"", 1]]),
        pack([[SLOT_SET, "s", "n", "k", bytes(MAX_VALUE_BYTES + 1), 1]]),
        encode_changes([change(1)]) + b"\x00",
        b"\x91" * 5000,
    ],
)
def test_a_malformed_batch_is_the_peers_error(data):
    with pytest.raises(RemoteProtocolError):
        decode_changes(data)


def test_a_change_that_no_message_can_carry_is_refused_where_it_is_made():
    with pytest.raises(LocalProtocolError, match="above the limit"):
        check_size(change(1)._replace(value=bytes(MAX_VALUE_BYTES + 1)))
    with pytest.raises(LocalProtocolError, match="longer"):
        check_size(change(1)._replace(key="k" * 20_000))
