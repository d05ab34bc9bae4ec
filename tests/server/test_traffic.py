"""What connections count, where their bytes pass."""

from __future__ import annotations

from rtmp_sync import NetConnection, Origin
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.outbox import Outbox, Outlets
from rtmp_sync.server.traffic import Tally, Traffic
from tests.support.joined import instance
from tests.support.origins import until, url


class Sink:
    def __init__(self) -> None:
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)


def test_an_outbox_counts_all_that_it_writes_whether_it_waited_or_not() -> None:
    commit, sink = CommitPoint(require_peer=True), Sink()
    commit.head_moved(10)
    outlets = Outlets(commit)
    outbox = Outbox(outlets, 1000, lambda: None)
    outbox.open(sink)
    outbox.put(0, 0, b"at once")
    outbox.put_media(1, b"media", 0)
    outlets.flush()
    assert (outbox.messages_out, outbox.bytes_out) == (2, 12)
    for barrier in (1, 2, 3):
        outbox.put(barrier, 0, b"waits")
        commit.peer_acked(barrier)
        outlets.release()
    outlets.put_all([outbox], 4, b"one of many")
    outbox.put(5, 0, b"more")
    assert outbox.messages_out == 5
    commit.peer_acked(5)
    outlets.release()
    assert outbox.messages_out == 7
    assert outbox.bytes_out == sink.written == 12 + 15 + 15


def test_what_an_outbox_never_wrote_does_not_count() -> None:
    outlets = Outlets(CommitPoint())
    outbox = Outbox(outlets, 1000, lambda: None)
    outbox.open(Sink())
    outbox.put(0, 0, b"too late")
    outbox.close()
    outlets.flush()
    assert (outbox.messages_out, outbox.bytes_out) == (0, 0)


def test_a_tally_keeps_what_those_that_left_had_moved() -> None:
    tally = Tally(connects=3)
    tally.left(Traffic(1, 2, 3, 4, 5))
    tally.left(Traffic(10, 20, 30, 40, 50))
    assert (tally.disconnects, tally.ended) == (2, Traffic(11, 22, 33, 44, 55))


async def test_a_connection_and_its_client_tell_the_same(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe"), "ann", "User")
        await connection.call("echo", "x" * 2000)
        (client,) = instance(origin).clients.values()
        (session,) = origin.sessions
        traffic = client.traffic
        assert traffic == session.traffic
        # the handshake is 1 + 1536 + 1536 bytes each way
        assert traffic.bytes_in > 3073 + 2000 < traffic.bytes_out
        assert 2 <= traffic.messages_in < 20
        running = instance(origin)
        assert running.application.traffic == client.traffic
    await until(lambda: not client.connected)
    assert client.traffic == Traffic()
    assert running.application.traffic.bytes_in >= traffic.bytes_in
    assert origin.sessions.tally.ended.bytes_in >= traffic.bytes_in
