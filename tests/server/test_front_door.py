"""The embedded load balancer against two small backends whose health can be switched."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.config_values import Address
from rtmp_sync.server.front_door import FrontDoor
from rtmp_sync.server.loop import run
from rtmp_sync.server.ports import can_bind
from rtmp_sync.server.server_check import CheckTimes
from rtmp_sync.wire.proxy_protocol import encode
from tests.support.nodes import until

TIMES = CheckTimes(inter=0.02, fastinter=0.01, downinter=0.01, timeout=5.0)


class Backend:
    """An echo server that greets with its name, and its health listener."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = False
        self.checks = 0
        self.ends = 0
        self.clients: list[str] = []  # hosts that RTMP connections came from
        self.address = self.health = Address("127.0.0.1", 0)
        self._rtmp: asyncio.Server | None = None
        self._health: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._rtmp = await asyncio.start_server(self._serve, *self.address)
        self._health = await asyncio.start_server(self._answer_check, *self.health)
        self.address = Address(*self._rtmp.sockets[0].getsockname()[:2])
        self.health = Address(*self._health.sockets[0].getsockname()[:2])

    async def stop_listening(self) -> None:
        assert self._rtmp is not None
        self._rtmp.close()

    async def stop(self) -> None:
        for server in (self._rtmp, self._health):
            if server is not None:
                server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the aborted transports close in the loop's next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.clients.append(writer.get_extra_info("peername")[0])
        try:
            writer.write(self.name.encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            self.ends += 1
            writer.write(b"bye")
            writer.close()
        except ConnectionError:
            writer.transport.abort()

    async def _answer_check(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        self.checks += 1
        try:
            request = await reader.readline()
            if request.startswith(b"GET /health/active "):  # or nothing, at the end of a test
                writer.write(b"HTTP/1.1 %d x\r\n\r\n" % (200 if self.healthy else 503))
        finally:
            writer.close()


@pytest.fixture
async def backends() -> AsyncIterator[tuple[Backend, Backend]]:
    pair = (Backend("A"), Backend("B"))
    for backend in pair:
        await backend.start()
    yield pair
    for backend in pair:
        await backend.stop()


@pytest.fixture
async def door(backends: tuple[Backend, Backend]) -> AsyncIterator[FrontDoor]:
    servers = [(backend.name, backend.address, backend.health) for backend in backends]
    door = FrontDoor(Address("127.0.0.1", 0), servers, times=TIMES)
    await door.start()
    yield door
    await door.stop()


def names_up(door: FrontDoor) -> list[str]:
    return [server.name for server in door.up()]


async def test_connections_go_to_the_server_whose_health_is_good(
    door: FrontDoor, backends: tuple[Backend, Backend]
) -> None:
    backends[1].healthy = True
    await until(lambda: names_up(door) == ["B"])
    reader, writer = await asyncio.open_connection(*door.address)
    writer.write(b"hello")
    assert await reader.readexactly(6) == b"Bhello"
    writer.close()


@pytest.mark.skipif(not can_bind("127.0.0.2"), reason="this system has no 127.0.0.2")
async def test_a_server_is_told_who_the_client_is(backends: tuple[Backend, Backend]) -> None:
    first, _ = backends
    first.healthy = True
    servers = [("A", first.address, first.health)]
    door = FrontDoor(Address("127.0.0.1", 0), servers, times=TIMES, source="127.0.0.2")
    await door.start()
    await until(lambda: bool(door.up()))
    reader, writer = await asyncio.open_connection(*door.address)
    writer.write(b"hello")
    header = encode(writer.get_extra_info("sockname"), door.address)
    assert await reader.readexactly(1 + len(header) + 5) == b"A" + header + b"hello"
    assert first.clients == ["127.0.0.2"]
    writer.close()
    await door.stop()


async def test_a_connection_is_closed_at_once_when_no_server_is_up(door: FrontDoor) -> None:
    with contextlib.suppress(ConnectionResetError):
        reader, writer = await asyncio.open_connection(*door.address)
        assert await reader.read() == b""
        writer.close()


async def test_sessions_of_a_server_marked_down_are_cut_and_new_ones_go_to_the_other(
    door: FrontDoor, backends: tuple[Backend, Backend]
) -> None:
    first, second = backends
    first.healthy = True
    await until(lambda: names_up(door) == ["A"])
    reader, writer = await asyncio.open_connection(*door.address)
    assert await reader.readexactly(1) == b"A"
    first.healthy, second.healthy = False, True
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    await until(lambda: names_up(door) == ["B"])
    reader, writer = await asyncio.open_connection(*door.address)
    assert await reader.readexactly(1) == b"B"
    writer.close()


async def test_one_failed_check_of_a_server_that_is_up_changes_nothing(
    backends: tuple[Backend, Backend],
) -> None:
    first, _ = backends
    first.healthy = True
    # A long `inter`: after the first good check the next is far away, except for `fastinter`.
    door = FrontDoor(
        Address("127.0.0.1", 0), [("A", first.address, first.health)], times=CheckTimes(inter=30)
    )
    server = door.servers[0]
    server._note(True)
    server._note(False)
    assert server.up
    assert server._interval() == pytest.approx(0.1)
    server._note(True)
    server._note(False)
    assert server.up
    server._note(False)
    assert not server.up


async def test_a_refused_connection_marks_the_server_down_and_tries_the_other(
    door: FrontDoor, backends: tuple[Backend, Backend]
) -> None:
    first, second = backends
    first.healthy = second.healthy = True
    await until(lambda: names_up(door) == ["A", "B"])
    await first.stop_listening()
    first.healthy = False
    reader, writer = await asyncio.open_connection(*door.address)
    assert await reader.readexactly(1) == b"B"
    assert names_up(door) == ["B"]
    writer.close()


async def test_the_end_of_one_direction_is_passed_on_and_the_other_stays_open(
    door: FrontDoor, backends: tuple[Backend, Backend]
) -> None:
    backends[0].healthy = True
    await until(lambda: names_up(door) == ["A"])
    reader, writer = await asyncio.open_connection(*door.address)
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read() == b"Alast wordsbye"
    assert backends[0].ends == 1
    writer.close()
    await until(lambda: not door.sessions)


async def test_megabytes_arrive_whole_at_a_client_that_reads_slowly(
    door: FrontDoor, backends: tuple[Backend, Backend]
) -> None:
    backends[0].healthy = True
    await until(lambda: names_up(door) == ["A"])
    reader, writer = await asyncio.open_connection(*door.address, limit=4096)
    block = bytes(range(256)) * 1024
    count = 32

    async def send() -> None:
        for _ in range(count):
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    received = await reader.read()
    await sending
    assert received == b"A" + block * count + b"bye"
    writer.close()


async def test_a_server_that_is_up_is_asked_at_the_slow_interval(
    backends: tuple[Backend, Backend],
) -> None:
    first, second = backends
    first.healthy = True
    times = CheckTimes(inter=3600, fastinter=0.01, downinter=0.01)
    servers = [(backend.name, backend.address, backend.health) for backend in backends]
    door = FrontDoor(Address("127.0.0.1", 0), servers, times=times)
    await door.start()
    await until(lambda: second.checks >= 10)
    assert first.checks == 1
    await door.stop()


def test_what_a_client_sends_at_once_arrives_whichever_loop_runs() -> None:
    """uvloop begins to read after `connection_made`, although that paused the reading."""

    async def talk() -> bytes:
        backend = Backend("A")
        backend.healthy = True
        await backend.start()
        servers = [("A", backend.address, backend.health)]
        door = FrontDoor(Address("127.0.0.1", 0), servers, times=TIMES)
        await door.start()
        await until(lambda: bool(door.up()))
        with socket.create_connection(door.address) as client:  # all said before it is accepted
            client.sendall(b"at once")
            client.shutdown(socket.SHUT_WR)
            reader, writer = await asyncio.open_connection(sock=client)
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
        await door.stop()
        await backend.stop()
        return received

    assert run(talk()) == b"Aat oncebye"
