"""The admin ping against a real HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rtmp_sync.server.probes import AdminPing, PeerProbes, understand_ping
from tests.support.origins import config_of, running

SUCCESS = b"<result><level>status</level><code>NetConnection.Call.Success</code></result>"


def answer(code: str) -> bytes:
    return f"<result><level>error</level><code>{code}</code></result>".encode()


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, SUCCESS, True),
        (500, SUCCESS, False),
        (200, answer("NetConnection.Connect.Rejected"), None),
        (200, answer("NetConnection.Call.Failed"), False),
        (200, answer("Unsuccessful NetConnection.Call.Success"), False),
        (200, b"success", False),
        (200, b"<result>NetConnection.Call.Success</result>", False),
        (200, b"", False),
        (200, b"<result><code>", False),
        (200, b'<?xml version="1.0" encoding="unheard-of"?><result/>', False),
        (200, b'<?xml version="1.0" encoding="big5"?><result/>', False),
    ],
)
def test_the_code_decides_and_not_a_word_in_the_text(
    status: int, body: bytes, meaning: bool | None
) -> None:
    assert understand_ping(status, body) is meaning


Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/admin/ping", handler)
        servers.append(server := TestServer(app))
        await server.start_server()
        return f"{server.host}:{server.port}"

    yield start
    for server in servers:
        await server.close()


async def test_the_ping_carries_the_credentials(
    serve: Callable[[Handler], Awaitable[str]],
) -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(dict(request.query))
        return web.Response(body=SUCCESS, content_type="text/xml")

    ping = AdminPing(await serve(handler), "admin", "pass word&", 10)
    assert await ping() is True
    assert seen == [{"auser": "admin", "apswd": "pass word&"}]
    await ping.close()


async def test_silence_within_the_deadline_is_a_failed_probe(
    serve: Callable[[Handler], Awaitable[str]],
) -> None:
    import asyncio

    never = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    ping = AdminPing(await serve(handler), "admin", "x", 0.05)
    assert await ping() is False
    never.set()
    await ping.close()


async def test_a_port_that_refuses_is_a_failed_probe(unused_port: int) -> None:
    ping = AdminPing(f"127.0.0.1:{unused_port}", "admin", "x", 10)
    assert await ping() is False
    await ping.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def test_every_way_that_the_configuration_has_is_a_probe(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret-words")
    async with running(tmp_path / "peer") as peer:
        failover = {
            "probe_deadline": 10.0,
            "peer_admin": str(peer.admin.addresses[1]),
            "peer_rtmp": f"127.0.0.1:{peer.rtmp_port}",
        }
        admin = {"user": "admin", "password_file": password}
        probes = PeerProbes(config_of(tmp_path / "me", failover=failover, admin=admin))
        assert probes.admin is not None
        assert probes.rtmp is not None
        assert await probes.admin() is None  # it has no such user
        assert await probes.rtmp() is True
        await probes.close()
    assert await probes.rtmp() is False


async def test_a_single_origin_asks_nobody(tmp_path: Path) -> None:
    probes = PeerProbes(config_of(tmp_path))
    assert (probes.admin, probes.rtmp) == (None, None)
    await probes.close()
