"""Every deadline of a connection, with a clock that the test moves."""

from __future__ import annotations

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol import events
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.wire import constants as c
from tests.support.rtmp_peer import Joined, only

LIMITS = ConnectionLimits(
    handshake_timeout=5, message_timeout=10, ping_interval=30, ping_timeout=20
)


def joined_with(limits: ConnectionLimits = LIMITS) -> Joined:
    return Joined(server_limits=limits, client_limits=limits)


def expire(joined: Joined, seconds: float, why: str) -> None:
    """The server's next deadline is that far away, and passing it is a refusal."""
    start = joined.now
    assert joined.server.next_deadline() == start + seconds
    joined.server.handle_timeout(start + seconds - 0.1)
    with pytest.raises(RemoteProtocolError, match=why):
        joined.server.handle_timeout(start + seconds)
    assert joined.server.next_deadline() is None


def test_a_silent_peer_has_time_for_its_handshake() -> None:
    expire(joined_with(), 5, "no handshake within 5 s")


def test_half_a_handshake_does_not_extend_it() -> None:
    joined = joined_with()
    joined.now += 3
    joined.server.receive_data(joined.client.data_to_send()[:500], joined.now)
    expire(joined, 2, "no handshake")


def test_a_client_that_shook_hands_has_time_to_connect() -> None:
    joined = joined_with()
    joined.now += 3
    joined.settle()
    expire(joined, 5, "no connect command within 5 s")


def test_half_a_message_and_silence_ends_the_connection() -> None:
    joined = joined_with()
    joined.connect()
    data = joined.client.message(c.DATA, bytes(5000))
    joined.to_server(data[:3000])
    joined.now += 9
    joined.to_server(data[3000:4500])
    expire(joined, 10, "nothing for 10 s in the middle of a message")


def test_half_a_header_and_silence_ends_the_connection() -> None:
    joined = joined_with()
    joined.connect()
    joined.to_server(b"\x03\0\0")
    expire(joined, 10, "in the middle of a message")


def test_a_whole_message_and_silence_is_pinged_and_a_ping_unanswered_ends_it() -> None:
    joined = joined_with()
    joined.connect()
    assert joined.server.next_deadline() == joined.now + 30
    joined.now += 30
    joined.server.handle_timeout(joined.now)
    assert joined.server.data_to_send()[7] == c.USER_CONTROL
    expire(joined, 20, "no answer to a ping within 20 s")


def test_an_answered_ping_tells_the_round_trip_and_starts_anew() -> None:
    joined = joined_with()
    joined.connect()
    joined.now += 30
    joined.server.handle_timeout(joined.now)
    joined.now += 0.25
    joined.settle()
    answer = only(joined.server_events[-1:], events.PingAnswered)
    assert answer.round_trip == pytest.approx(0.25, abs=0.001)
    assert joined.server.next_deadline() == joined.now + 30


def test_an_answer_to_no_ping_tells_nothing() -> None:
    joined = joined_with()
    joined.connect()
    assert joined.to_server(joined.client.user_control(c.PING_RESPONSE, 7)) == []


def test_any_bytes_are_a_sign_of_life() -> None:
    joined = joined_with()
    joined.connect()
    joined.now += 30
    joined.server.handle_timeout(joined.now)
    joined.server.data_to_send()
    joined.to_server(joined.client.command("hello", 0, None))
    assert joined.server.next_deadline() == joined.now + 30


def test_a_client_pings_too() -> None:
    joined = joined_with()
    joined.connect()
    joined.now += 30
    joined.client.handle_timeout(joined.now)
    joined.settle()
    assert only(joined.client_events[-1:], events.PingAnswered).round_trip == 0


def test_without_an_interval_there_are_no_pings() -> None:
    joined = joined_with(ConnectionLimits(ping_interval=0))
    joined.connect()
    assert joined.server.next_deadline() is None
    joined.server.handle_timeout(joined.now + 1000)
    assert joined.server.data_to_send() == b""
