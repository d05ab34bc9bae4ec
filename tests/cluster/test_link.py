"""Two ends of a link joined in memory: who may talk, and what is accepted of what is said."""

from __future__ import annotations

import pytest

from rtmp_sync.cluster.link import PROTOCOLS, Link, LinkIdentity, Protocols, end_said_by
from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.packing import pack
from rtmp_sync.wire.records import (
    LANE_DELTA,
    LANE_SNAPSHOT,
    LANE_URGENT,
    Ack,
    Auth,
    Bye,
    Delta,
    Fence,
    Promise,
    Record,
    Replay,
    _mac,
    decode_plain,
    encode_envelope,
    encode_plain,
)
from rtmp_sync.wire.refusals import LinkLost, LinkRefused, Reason, reason_of

A = LinkIdentity("A+B", "A", "boot-a")
B = LinkIdentity("A+B", "B", "boot-b")


def dialer(me: LinkIdentity = A, *secrets: bytes, protocols: tuple[int, int] = PROTOCOLS) -> Link:
    secrets = secrets or (b"secret",)
    return Link(me, secrets, dials=True, nonce=b"d" * 32, protocols=Protocols(*protocols))


def acceptor(me: LinkIdentity = B, *secrets: bytes, protocols: tuple[int, int] = PROTOCOLS) -> Link:
    secrets = secrets or (b"secret",)
    return Link(me, secrets, dials=False, nonce=b"a" * 32, protocols=Protocols(*protocols))


def carry(sender: Link, receiver: Link) -> None:
    for lane, payload in sender.messages_to_send():
        receiver.receive_message(lane, payload)


def joined(one: Link | None = None, other: Link | None = None) -> tuple[Link, Link]:
    one, other = one or dialer(), other or acceptor()
    carry(one, other)
    carry(other, one)
    carry(one, other)
    assert one.established
    assert other.established
    return one, other


def _sealed(link: Link, kind: int, body: bytes) -> bytes:
    """The next urgent envelope of a link, of any kind."""
    mac = _mac(link._send_key, LANE_URGENT, 0, 0, kind, body)
    return pack((0, 0, kind, body, mac))


def sent(link: Link, *records: Record) -> list[tuple[int, bytes]]:
    for record in records:
        link.send(record)
    return link.messages_to_send()


def received(link: Link, messages: list[tuple[int, bytes]]) -> list[Record]:
    for lane, payload in messages:
        link.receive_message(lane, payload)
    return [record for _, record in link.records_received()]


def test_both_know_each_other_when_the_secret_is_proved():
    one, other = joined()
    assert one.peer == B
    assert other.peer == A


def test_records_arrive_in_order_with_the_senders_epoch():
    one, other = joined()
    one.epoch = 7
    one.send(Ack(1))
    one.send(Delta(1, b"x"))
    one.send(Ack(2))
    carry(one, other)
    assert other.records_received() == [(7, Ack(1)), (7, Delta(1, b"x")), (7, Ack(2))]
    other.send(Ack(3))
    carry(other, one)
    assert one.records_received() == [(0, Ack(3))]


def test_each_kind_travels_on_its_lane():
    one, _ = joined()
    assert [lane for lane, _ in sent(one, Ack(1), Delta(1, b""))] == [LANE_URGENT, LANE_DELTA]


def test_a_duplicate_is_dropped_and_counted():
    one, other = joined()
    refused = []
    other.on_refused = lambda reason, text: refused.append(reason)
    [message] = sent(one, Ack(1))
    assert received(other, [message, message, message]) == [Ack(1)]
    assert refused == [Reason.REPLAYED] * 2


def test_a_gap_ends_the_link():
    one, other = joined()
    _, second = sent(one, Ack(1), Ack(2))
    with pytest.raises(LinkRefused, match="gap") as caught:
        received(other, [second])
    assert caught.value.reason is Reason.GAP


def test_a_gap_in_one_lane_is_not_hidden_by_another():
    one, other = joined()
    _, second, ack = sent(one, Delta(1, b"a"), Delta(2, b"b"), Ack(1))
    assert received(other, [ack]) == [Ack(1)]
    with pytest.raises(RemoteProtocolError, match="gap"):
        received(other, [second])


