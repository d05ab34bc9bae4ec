"""Clients behind a load balancer that tells their addresses, and those who only pretend."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtmp_sync import Origin
from rtmp_sync.protocol.events import ConnectAnswered, HandshakeCompleted
from rtmp_sync.wire.proxy_protocol import LOCAL_HEADER, encode
from tests.support.origins import running, until
from tests.support.peer import Peer

LISTED = {"proxy_protocol_from": ["127.0.0.1"]}
ELSEWHERE = {"proxy_protocol_from": ["10.0.0.0/8", "2001:db8::/32"]}
HEADER = encode(("192.0.2.7", 56324), ("10.0.0.1", 1935))
CLIENT = "192.0.2.7:56324"


class ProxiedPeer(Peer):
    """`first` goes before everything else, in `pieces` bytes at once."""

    def __init__(self, first: bytes, pieces: int = 4096) -> None:
        super().__init__()
        self._first = first
        self._pieces = pieces

    async def open(self, port: int) -> Peer:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.create_task(self._read())
        data = self._first + self.rtmp.data_to_send()
        for start in range(0, len(data), self._pieces):
            self.writer.write(data[start : start + self._pieces])
            await asyncio.sleep(0)
        await self.event(HandshakeCompleted)
        return self


async def cut(reader: asyncio.StreamReader) -> None:
    """Return when the connection has ended, one way or the other, without a word."""
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""


def addresses(origin: Origin) -> list[str]:
    return [session.client.address for session in origin.sessions._all if session.joined]


@pytest.mark.parametrize("pieces", [1, 50, 4096])
async def test_a_client_has_the_address_that_the_load_balancer_tells(
    tmp_path: Path, pieces: int
) -> None:
    async with running(tmp_path, rtmp=LISTED) as origin:
        peer = ProxiedPeer(HEADER, pieces)
        with capture_logs() as lines:
            answer = await peer.connect(origin.rtmp_port, "probe", "me", "User")
        assert isinstance(answer, ConnectAnswered)
        assert answer.ok
        assert addresses(origin) == [CLIENT]
        connected = next(line for line in lines if line["event"] == "connected")
        assert connected["peer"] == CLIENT
        assert connected["proxy"].startswith("127.0.0.1:")
        peer.close()


@pytest.mark.parametrize("first", [LOCAL_HEADER, b"PROXY UNKNOWN\r\n"])
async def test_a_header_without_a_client_leaves_the_connection_its_own_address(
    tmp_path: Path, first: bytes
) -> None:
    async with running(tmp_path, rtmp=LISTED) as origin:
        peer = ProxiedPeer(first)
        await peer.connect(origin.rtmp_port, "probe", "me", "User")
        assert addresses(origin)[0].startswith("127.0.0.1:")
        peer.close()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.0\r\n\r\n", b"PROXY TCP4 x y 1 2\r\n"])
async def test_a_listed_peer_without_a_right_header_is_refused_with_the_reason_in_the_log(
    tmp_path: Path, first: bytes
) -> None:
    async with running(tmp_path, rtmp=LISTED) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            writer.write(first + b"\3" + bytes(1536))
            await cut(reader)
            await until(lambda: not len(origin.sessions))
            writer.close()
        ended = next(line for line in lines if line["event"] == "connection_ended")
        assert "PROXY" in ended["reason"]
        assert "rtmp.proxy_protocol_from" in ended["reason"]
        assert ended["peer"].startswith("127.0.0.1:")
        assert ended["log_level"] == "info"


async def test_an_unlisted_peer_cannot_claim_an_address(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp=ELSEWHERE) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            writer.write(HEADER + b"\3" + bytes(1536))
            await cut(reader)
            await until(lambda: not len(origin.sessions))
            writer.close()
        ended = next(line for line in lines if line["event"] == "connection_ended")
        assert "PROXY" not in ended["reason"]  # it is just no RTMP
        assert ended["peer"].startswith("127.0.0.1:")


async def test_an_unlisted_peer_needs_no_header(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp=ELSEWHERE) as origin:
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe", "me", "User")
        assert addresses(origin)[0].startswith("127.0.0.1:")
        peer.close()


async def test_a_load_balancers_own_check_with_a_header_is_nothing_to_tell(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp=LISTED) as origin:
        with capture_logs() as lines:
            _, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            writer.write(LOCAL_HEADER)
            writer.write_eof()
            await until(lambda: origin.sessions.tally.connects == 1 and not len(origin.sessions))
            writer.close()
        assert origin.load_balancer.age(0.0) is not None
        assert {line["log_level"] for line in lines} == {"debug"}


async def test_who_waits_with_the_header_is_cut_off_in_the_handshakes_time(tmp_path: Path) -> None:
    quick = {**LISTED, "handshake_timeout": 0.05}
    async with running(tmp_path, rtmp=quick) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            writer.write(HEADER[:10])
            await cut(reader)
            await until(lambda: not len(origin.sessions))
            writer.close()
        ended = next(line for line in lines if line["event"] == "connection_ended")
        assert "handshake" in ended["reason"]
