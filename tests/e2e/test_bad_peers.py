"""Peers that send nonsense to a real origin: each is cut off, and nobody else notices."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator

import pytest

from rtmp_sync import NetConnection
from tests.support.pair import within
from tests.support.raw_peer import CONNECT, RawPeer, connect_message, message, text
from tests.support.single import Single

MEMORY_GROWTH = 48 * 1024 * 1024  # far below what any of the announced lengths would take
NESTED = b"\x0a\x00\x00\x00\x01" * 10_000 + b"\x05"
GARBAGE = random.Random(1).randbytes(8192)
SIXTEEN_MB = 0xFFFFFF

BAD_AFTER_HANDSHAKE = {
    "AMF length of 2^31": message(20, CONNECT + b"\x0c\x80\x00\x00\x00abc"),
    "16 MB announced on sixty chunk streams": b"".join(
        message(20, bytes(128), csid=csid, length=SIXTEEN_MB) for csid in range(3, 63)
    ),
    "4 MB announced and half sent on sixty chunk streams": b"".join(
        message(20, bytes(1 << 18), csid=csid, length=1 << 22) for csid in range(3, 63)
    ),
    "chunk size 0": message(1, struct.pack(">I", 0), csid=2),
    "10,000 nested arrays": message(20, CONNECT + NESTED),
    "reference out of range": message(20, CONNECT + b"\x07\xff\xff"),
    "AMF3 reference out of range": message(20, CONNECT + b"\x11\x09\x7e"),
    "half a message and silence": message(20, CONNECT, length=500),
    "half a message and silence, once connected": connect_message(
        "text/bad", text("x"), text("Type1")
    )
    + message(20, bytes(300), length=500),
    "a shared object message that ends early": connect_message("text/bad", text("x"), text("Type1"))
    + message(
        19, b"\x00\x04text\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x7f\xff\xff\xff"
    ),
}


@pytest.fixture
async def origin() -> AsyncIterator[Single]:
    single = Single(rtmp={"handshake_timeout": 1.0, "message_timeout": 1.0})
    try:
        yield await single.start()
    finally:
        single.clean_up()


async def _logged(origin: Single, peer: str) -> None:
    """A line of the log names the peer and why its connection ended."""

    async def found() -> bool:
        lines = [line for line in origin.logs().splitlines() if peer in line]
        return any("reason" in line for line in lines)

    await within(5, f"the reason why {peer} was cut off in the log", found)


async def test_bad_peers_are_cut_off_and_others_notice_nothing(origin: Single) -> None:
    innocent = NetConnection(reconnect=False)
    await innocent.connect(f"rtmp://{origin.address}/text/room", "innocent", "Type1")
    board = await innocent.shared_object("text", persistent=False)
    await innocent.call("setText", "before")
    before = origin.memory_peak()

    async with RawPeer(origin.address) as peer:
        await peer.send(GARBAGE)
        assert await peer.is_cut_off(), "garbage"
        await _logged(origin, peer.name)
    async with RawPeer(origin.address) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await peer.is_cut_off(), "HTTP"
        await _logged(origin, peer.name)
    async with RawPeer(origin.address) as peer:
        await peer.send(b"\x03" + bytes(700))
        assert await peer.is_cut_off(), "truncated handshake"
        await _logged(origin, peer.name)
    for index, (what, data) in enumerate(BAD_AFTER_HANDSHAKE.items()):
        async with RawPeer(origin.address) as peer:
            await peer.handshake()
            await peer.send(data)
            assert await peer.is_cut_off(), what
            await _logged(origin, peer.name)
        await innocent.call("setText", f"after {what}", timeout=10)
        await board.set("round", float(index))

    growth = origin.memory_peak() - before
    print(f"peak memory grew by {growth / 1024:.0f} KiB")
    assert growth < MEMORY_GROWTH
    assert board["round"] == len(BAD_AFTER_HANDSHAKE) - 1
    await innocent.close()
    assert origin.stop() == 0


async def test_the_largest_chunk_size_is_legal(origin: Single) -> None:
    async with RawPeer(origin.address) as peer:
        await peer.handshake()
        await peer.send(message(1, struct.pack(">I", 0x7FFFFFFF), csid=2))
        await peer.send(connect_message("text/room", text("user"), text("Type1")))
        assert await peer.hears(b"NetConnection.Connect.Success")
