"""Messages of the replication link and records of the journal file, both ways."""

from __future__ import annotations

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import records
from rtmp_sync.wire.packing import pack
from rtmp_sync.wire.records import (
    LANE_DELTA,
    LANE_SNAPSHOT,
    LANE_URGENT,
    decode_disk_record,
    decode_envelope,
    decode_plain,
    encode_disk_record,
    encode_envelope,
    encode_plain,
    lane_of,
)

KEY = b"k" * 32
ALL = [
    records.Hello(1, 2, "A+B", "A", "boot", b"n" * 32, "key"),
    records.Challenge(1, "B", "boot", b"n" * 32, b"m" * 32),
    records.Auth(b"m" * 32),
    records.Role(3, "A", True, False, "READY", 2, 99),
    records.SyncRequest(1, "?", 0, 0),
    records.SyncContinue(1, "h1", 100),
    records.SyncFull(1, "h2", "h1", 50, 2, 99, 7, 12, b"d" * 16),
    records.SnapshotChunk(1, 0, bytes(65536)),
    records.SnapshotEnd(1, 3, b"d" * 16),
    records.Delta(2**40, b"\x90"),
    records.Ack(2**63),
    records.Heartbeat(1, 99, True, True, -1.0, 0.002, 12345.678),
    records.PromiseRequest(9, 3),
    records.Promise(9, 3500),
    records.Fence(4, "B"),
    records.Switchover("prepare", "s1", 99, 2.0, 0),
    records.DigestRequest(99),
    records.DigestResponse(99, b""),
    records.Bye("stopping", "ünïcode"),
    records.Replay(99, "text/_definst_", b"who", "setText", b"\x02\x00\x02hi"),
    records.StoreNonce("0000000000000001 6e6f6e6365", True),
    records.Media("live/room", "show", 9, 40, b"\x17\x01key"),
]


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_every_record_survives_both_forms(record):
    assert decode_plain(encode_plain(record)) == record
    lane = lane_of(record)
    envelope = decode_envelope(encode_envelope(record, lane, 5, 7, KEY), lane, KEY)
    assert envelope == (5, 7, record)
    assert type(envelope.record) is type(record)


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_every_prefix_of_a_message_is_refused(record):
    plain = encode_plain(record)
    whole = encode_envelope(record, LANE_URGENT, 0, 0, KEY)
    for end in range(min(len(plain), 300)):
        with pytest.raises(RemoteProtocolError):
            decode_plain(plain[:end])
    for end in range(min(len(whole), 300)):
        with pytest.raises(RemoteProtocolError):
            decode_envelope(whole[:end], LANE_URGENT, KEY)


def test_bulk_and_changes_have_lanes_of_their_own():
    lanes = {type(record).__name__: lane_of(record) for record in ALL}
    assert lanes["Delta"] == lanes["DigestRequest"] == lanes["Replay"] == LANE_DELTA
    assert lanes["SnapshotChunk"] == LANE_SNAPSHOT
    assert lanes["Ack"] == lanes["Heartbeat"] == lanes["Promise"] == LANE_URGENT


@pytest.mark.parametrize(
    "payload",
    [
        pack([]),
        pack(7),
        pack([99, 1]),
        pack(["11", 1]),
        pack([True, 1]),
        pack([11]),
        pack([11, 1, 2]),
        pack([11, -1]),
        pack([11, True]),
        pack([11, 1.0]),
        pack([11, "1"]),
        pack([13, 1, None]),
        encode_plain(records.Ack(1)) + b"\x00",
    ],
)
def test_a_malformed_message_is_the_peers_error(payload):
    with pytest.raises(RemoteProtocolError):
        decode_plain(payload)


@pytest.mark.parametrize(
    "items",
    [
        [0, 0, 11, pack([1])],
        [0, 0, 11, pack([1]), "mac"],
        [-1, 0, 11, pack([1]), b"m" * 16],
        [0, 0, 300, pack([1]), b"m" * 16],
        [0, 0, 11, pack([1]), b"m" * 16],
        [0, 0, 11, pack([1]), b""],
    ],
)
def test_a_malformed_envelope_is_the_peers_error(items):
    with pytest.raises(RemoteProtocolError):
        decode_envelope(pack(items), LANE_URGENT, KEY)


def test_a_wrong_key_or_lane_fails_the_mac():
    payload = encode_envelope(records.Ack(1), LANE_URGENT, 0, 0, KEY)
    for lane, key in ((LANE_DELTA, KEY), (LANE_URGENT, b"x" * 32)):
        with pytest.raises(RemoteProtocolError, match="bad_mac"):
            decode_envelope(payload, lane, key)


def test_disk_records_follow_each_other():
    data = encode_disk_record(1, 2, b"first") + encode_disk_record(3, 1, b"second")
    assert decode_disk_record(data, 0) == (1, 2, b"first", 25)
    assert decode_disk_record(data, 25) == (3, 1, b"second", len(data))
    assert decode_disk_record(data, len(data)) is None


def test_a_torn_or_flipped_disk_record_is_none():
    data = encode_disk_record(1, 2, b"changes")
    for end in range(len(data)):
        assert decode_disk_record(data[:end], 0) is None
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        assert decode_disk_record(flipped, 0) is None
