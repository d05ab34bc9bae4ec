"""What slow, huge and too many requests cost the two ports of an origin."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from collections.abc import AsyncIterator

import pytest
from aiohttp.web import RequestHandler

from rtmp_sync.admin import body, listener
from rtmp_sync.admin.server import AdminServer
from rtmp_sync.config_values import Address
from tests.admin.conftest import ShownOrigin
from tests.support.origins import until

LIVE = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
ON = pytest.mark.parametrize("on", [0, 1], ids=["admin", "health"])


@pytest.fixture
async def server(origin: ShownOrigin) -> AsyncIterator[AdminServer]:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    yield server
    await server.stop()


async def answer(address: Address, said: bytes) -> bytes:
    """The first line that comes; b"": the connection was closed without a word."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(said)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                return await reader.readline()
            return b""
    finally:
        writer.close()


@ON
async def test_a_head_that_is_too_long_is_refused(server: AdminServer, on: int) -> None:
    address = server.addresses[on]
    head = LIVE.removesuffix(b"\r\n")
    for said in (
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        head + b"X: " + b"y" * 9000 + b"\r\n\r\n",
        head + b"".join(b"X-%d: y\r\n" % number for number in range(300)) + b"\r\n",
    ):
        assert b" 400 " in await answer(address, said)
    assert b" 200 " in await answer(address, LIVE)


@ON
async def test_a_head_that_comes_drop_by_drop_has_the_time_of_one_that_does_not_come(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch, on: int
) -> None:
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.2)
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    reader, writer = await asyncio.open_connection(*server.addresses[on])
    ended = asyncio.ensure_future(reader.read())
    writer.write(b"GET /health/live HTTP/1.1\r\nX: ")
    async with asyncio.timeout(20):
        while not ended.done():  # it never ends by itself
            writer.write(b"y")
            await asyncio.wait([ended], timeout=0.02)
    writer.close()
    await server.stop()


async def test_a_body_that_does_not_come_or_is_too_long_is_refused(
    server: AdminServer, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.1)
    password = f"Authorization: {admin['Authorization']}\r\n".encode()
    for path in (b"/pause", b"/reload", b"/allow/explain", b"/api/v1/broadcast"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: here\r\n" + password
        slow = head + b"Content-Length: 100\r\n\r\n{"
        assert b" 408 " in await answer(server.addresses[0], slow), path
        huge = head + b"Content-Length: 20000\r\n\r\n" + b" " * 20000
        assert b" 413 " in await answer(server.addresses[0], huge), path


@ON
async def test_one_address_has_so_many_connections_and_all_together_some_more(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch, on: int
) -> None:
    address = server.addresses[on]
    for name in ("MAX_OF_ADDRESS", "MAX_CONNECTIONS"):
        with monkeypatch.context() as patched:
            patched.setattr(listener, name, 2)
            held = [await asyncio.open_connection(*address) for _ in range(2)]
            for reader, writer in held:  # both are known to the server
                writer.write(LIVE)
                assert b" 200 " in await reader.readline()
            before = server.refused["connection"]
            assert await answer(address, LIVE) == b""
            assert server.refused["connection"] == before + 1
            held.pop()[1].close()
            await until(lambda: len(server._listeners[on]._connections) == 1)
            assert b" 200 " in await answer(address, LIVE)
            held.pop()[1].close()
            await until(lambda: not server._listeners[on]._connections)


async def test_who_reads_no_answer_is_let_go(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "UNREAD_SECONDS", 0.3)
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    connections = server._listeners[0]._connections
    for close in (lambda one: None, RequestHandler.force_close):
        with socket.create_connection(server.addresses[0]):
            await until(lambda: connections)
            (connection,) = connections
            assert connection.transport is not None
            connection.transport.write(bytes(20_000_000))  # more than the system keeps
            close(connection)
            await until(lambda: not connections)
    await server.stop()


async def test_who_reads_no_answer_keeps_no_connection_of_a_server_that_stops(
    origin: ShownOrigin,
) -> None:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    connections = server._listeners[0]._connections
    with socket.create_connection(server.addresses[0]):
        await until(lambda: connections)
        (connection,) = connections
        assert connection.transport is not None
        connection.transport.write(bytes(20_000_000))  # more than the system keeps
        await server.stop()
        await until(lambda: not connections)


@pytest.mark.parametrize("before", range(4))
async def test_who_is_accepted_in_the_very_turn_of_the_stop_leaves_nothing(
    origin: ShownOrigin, before: int
) -> None:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    connections = server._listeners[0]._connections
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with socket.create_connection(server.addresses[0]):
            for _ in range(before):
                await asyncio.sleep(0)
            await server.stop()
            for _ in range(4):
                await asyncio.sleep(0)
            assert not connections
        gc.collect()
        assert caught == []
