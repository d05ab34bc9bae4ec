"""What stands before an urgent message: bytes, however large the bulk behind it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.server.replication_queue import (
    ACKNOWLEDGE_BYTES,
    CHUNK_BYTES,
    MEDIA_WINDOW_BYTES,
    WINDOW_BYTES,
    LinkQueue,
)
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.chunk import ChunkReader, Message, encode_message
from rtmp_sync.wire.constants import (
    CSID_CONTROL,
    REPLICATION,
    SET_CHUNK_SIZE,
    SET_PEER_BANDWIDTH,
)
from rtmp_sync.wire.messages import encode_peer_bandwidth
from rtmp_sync.wire.records import LANE_DELTA, LANE_MEDIA, LANE_SNAPSHOT, LANE_URGENT
from tests.support.changes import new_state
from tests.support.envelopes import DIALER, EnvelopeProxy
from tests.support.nodes import SCOPE, Node, same, until

HANDSHAKE_BYTES = 3073
# Of other urgent messages, and of RTMP's own, that may be on their way as well.
SMALL_TALK_BYTES = 16 * 1024


def message(lane: int, size: int) -> bytes:
    return encode_message(REPLICATION, 0, 0, bytes(size), lane, CHUNK_BYTES)


def test_bulk_leaves_until_the_window_is_full_and_goes_on_when_the_peer_has_read():
    queue = LinkQueue()
    queue.wrote(HANDSHAKE_BYTES)
    for _ in range(20):
        queue.put(LANE_SNAPSHOT, message(LANE_SNAPSHOT, 64 * 1024))
    first = sum(map(len, queue.take()))
    assert WINDOW_BYTES <= first <= WINDOW_BYTES + CHUNK_BYTES + 12
    assert queue.take() == []
    assert not queue.has_room
    queue.acknowledged(first)
    assert queue.in_flight_bytes == 0
    second = sum(map(len, queue.take()))
    queue.acknowledged(first + second)
    third = sum(map(len, queue.take()))
    assert first + second + third == 20 * len(message(LANE_SNAPSHOT, 64 * 1024))
    assert queue.waiting_bytes == 0


def test_an_urgent_message_leaves_at_once_and_between_the_chunks_of_another():
    queue = LinkQueue()
    big = message(LANE_DELTA, 1024 * 1024)
    queue.put(LANE_DELTA, big)
    stream = [b"".join(queue.take())]
    urgent = message(LANE_URGENT, 50)
    queue.put(LANE_URGENT, urgent)
    assert queue.take() == [urgent]
    stream.append(urgent)
    queue.acknowledged(sum(map(len, stream)))
    while queue.waiting_bytes:
        queue.acknowledged(sum(map(len, stream)) - HANDSHAKE_BYTES)
        stream += queue.take()
    reader = ChunkReader()
    reader.feed(encode_message(SET_CHUNK_SIZE, 0, 0, CHUNK_BYTES.to_bytes(4), 2, 128))
    heard = reader.feed(b"".join(stream))
    assert [(one.csid, len(one.payload)) for one in heard] == [
        (LANE_URGENT, 50),
        (LANE_DELTA, 1024 * 1024),
    ]


def test_the_counter_of_the_acknowledgements_wraps():
    queue = LinkQueue()
    queue.wrote(HANDSHAKE_BYTES + 2**32 - 10)
    queue.acknowledged(2**31 - 1)
    queue.acknowledged(2**32 - 10)
    queue.wrote(30)
    assert queue.in_flight_bytes == 30
    queue.acknowledged(20)
    assert queue.in_flight_bytes == 0


@pytest.mark.parametrize("wrong", [0, 900, 1100, 2**31 - 1, 2**31 + 5, 2**32 - 1])
def test_an_acknowledgement_with_a_flipped_bit_is_corrected_by_the_next(wrong):
    queue = LinkQueue()
    queue.wrote(HANDSHAKE_BYTES + 1000)
    queue.acknowledged(950)
    queue.acknowledged(wrong)
    assert queue.in_flight_bytes in (0, 50)
    queue.wrote(500)
    queue.acknowledged(1200)
    assert queue.in_flight_bytes == 300
    queue.acknowledged(1500)
    assert queue.in_flight_bytes == 0


def test_the_peer_acknowledges_often_enough_for_the_window():
    assert ACKNOWLEDGE_BYTES <= WINDOW_BYTES // 2


class Copying:
    """A has much to send to B, and everything that passes is recorded."""

    def __init__(self) -> None:
        self.a = Node("A", new_state())
        self.b = Node("B", ReplicatedState())
        self.proxy = EnvelopeProxy()

    async def start(self) -> None:
        self.a.state.journal.take_batch()
        await self.b.start(("127.0.0.1", 1), dials=False)
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True)

    def fill(self, megabytes: int) -> None:
        obj = self.a.state.shared_object(SCOPE, "big", "P")
        for number in range(megabytes * 64):
            version = self.a.state.next_version(obj)
            self.a.state.set_slot(obj, f"k{number}", bytes(16 * 1024), version)
        self.a.turn()

    @property
    def link(self):
        return self.a.replication._current

    async def stop(self) -> None:
        await self.a.replication.stop()
        await self.b.replication.stop()
        await self.proxy.stop()


@pytest.fixture
async def copying() -> AsyncIterator[Copying]:
    both = Copying()
    await both.start()
    yield both
    await both.stop()


async def test_an_urgent_message_stands_behind_half_a_megabyte_of_a_snapshot_at_most(copying):
    copying.fill(24)
    most = 0
    copying.a.serve(1)
    copying.b.stand_by(1, "A")
    while not copying.a.replication.peer_caught_up:
        if copying.link is not None and copying.link.exchange is not None:
            most = max(most, copying.link.in_flight_bytes)
            if copying.link.exchange.source.copying and most < WINDOW_BYTES:
                copying.proxy.pause()
            else:
                copying.proxy.resume()
        await asyncio.sleep(0)
    assert WINDOW_BYTES <= most <= WINDOW_BYTES + CHUNK_BYTES + SMALL_TALK_BYTES
    await until(lambda: same(copying.a, copying.b))


async def test_a_peer_that_wants_a_larger_window_still_acknowledges_often_enough(copying):
    """An origin of the first version announces RTMP's usual 2.5 MB."""
    copying.a.serve(1)
    copying.b.stand_by(1, "A")
    await until(lambda: copying.b.replication.in_sync)
    wish = Message(SET_PEER_BANDWIDTH, 0, 0, encode_peer_bandwidth(2_500_000), CSID_CONTROL)
    copying.proxy.send(DIALER, wish)
    for _ in range(64):
        copying.a.write(1, value=bytes(60 * 1024))
        await asyncio.sleep(0)
    await until(lambda: same(copying.a, copying.b))
    assert copying.a.log.links == [True]