def test_a_bit_flipped_anywhere_is_a_bad_mac():
    [(lane, payload)] = sent(joined()[0], Delta(1, b"some changes"))
    for at in range(len(payload)):
        for bit in range(8):
            _, other = joined()
            flipped = payload[:at] + bytes([payload[at] ^ 1 << bit]) + payload[at + 1 :]
            with pytest.raises(LinkRefused) as caught:
                received(other, [(lane, flipped)])
            assert caught.value.reason is Reason.BAD_MAC


def test_a_kind_that_nobody_knows_is_refused_by_name():
    one, other = joined()
    payload = _sealed(one, 99, b"\x90")
    with pytest.raises(LinkRefused) as caught:
        other.receive_message(LANE_URGENT, payload)
    assert caught.value.reason is Reason.UNKNOWN_KIND


def test_a_message_moved_to_another_lane_fails_its_mac():
    one, other = joined()
    [(_, payload)] = sent(one, Ack(1))
    with pytest.raises(RemoteProtocolError, match="bad_mac"):
        received(other, [(LANE_SNAPSHOT, payload)])


def test_a_message_reflected_to_its_sender_fails_its_mac():
    one, _ = joined()
    [message] = sent(one, Ack(1))
    with pytest.raises(RemoteProtocolError, match="bad_mac"):
        received(one, [message])


def test_a_message_of_an_earlier_link_fails_its_mac():
    one, _ = joined()
    [message] = sent(one, Ack(1))
    fresh = Link(B, [b"secret"], dials=False, nonce=b"b" * 32)
    _, other = joined(dialer(), fresh)
    with pytest.raises(RemoteProtocolError, match="bad_mac"):
        received(other, [message])


def test_another_chunk_stream_is_refused():
    one, other = joined()
    [(_, payload)] = sent(one, Ack(1))
    with pytest.raises(RemoteProtocolError, match="chunk stream 3"):
        other.receive_message(3, payload)


def test_a_record_above_a_megabyte_is_never_sent():
    one, _ = joined()
    with pytest.raises(LocalProtocolError):
        one.send(Delta(1, bytes(1024 * 1024)))


def test_a_rotation_has_two_secrets():
    joined(dialer(A, b"new"), acceptor(B, b"old", b"new"))
    joined(dialer(A, b"old"), acceptor(B, b"new", b"old"))


def test_a_secret_that_differs_is_refused_and_said():
    one, other = dialer(), acceptor(B, b"another")
    with pytest.raises(LinkRefused, match="secret") as caught:
        carry(one, other)
    assert caught.value.reason is Reason.BAD_SECRET
    with pytest.raises(LinkRefused, match="secret of the two nodes differs"):
        carry(other, one)


def test_an_acceptor_without_the_secret_learns_nothing():
    one, impostor = dialer(), acceptor()
    [(lane, payload)] = one.messages_to_send()
    impostor.receive_message(lane, payload)
    impostor._secret = b"guess"
    challenge = decode_plain(impostor.messages_to_send()[0][1])
    forged = challenge._replace(mac=impostor._proof(b"acceptor"))
    with pytest.raises(LinkRefused) as caught:
        one.receive_message(LANE_URGENT, encode_plain(forged))
    assert caught.value.reason is Reason.BAD_SECRET
    assert one.messages_to_send() == []


def test_a_dialer_without_the_secret_is_refused():
    one, other = dialer(), acceptor()
    carry(one, other)
    with pytest.raises(LinkRefused) as caught:
        other.receive_message(LANE_URGENT, encode_plain(Auth(b"x" * 32)))
    assert caught.value.reason is Reason.BAD_SECRET
    assert not other.established


def test_one_id_on_both_nodes_is_found_by_both_once_it_is_proved():
    one, other = dialer(), acceptor(LinkIdentity("A+B", "A", "boot-2"))
    carry(one, other)
    with pytest.raises(LinkRefused, match="both nodes have one id: 'A'") as caught:
        carry(other, one)
    assert caught.value.reason is Reason.SAME_NODE
    with pytest.raises(LinkRefused) as caught:
        carry(one, other)
    assert caught.value.reason is Reason.SAME_NODE


