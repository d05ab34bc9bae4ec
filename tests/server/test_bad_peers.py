"""Peers whose bytes are wrong: their connection ends with a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtmp_sync import NetConnection, Origin
from rtmp_sync.wire import amf0
from rtmp_sync.wire.chunk import encode_message
from tests.support.origins import SECONDS, running, until, url
from tests.support.peer import Peer

CONNECT = amf0.encode("connect", 1.0, {"app": "probe"}, "bad", "User")


def command(payload: bytes, *, chunk_size: int = 128) -> bytes:
    return encode_message(20, 0, 0, payload, 3, chunk_size)


def announced(csid: int, length: int) -> bytes:
    """The header of a message of that length, and its first chunk."""
    basic = bytes([csid]) if csid < 64 else bytes([0, csid - 64])
    return basic + bytes(3) + length.to_bytes(3, "big") + b"\x14" + bytes(4) + bytes(128)


def nested(depth: int) -> bytes:
    return b"\x0a\0\0\0\1" * depth + b"\5"


BEFORE_HANDSHAKE = {
    "garbage": os.urandom(4000).replace(b"\3", b"\4"),
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(1600),
    "encrypted RTMP": b"\6" + bytes(1536),
}

AFTER_HANDSHAKE = {
    "a command before connect": command(amf0.encode("createStream", 2.0, None)),
    "garbage chunks": b"\xff" * 3000,
    "a chunk stream that begins with fmt 3": b"\xc5" + bytes(200),
    "chunk size 0": encode_message(1, 0, 0, bytes(4), 2, 128),
    "chunk size with the high bit": encode_message(1, 0, 0, b"\x80\0\0\0", 2, 128),
}

AFTER_CONNECT = {
    "an AMF length of 2^31": command(
        amf0.encode("echo", 2.0, None) + b"\x0c" + struct.pack(">I", 2**31)
    ),
    "an array of 2^31 values": command(
        amf0.encode("echo", 2.0, None) + b"\x0a" + struct.pack(">I", 2**31)
    ),
    "10,000 nested arrays": command(amf0.encode("echo", 2.0, None) + nested(10_000)),
    "a reference out of range": command(amf0.encode("echo", 2.0, None) + b"\x07\0\x09"),
    "16 MB announced on sixty chunk streams": b"".join(
        announced(csid, 0xFFFFFF) for csid in range(3, 63)
    ),
    "more unfinished messages than there may be": b"".join(
        announced(csid, 1_000_000) for csid in range(3, 103)
    ),
    "chunk size 0": encode_message(1, 0, 0, bytes(4), 2, 128),
    "a second connect": command(CONNECT),
    "a nameless command": command(b"\0" * 9),
    "a shared object cut short": encode_message(19, 0, 0, b"\0\3abc", 4, 128),
    "a shared object value of 10,000 arrays": encode_message(
        19,
        0,
        0,
        b"\0\1s" + bytes(12) + b"\3" + struct.pack(">I", 50_004) + b"\0\1k" + nested(10_000),
        4,
        128,
    ),
}


class Witness:
    """A client that must notice nothing."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connection = NetConnection(reconnect=False)

    async def __aenter__(self) -> Witness:
        await self.connection.connect(url(self.origin, "probe"), "witness", "User")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert await self.connection.call("echo", "well") == "well"
        assert len(self.origin.sessions) == 1
        await self.connection.close()


async def end_of(origin: Origin, data: bytes) -> str:
    """Send bytes right after the TCP connection is made; the reason in the log."""
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
        writer.write(data)
        async with asyncio.timeout(SECONDS):
            try:
                while await reader.read(65536):
                    pass
            except ConnectionError:
                pass
        writer.close()
        await until(lambda: any(line["event"] == "connection_ended" for line in lines))
    (ended,) = [line for line in lines if line["event"] == "connection_ended"]
    reason: str = ended["reason"]
    return reason


@pytest.mark.parametrize("name", BEFORE_HANDSHAKE)
async def test_what_is_no_handshake(origin: Origin, name: str) -> None:
    async with Witness(origin):
        assert "version" in await end_of(origin, BEFORE_HANDSHAKE[name])


async def ended_after(origin: Origin, data: bytes, *, connect: bool) -> str:
    with capture_logs() as lines:
        peer = Peer()
        if connect:
            assert (await peer.connect(origin.rtmp_port, "probe", "bad", "User")).ok
            # the bytes above are cut at 128, whatever was agreed on
            data = encode_message(1, 0, 0, struct.pack(">I", 128), 2, 128) + data
        else:
            await peer.open(origin.rtmp_port)
            data = encode_message(1, 0, 0, struct.pack(">I", 128), 2, 128) + data
        peer.send(data)
        await peer.ended()
        await until(lambda: any(line["event"] == "connection_ended" for line in lines))
    (ended,) = [line for line in lines if line["event"] == "connection_ended"]
    reason: str = ended["reason"]
    return reason


@pytest.mark.parametrize("name", AFTER_HANDSHAKE)
async def test_what_comes_instead_of_connect(origin: Origin, name: str) -> None:
    async with Witness(origin):
        reason = await ended_after(origin, AFTER_HANDSHAKE[name], connect=False)
        assert reason != "closed by the peer"


@pytest.mark.parametrize("name", AFTER_CONNECT)
async def test_what_a_client_that_was_let_in_sends(origin: Origin, name: str) -> None:
    async with Witness(origin):
        reason = await ended_after(origin, AFTER_CONNECT[name], connect=True)
        assert reason != "closed by the peer"


async def test_the_greatest_chunk_size_is_legal(origin: Origin) -> None:
    async with Witness(origin):
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe", "good", "User")
        peer.send(encode_message(1, 0, 0, b"\x7f\xff\xff\xff", 2, 4096))
        long = "x" * 100_000
        call = amf0.encode("echo", 2.0, None, long)
        peer.send(encode_message(20, 0, 0, call, 3, 0xFFFFFF))
        peer.watch_messages()
        await peer.until(lambda: peer.messages)
        assert amf0.decode(peer.messages[0].payload)[-1] == long
        peer.close()
        await until(lambda: len(origin.sessions) == 1)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", "handshake"),
        (b"\3" + bytes(700), "handshake"),
    ],
)
async def test_a_truncated_handshake_times_out(tmp_path: Path, sent: bytes, expected: str) -> None:
    async with running(tmp_path, rtmp={"handshake_timeout": 0.05}) as origin:
        assert expected in await end_of(origin, sent)


async def test_half_a_message_and_silence_times_out(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp={"message_timeout": 0.05}) as origin, Witness(origin):
        reason = await ended_after(origin, announced(5, 1000), connect=True)
        assert "message" in reason


async def test_a_peer_that_answers_no_ping_is_gone(tmp_path: Path) -> None:
    rtmp = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with running(tmp_path, rtmp=rtmp) as origin:
        peer = Peer()
        with capture_logs() as lines:
            await peer.connect(origin.rtmp_port, "probe", "dumb", "User")
            peer.flush = lambda: None  # type: ignore[method-assign]  # it answers nothing now
            await peer.ended()
            await until(lambda: len(origin.sessions) == 0)
        (ended,) = [line for line in lines if line["event"] == "connection_ended"]
        assert "ping" in ended["reason"]
        peer.close()