async def test_and_no_more_of_live_changes_to_a_peer_that_reads_nothing(copying):
    """Nothing is lost on the way: the bytes that left are those that the proxy took and holds."""
    copying.a.serve(1)
    copying.b.stand_by(1, "A")
    await until(lambda: copying.b.replication.in_sync and copying.a.replication.peer_caught_up)
    copying.proxy.pause()
    for _ in range(128):
        copying.a.write(1, value=bytes(60 * 1024))
    link = copying.link
    assert link.in_flight_bytes <= WINDOW_BYTES + CHUNK_BYTES + SMALL_TALK_BYTES
    assert link.queued_bytes > 6 * 1024 * 1024
    before = link._queue._written
    copying.a.replication.switchover("prepare", switch_id="urgent", final_seq=1)
    assert link._queue._written - before < SMALL_TALK_BYTES
    copying.proxy.resume()
    await until(lambda: same(copying.a, copying.b))
    lanes = [one.csid for one in copying.proxy.passed["acceptor"]]
    urgent = next(
        number
        for number, one in enumerate(copying.proxy.passed["acceptor"])
        if b"urgent" in one.payload
    )
    assert LANE_DELTA in lanes[urgent:]
    assert copying.a.log.links == [True]


def test_media_goes_only_where_nothing_else_waits_and_less_of_it_is_on_its_way():
    queue = LinkQueue()
    queue.wrote(HANDSHAKE_BYTES)
    while queue.takes_media:
        queue.put(LANE_MEDIA, message(LANE_MEDIA, 64 * 1024))
    first = sum(map(len, queue.take()))
    assert MEDIA_WINDOW_BYTES <= first <= MEDIA_WINDOW_BYTES + CHUNK_BYTES + 12
    assert queue.take() == []
    queue.put(LANE_DELTA, b"a Change")
    assert queue.take() == [b"a Change"]
    queue.acknowledged(first)
    queue.put(LANE_DELTA, b"another one")
    change, *media = queue.take()
    assert change == b"another one"
    assert 0 < sum(map(len, media)) <= MEDIA_WINDOW_BYTES + CHUNK_BYTES + 12
    assert queue.waiting_bytes == 0  # media does not count: no link is given up for it