def test_another_pair_is_refused_with_a_clear_word():
    one, other = dialer(), acceptor(LinkIdentity("A+C", "C", "boot"))
    with pytest.raises(LinkRefused) as caught:
        carry(one, other)
    assert caught.value.reason is Reason.OTHER_PAIR
    with pytest.raises(LinkRefused, match="the pair here is 'A\\+C', not 'A\\+B'"):
        carry(other, one)


@pytest.mark.parametrize(
    ("dials", "accepts", "agreed"),
    [((1, 2), (1, 2), 2), ((1, 1), (1, 2), 1), ((1, 2), (1, 1), 1), ((2, 3), (1, 2), 2)],
)
def test_the_highest_version_that_both_speak_is_agreed_on(dials, accepts, agreed):
    one, other = joined(dialer(protocols=dials), acceptor(protocols=accepts))
    assert one.protocol == other.protocol == agreed


@pytest.mark.parametrize(("dials", "accepts"), [((3, 4), (1, 2)), ((1, 2), (3, 4))])
def test_protocols_that_do_not_overlap_are_refused_by_both(dials, accepts):
    one, other = dialer(protocols=dials), acceptor(protocols=accepts)
    with pytest.raises(LinkRefused, match="protocol here") as caught:
        carry(one, other)
    assert caught.value.reason is Reason.OTHER_PROTOCOL
    with pytest.raises(LinkRefused, match="protocol here") as caught:
        carry(other, one)
    assert caught.value.reason is Reason.OTHER_PROTOCOL


def test_a_version_that_was_not_offered_is_not_taken():
    one, other = dialer(protocols=(1, 1)), acceptor()
    carry(one, other)
    [(_, payload)] = other.messages_to_send()
    challenge = decode_plain(payload)
    other.protocol = 2
    said = tuple(challenge._replace(protocol=2))[:-1]
    other._begin(one._nonce, other._nonce, said)
    forged = challenge._replace(protocol=2, mac=other._proof(b"acceptor"))
    with pytest.raises(LinkRefused) as caught:
        one.receive_message(LANE_URGENT, encode_plain(forged))
    assert caught.value.reason is Reason.OTHER_PROTOCOL


def test_what_is_newer_than_the_agreed_version_is_unknown():
    one, other = joined(dialer(protocols=(1, 1)))
    assert not one.knows(Replay)
    newer = Replay(1, "text/_definst_", b"", "setText", b"")
    payload = encode_envelope(newer, LANE_DELTA, 0, 0, one._send_key)
    with pytest.raises(LinkRefused) as caught:
        other.receive_message(LANE_DELTA, payload)
    assert caught.value.reason is Reason.UNKNOWN_KIND


def test_a_goodbye_has_the_peers_reason_or_none():
    refusal = end_said_by(Bye("too_slow", "bytes wait"))
    assert isinstance(refusal, LinkRefused)
    assert refusal.reason is Reason.TOO_SLOW
    assert isinstance(end_said_by(Bye("whatever", "text")), LinkLost)


@pytest.mark.parametrize("reason", Reason)
def test_who_has_proved_nothing_gives_no_reason_but_that_it_will_not_talk(reason):
    """Anybody may say it: it must not end an origin for an id, nor raise an alarm."""
    with pytest.raises(RemoteProtocolError) as caught:
        dialer().receive_message(LANE_URGENT, encode_plain(Bye(reason.value, "text")))
    said_to_strangers = {Reason.BAD_SECRET, Reason.OTHER_PAIR, Reason.OTHER_PROTOCOL}
    assert reason_of(caught.value) == (reason if reason in said_to_strangers else None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        encode_plain(Ack(1)),
        encode_plain(Auth(b"early")),
        encode_plain(Bye("x", "y")),
        encode_plain(Promise(1, 2)),
        encode_plain(Fence(9, "A")),
        bytes(2 * 1024 * 1024),
    ],
)
def test_nothing_else_is_listened_to_before_the_proof(payload):
    with pytest.raises(RemoteProtocolError):
        acceptor().receive_message(LANE_URGENT, payload)
