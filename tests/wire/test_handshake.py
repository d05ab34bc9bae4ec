"""The handshake, both roles against each other and against what should be refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import handshake
from rtmp_sync.wire.handshake import ClientHandshake, ServerHandshake


def noise(seed: int = 0) -> Callable[[int], bytes]:
    """Of any size, always the same."""
    return hashlib.shake_256(bytes((seed,))).digest


@pytest.mark.parametrize("scheme", [-1, 0, 1])
@pytest.mark.parametrize("piece", [1, 7, 1536, 5000])
def test_both_roles_agree_on_the_scheme_in_any_pieces(scheme: int, piece: int) -> None:
    client = ClientHandshake(noise(1), 5, scheme)
    server = ServerHandshake(noise(2), 6)
    to_server, to_client = client.hello, b""
    while not (client.done and server.done):
        sent, to_server = to_server[:piece], to_server[piece:]
        to_client += server.receive(sent)
        taken, to_client = to_client[:piece], to_client[piece:]
        if not client.done:
            to_server += client.receive(taken)
    assert client.scheme == server.scheme == scheme


def test_chunk_bytes_behind_the_last_packet_are_the_rest() -> None:
    client = ClientHandshake(noise(1))
    server = ServerHandshake(noise(2))
    answer = client.receive(server.receive(client.hello) + b"from server")
    assert client.rest == b"from server"
    assert server.receive(answer + b"from client") == b""
    assert server.rest == b"from client"


def test_a_simple_client_is_echoed_byte_for_byte() -> None:
    client = ClientHandshake(noise(1), 77)
    reply = ServerHandshake(noise(2)).receive(client.hello)
    assert reply[0] == 3
    assert reply[5:9] == bytes(4)
    assert reply[1537:] == client.hello[1:]


def test_a_digest_answer_is_signed_for_the_clients_digest() -> None:
    client = ClientHandshake(noise(1), 0, 1)
    reply = ServerHandshake(noise(2)).receive(client.hello)
    found = handshake.find_digest(client.hello[1:], handshake.PLAYER_KEY)
    assert found is not None
    digest = client.hello[1:][found[1] : found[1] + 32]
    assert handshake.signature_valid(reply[1537:], handshake.SERVER_KEY_FULL, digest)
    server_digest = handshake.find_digest(reply[1:1537], handshake.SERVER_KEY)
    assert server_digest is not None
    c2 = client.receive(reply)
    s1_digest = reply[1:1537][server_digest[1] : server_digest[1] + 32]
    assert handshake.signature_valid(c2, handshake.PLAYER_KEY_FULL, s1_digest)


def test_a_client_with_digest_accepts_a_server_without() -> None:
    client = ClientHandshake(noise(1), 0, 0)
    s1 = handshake.make_simple_packet(0, noise(3)(1528))
    assert client.receive(b"\x03" + s1 + client.hello[1:]) == s1
    assert client.scheme == -1


def test_garbage_in_the_clients_second_packet_does_no_harm() -> None:
    server = ServerHandshake(noise(2))
    server.receive(ClientHandshake(noise(1)).hello)
    server.receive(bytes(1536))
    assert server.done


@pytest.mark.parametrize(
    ("version", "why"), [(6, "RTMPE"), (8, "RTMPE"), (0, "not supported"), (ord("G"), "not RTMP")]
)
def test_other_versions_are_refused_at_the_first_byte(version: int, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        ServerHandshake(noise()).receive(bytes((version,)))
    with pytest.raises(RemoteProtocolError, match=why):
        ClientHandshake(noise()).receive(bytes((version,)))


@given(st.lists(st.binary(max_size=2000), max_size=4))
def test_any_bytes_are_a_handshake_or_refused(pieces: list[bytes]) -> None:
    server = ServerHandshake(noise())
    try:
        for piece in pieces:
            if not server.done:
                server.receive(piece)
    except RemoteProtocolError:
        assert b"".join(pieces)[0] != 3
