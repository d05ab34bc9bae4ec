"""The proxy must break what it is told to, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.chaos import SLICE_BYTES, ChaosProxy

SENT = bytes(range(256)) * (SLICE_BYTES // 256 * 3 + 1)


class Ends:
    """A client of the proxy, and what the other end has heard of it so far."""

    def __init__(self, proxy: ChaosProxy) -> None:
        self.proxy = proxy
        self.heard = b""
        self.ended = asyncio.Event()
        self.writer: asyncio.StreamWriter

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.heard += data
        writer.close()
        self.ended.set()

    async def hears(self, data: bytes) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < len(data):  # noqa: ASYNC110  # what is heard has no event
                await asyncio.sleep(0.001)
        assert self.heard == data


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    proxy = ChaosProxy()
    ends = Ends(proxy)
    server = await asyncio.start_server(ends.listen, "127.0.0.1", 0)
    await proxy.start(server.sockets[0].getsockname())
    _, ends.writer = await asyncio.open_connection(*proxy.address)
    ends.writer.write(b"hello")
    await ends.hears(b"hello")
    ends.heard = b""
    yield ends
    ends.writer.close()
    await proxy.stop()
    async with asyncio.timeout(10):
        await ends.ended.wait()
    server.close()
    with suppress(ConnectionError):
        await ends.writer.wait_closed()


async def test_what_takes_its_time_arrives_whole_and_in_order() -> None:
    async with connected() as ends:
        ends.proxy.delay_seconds = 0.01
        ends.writer.write(SENT)
        ends.proxy.bytes_per_second = 1_000_000.0
        await asyncio.sleep(0.005)
        ends.writer.write(SENT)
        await ends.hears(SENT + SENT)
        ends.proxy.delay_seconds, ends.proxy.bytes_per_second = 0.0, None
        ends.writer.write(SENT)
        await ends.hears(SENT * 3)


async def test_what_is_under_way_when_its_sender_dies_is_lost() -> None:
    async with connected() as ends:
        ends.proxy.delay_seconds = 30.0
        ends.writer.write(SENT)
        await ends.writer.drain()
        ends.writer.transport.abort()
        async with asyncio.timeout(10):
            await ends.ended.wait()
        assert ends.heard == b""


async def test_a_bit_is_flipped_once_and_bytes_are_repeated_once() -> None:
    async with connected() as ends:
        ends.proxy.flip_next()
        ends.writer.write(b"aaa")
        await ends.hears(b"a`a")
        ends.proxy.repeat_next()
        ends.writer.write(b"bcd")
        await ends.hears(b"a`abcdbcd")
        ends.writer.write(b"e")
        await ends.hears(b"a`abcdbcde")
