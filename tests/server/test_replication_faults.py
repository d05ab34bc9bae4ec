"""What goes wrong on the link, over real sockets: it is named and counted, and when its cause
has ended the pair is in sync again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rtmp_sync.cluster.link import Link, Protocols
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.chunk import Message
from rtmp_sync.wire.constants import AUDIO, COMMAND, REPLICATION
from rtmp_sync.wire.packing import pack
from rtmp_sync.wire.records import LANE_DELTA, LANE_URGENT, MAX_MESSAGE_BYTES, Ack, _mac
from rtmp_sync.wire.refusals import Reason
from tests.support.changes import new_state
from tests.support.envelopes import (
    ACCEPTOR,
    DIALER,
    EnvelopeProxy,
    as_it_is,
    flipped,
    missing,
    once,
    twice,
)
from tests.support.nodes import Node, same, until


class Pair:
    """A dials B through a proxy; A serves epoch 1."""

    def __init__(self) -> None:
        self.a = Node("A", new_state())
        self.b = Node("B", ReplicatedState())
        self.proxy = EnvelopeProxy()

    async def start(self, **options: object) -> None:
        self.a.state.journal.take_batch()
        await self.b.start(("127.0.0.1", 1), dials=False, **options)
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True, **options)
        self.a.serve(1)
        self.b.stand_by(1, "A")
        self.a.write(5)
        await self.in_sync()

    async def restart_b(self, node_id: str = "B", **options: object) -> None:
        """With the copy that it has."""
        await self.b.replication.stop()
        self.b = Node(node_id, self.b.state, boot_id=self.b.boot_id + "'")
        await self.b.start(("127.0.0.1", 1), dials=False, **options)
        self.proxy.aim(("127.0.0.1", self.b.replication.port))
        self.b.stand_by(1, "A")

    async def in_sync(self) -> None:
        """And stays so: a Change goes all the way, and the digests are the same."""
        await until(lambda: self.b.replication.in_sync and self.a.replication.peer_caught_up)
        self.a.write(1)
        await until(lambda: same(self.a, self.b))
        assert await self.a.replication.digest_agrees()
        assert self.a.state.recompute_digest() == self.b.state.recompute_digest()

    async def stop(self) -> None:
        await self.a.replication.stop()
        await self.b.replication.stop()
        await self.proxy.stop()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    both = Pair()
    await both.start()
    yield both
    await both.stop()


@pytest.fixture
async def patient_pair() -> AsyncIterator[Pair]:
    """It bears a silence that is longer than a test."""
    both = Pair()
    await both.start(timing=replace(DEFAULT, ack_timeout=20.0))
    yield both
    await both.stop()


def counted(node: Node) -> dict[str, int]:
    """What a node refused, without what it did not."""
    return {name: count for name, count in node.replication.refusals.items() if count}


def test_every_reason_is_counted_from_the_start():
    node = Node("A", new_state())
    assert node.make(("127.0.0.1", 1), dials=False).refusals == dict.fromkeys(Reason, 0)


@pytest.mark.parametrize(
    ("hearer", "lane", "write"),
    [(ACCEPTOR, LANE_DELTA, True), (ACCEPTOR, LANE_URGENT, False), (DIALER, LANE_URGENT, False)],
    ids=["a change", "a heartbeat of the active", "a heartbeat of the standby"],
)
async def test_a_flipped_bit_is_a_bad_mac_and_changes_nothing(pair, hearer, lane, write):
    node = pair.b if hearer == ACCEPTOR else pair.a
    pair.proxy.fault[hearer] = once(lane, flipped)
    if write:
        pair.a.write(2)
    await until(lambda: node.log.links[:2] == [True, False])
    assert counted(node) == {"bad_mac": 1}
    assert node.log.refused == ["bad_mac"]
    await pair.in_sync()
    assert node.replication.alarms == {}


async def test_an_acknowledgement_with_a_flipped_bit_acknowledges_nothing(pair):
    acked = pair.a.replication.acked
    head = pair.a.state.journal.head

    def flip_acks(message: Message) -> list[Message]:
        return flipped(message) if len(message.payload) < 40 else [message]

    pair.proxy.fault[DIALER] = flip_acks
    pair.a.write(3)
    await until(lambda: pair.a.replication.refusals["bad_mac"] == 1)
    assert acked <= pair.a.log.acked <= head
    pair.proxy.fault[DIALER] = as_it_is
    await pair.in_sync()


async def test_three_bad_macs_within_a_minute_are_an_alarm(pair):
    pair.proxy.fault[ACCEPTOR] = lambda message: (
        flipped(message) if message.csid == LANE_DELTA else [message]
    )
    await until(lambda: pair.b.replication.refusals["bad_mac"] >= 3 or pair.a.write(1) or False)
    assert list(pair.b.replication.alarms) == ["bad_mac"]
    pair.proxy.fault[ACCEPTOR] = as_it_is
    await pair.in_sync()


async def test_a_replayed_envelope_is_dropped_and_the_link_goes_on(pair):
    pair.proxy.fault[ACCEPTOR] = once(LANE_DELTA, twice)
    pair.a.write(2)
    await until(lambda: counted(pair.b) == {"replayed": 1})
    early = next(one for one in pair.proxy.passed[ACCEPTOR] if one.csid == LANE_DELTA)
    pair.proxy.send(ACCEPTOR, early)
    await until(lambda: counted(pair.b) == {"replayed": 2})
    await pair.in_sync()
    assert pair.b.log.links == [True]
    assert "replayed" in pair.b.log.refused


async def test_an_envelope_of_an_earlier_link_is_a_bad_mac(pair):
    [*_, early] = (one for one in pair.proxy.passed[ACCEPTOR] if one.csid == LANE_DELTA)
    await pair.restart_b()
    await pair.in_sync()
    pair.proxy.send(ACCEPTOR, early)
    await until(lambda: counted(pair.b) == {"bad_mac": 1})
    await pair.in_sync()


async def test_a_missing_envelope_is_a_gap(pair):
    pair.proxy.fault[ACCEPTOR] = once(LANE_DELTA, missing)
    pair.a.write(2)
    pair.a.write(2)
    await until(lambda: counted(pair.b) == {"gap": 1})
    assert pair.b.log.refused == ["gap"]
    await pair.in_sync()


async def test_the_last_envelope_missing_is_a_gap_too(pair):
    pair.proxy.fault[ACCEPTOR] = once(LANE_DELTA, missing)
    pair.a.write(2)
    await until(lambda: counted(pair.b) == {"gap": 1})
    await until(lambda: same(pair.a, pair.b))
    await pair.in_sync()


async def test_a_wrong_secret_is_refused_by_both_until_it_is_right(pair):
    await pair.restart_b(secret=b"another secret")
    await until(lambda: bool(pair.a.replication.refusals["bad_secret"]))
    await until(lambda: bool(pair.b.replication.refusals["bad_secret"]))
    assert pair.b.log.links == []
    assert pair.a.log.refused == pair.b.log.refused == ["bad_secret"]
    await pair.restart_b()
    await pair.in_sync()


async def test_another_pairs_origin_is_refused_by_both(pair):
    await pair.restart_b(pair_id="A+C")
    await until(lambda: bool(pair.a.replication.refusals["other_pair"]))
    await until(lambda: bool(pair.b.replication.refusals["other_pair"]))
    assert pair.b.log.links == []
    await pair.restart_b()
    await pair.in_sync()


async def test_an_origin_of_another_protocol_is_refused_by_both(pair):
    await pair.restart_b(protocols=Protocols(7, 8))
    await until(lambda: bool(pair.a.replication.refusals["other_protocol"]))
    await until(lambda: bool(pair.b.replication.refusals["other_protocol"]))
    assert pair.b.log.links == []
    await pair.restart_b()
    await pair.in_sync()


async def test_an_origin_with_the_same_id_is_refused_by_both(pair):
    await pair.restart_b("A")
    await until(lambda: bool(pair.a.replication.refusals["same_node"]))
    await until(lambda: bool(pair.b.replication.refusals["same_node"]))
    assert pair.b.log.links == []
    await pair.restart_b()
    await pair.in_sync()


async def test_what_an_older_epoch_sends_is_refused_and_its_sender_is_told(pair):
    before = pair.b.state.journal.head
    pair.b.stand_by(2, "B")
    pair.a.write(3)
    await until(lambda: pair.a.log.fences == [(2, "B")])
    assert pair.b.replication.refusals["older_epoch"] > 0
    assert "older_epoch" in pair.b.log.refused
    assert pair.b.state.journal.head == before
    pair.a.stand_by(2, "B")
    pair.b.state.start_epoch(2, "boot-b", "h2", lossy=False)
    pair.b.turn()
    pair.b.serve(2)
    await until(lambda: pair.a.replication.in_sync and same(pair.a, pair.b))


async def test_a_restarted_empty_origin_offers_its_copy_in_vain_until_a_record_names_it(pair):
    pair.b.stand_by(1, "B")
    await pair.a.replication.stop()
    pair.a = Node("A", new_state(), boot_id="boot'")
    pair.a.state.journal.take_batch()
    await pair.a.start(pair.proxy.address, dials=True)
    pair.a.serve(1)
    before = pair.b.state.digest()
    await until(lambda: counted(pair.b) == {"regressing_snapshot": 1})
    assert pair.b.state.digest() == before
    pair.b.stand_by(1, "A")
    await pair.in_sync()


async def test_more_acknowledged_than_was_sent_is_refused(pair):
    acked = pair.a.log.acked
    link = pair.b.replication._current
    link.link.send(Ack(pair.a.state.journal.head + 1))
    link.flush()
    await until(lambda: counted(pair.a) == {"ack_beyond": 1})
    assert pair.a.log.acked == acked
    assert pair.a.log.refused == ["ack_beyond"]
    await pair.in_sync()


def sealed(link: Link, kind: int, body: bytes) -> Message:
    """The next urgent envelope of `link`, of a kind that it does not know itself."""
    number = link._next_out[LANE_URGENT]
    mac = _mac(link._send_key, LANE_URGENT, number, link.epoch, kind, body)
    payload = pack((number, link.epoch, kind, body, mac))
    return Message(REPLICATION, 0, 0, payload, LANE_URGENT)


async def test_an_unknown_kind_is_refused(pair):
    link = pair.b.replication._current.link
    pair.proxy.send(DIALER, sealed(link, 99, pack(())))
    await until(lambda: counted(pair.a) == {"unknown_kind": 1})
    await pair.in_sync()


@pytest.mark.parametrize(
    "message",
    [
        Message(AUDIO, 1, 0, b"\xaf\x01", 6),
        Message(COMMAND, 0, 0, b"\x02\x00\x05hello\x00" + bytes(8) + b"\x05", 3),
        Message(99, 0, 0, b"what", 3),
        Message(REPLICATION, 0, 0, b"on no lane", 20),
    ],
    ids=["media", "a command", "an unknown type", "an unknown lane"],
)
async def test_any_other_message_is_refused(pair, message):
    pair.proxy.send(ACCEPTOR, message)
    await until(lambda: counted(pair.b) == {"other_message": 1})
    await pair.in_sync()


async def test_a_message_that_is_too_large_is_refused_when_it_is_announced(pair):
    length = (MAX_MESSAGE_BYTES + 1).to_bytes(3)
    header = bytes([LANE_DELTA]) + bytes(3) + length + bytes([REPLICATION]) + bytes(4)
    pair.proxy.send_raw(ACCEPTOR, header)
    await until(lambda: counted(pair.b) == {"too_large": 1})
    await pair.in_sync()


async def test_bytes_that_are_no_rtmp_are_refused(pair):
    pair.proxy.send_raw(ACCEPTOR, b"\xff" * 30)
    await until(lambda: counted(pair.b) == {"malformed": 1})
    await pair.in_sync()


async def test_silence_ends_the_link_of_both(pair):
    pair.proxy.pause()
    for node in (pair.a, pair.b):
        await until(lambda node=node: node.replication.refusals["silence"] > 0)
        assert "silence" in node.log.refused
    pair.proxy.resume()
    await pair.in_sync()


async def test_a_peer_that_stops_reading_is_dropped_before_memory_fills(patient_pair, monkeypatch):
    pair = patient_pair
    monkeypatch.setattr("rtmp_sync.server.replication_link.HARD_QUEUE_BYTES", 1024 * 1024)
    pair.proxy.pause(ACCEPTOR)
    most = 0
    while not pair.a.replication.refusals["too_slow"]:
        pair.a.write(1, value=bytes(64 * 1024))
        most = max(most, pair.a.replication.queued_bytes)
        await asyncio.sleep(0)
    assert most < 2 * 1024 * 1024
    assert pair.a.log.refused == ["too_slow"]
    pair.proxy.resume()
    await pair.in_sync()


async def test_a_peer_that_is_slow_for_long_is_dropped(patient_pair, monkeypatch):
    pair = patient_pair
    monkeypatch.setattr("rtmp_sync.server.replication_link.SOFT_QUEUE_BYTES", 1024 * 1024)
    monkeypatch.setattr("rtmp_sync.server.replication_link.SOFT_QUEUE_SECONDS", 0.2)
    pair.proxy.pause(ACCEPTOR)
    for _ in range(64):
        pair.a.write(1, value=bytes(64 * 1024))
    await until(lambda: counted(pair.a) == {"too_slow": 1})
    pair.proxy.resume()
    await pair.in_sync()
