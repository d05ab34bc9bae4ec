"""Who may play over HTTP, what a refused request is told, and whom the application sees."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtmp_sync import Client, Origin
from rtmp_sync.errors import CallError
from rtmp_sync.server import http_connection
from rtmp_sync.server.rate_limit import Allowance, RateLimit
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import VIDEO
from rtmp_sync.wire.proxy_protocol import encode
from tests.server.conftest import probe
from tests.support.certificates import Authority
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until
from tests.support.publisher import Publisher, key

HTTP: dict[str, Any] = {"listen": "127.0.0.1:0", "publisher_wait": 0}
KINDS = pytest.mark.parametrize("kind", ["http", "ws"])
PAGE = "https://page.example"


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with running(tmp_path / "state", http=HTTP) as origin:
        probe(origin).said.clear()
        yield origin


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url(origin: Origin, path: str = "probe/live/s.flv", kind: str = "http") -> str:
    return f"{kind}://127.0.0.1:{origin.http_port}/{path}"


def viewers(origin: Origin) -> list[Client]:
    instance = origin.instances.running("probe/live")
    assert instance is not None
    return [one for one in instance.clients.values() if one.transport != "rtmp"]


@contextlib.asynccontextmanager
async def on_air(origin: Origin) -> AsyncIterator[Publisher]:
    """A stream with sound and pictures, of which nothing but a key frame has come."""
    async with Publisher(origin, "s") as publisher:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        yield publisher


@KINDS
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("probe/live/refused.flv", 403),  # by on_play
        ("probe/live/crash.flv", 403),  # on_play fails
        ("probe/live/nobody.flv", 404),
        ("probe/broken/s.flv", 503),  # on_app_start fails
        ("nothing/live/s.flv", 404),
        ("probe/live/s.mp4", 404),
        ("s.flv", 404),
        ("probe//s.flv", 404),
        ("probe/live/%ff.flv", 404),
        ("probe/live/refused%3Fx.flv", 404),  # on_play would be asked for "refused"
        ("", 404),
    ],
)
async def test_a_refusal_has_a_status_of_its_own(
    origin: Origin, kind: str, path: str, status: int
) -> None:
    async with HttpPlayer(url(origin, path, kind)) as player:
        await player.over()
        assert player.status == status
    await until(lambda: len(origin.http or ()) == 0)


@KINDS
async def test_a_request_that_comes_to_nothing_changes_nothing_of_the_pair(
    origin: Origin, session: aiohttp.ClientSession, kind: str
) -> None:
    async with on_air(origin):  # the instance is there
        before = origin.state.journal.head
        for path in ("probe/live/nobody.flv", "probe/live/refused.flv", "probe/live/crash.flv"):
            async with HttpPlayer(url(origin, path, kind)) as player:
                await player.over()
                assert player.status in (403, 404)
        async with session.head(url(origin)) as response:
            assert response.status == 200
        await until(lambda: not origin.http)
        assert origin.state.journal.head == before
        said = probe(origin).said
        assert said.count(("connect", "")) == 1 + 4  # the publisher is one
        assert said.count(("disconnect", "", "closed")) == 4
        async with HttpPlayer(url(origin, kind=kind)) as player:
            await player.until(lambda: len(player.media()) == 3)
            (client,) = viewers(origin)
            assert client.id in origin.state.instances["probe/live"].clients
        await until(lambda: not origin.http)
        assert client.id not in origin.state.instances["probe/live"].clients
        assert origin.state.journal.head == before + 2


@KINDS
async def test_an_address_that_asks_too_often_is_told_so(tmp_path: Path, kind: str) -> None:
    http = {**HTTP, "max_request_rate": 2}
    async with running(tmp_path, http=http) as origin:
        assert origin.http is not None
        origin.http._requests = RateLimit(Allowance(1e-6, 2.5))  # of a slow machine, too
        statuses = []
        for path in ("probe/live/nobody.flv", "nothing", "probe/live/nobody.flv"):
            async with HttpPlayer(url(origin, path, kind)) as player:
                await player.over()
                statuses.append(player.status)
        assert statuses == [404, 404, 429]


async def test_other_methods_count_as_requests_too(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running(tmp_path, http={**HTTP, "max_request_rate": 1}) as origin:
        assert origin.http is not None
        origin.http._requests = RateLimit(Allowance(1e-6, 1.5))
        statuses = []
        for _ in range(2):
            async with session.post(url(origin, "probe/live/s.flv")) as response:
                statuses.append(response.status)
        assert statuses == [405, 429]


async def test_a_refusal_says_why_to_any_page(
    origin: Origin, session: aiohttp.ClientSession
) -> None:
    async with session.get(url(origin, "probe/live/refused.flv")) as response:
        assert await response.text() == "not this one\n"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cache-Control"] == "no-store"
    assert ("disconnect", "", "closed") in probe(origin).said


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_is_uploaded(
    origin: Origin, session: aiohttp.ClientSession, method: str
) -> None:
    async with session.request(method, url(origin), data=b"x" * 100) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_head_tells_what_get_would(origin: Origin, session: aiohttp.ClientSession) -> None:
    async with session.head(url(origin)) as response:
        assert response.status == 404
    async with on_air(origin), session.head(url(origin)) as response:
        assert response.status == 200
        assert response.content_type == "video/x-flv"
        assert await response.read() == b""
    async with session.head(url(origin, "probe/live/refused.flv")) as response:
        assert response.status == 403


async def test_a_browser_may_ask_beforehand(origin: Origin, session: aiohttp.ClientSession) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Headers": "range"}
    async with session.options(url(origin), headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "range"
        assert "GET" in response.headers["Access-Control-Allow-Methods"]


@KINDS
async def test_pages_that_are_not_listed_may_not_play(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, http={**HTTP, "origins": [PAGE]}) as origin, on_air(origin):
        for page, status in ((PAGE, 200), ("https://other.example", 403), ("null", 403)):
            asked = {"headers": {"Origin": page}}
            async with HttpPlayer(url(origin, kind=kind), **asked) as player:
                await player.until(lambda player=player: player.status)  # type: ignore[misc]
                assert (player.status in (200, 101)) == (status == 200)
                if kind == "http":
                    told = player.headers.get("Access-Control-Allow-Origin")
                    assert told == (PAGE if status == 200 else None)
        async with HttpPlayer(url(origin, kind=kind)) as player:  # no browser
            await player.until(lambda: len(player.media()) == 3)


async def test_the_application_sees_who_it_is(origin: Origin) -> None:
    headers = {"User-Agent": "mpegts.js", "Referer": f"{PAGE}/watch", "X-Forwarded-For": "1.2.3.4"}
    async with (
        on_air(origin),
        HttpPlayer(url(origin, "probe/live/s.flv?key=k"), headers=headers) as player,
    ):
        await player.until(lambda: len(player.media()) == 3)
        (client,) = viewers(origin)
        assert (client.agent, client.page_url) == ("mpegts.js", f"{PAGE}/watch")
        assert (client.user_name, client.user_type, client.transport) == ("", "", "http")
        assert client.params["app"] == "probe/live?key=k"
        assert client.address.startswith("127.0.0.1:")  # nobody trusts what it says of itself
        with pytest.raises(CallError):
            await client.call("hello")
        client.notify("hello")
        client.disconnect("enough")
        await player.over()
        assert player.ended


@pytest.mark.parametrize(
    ("header", "agent"),
    [
        (b"Host: x:99999", ""),
        (b"Host: \xff", ""),
        (b"Host: x\r\nUser-Agent: a\xff", "a\ufffd"),
        (b"Host: x\r\nReferer: \xed\xa0\x80", ""),
    ],
)
async def test_no_header_is_a_mistake_of_ours(origin: Origin, header: bytes, agent: str) -> None:
    assert origin.http_port is not None
    async with on_air(origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
        writer.write(b"GET /probe/live/s.flv HTTP/1.1\r\n" + header + b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        (client,) = viewers(origin)
        assert client.agent == agent
        amf0.encode(dict(client.params))  # whatever it is, an application can pass it on
        writer.close()


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("10.9.9.9, 192.0.2.7", "192.0.2.7"),  # what comes before it anybody may have written
        ("192.0.2.7, 127.0.0.1", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7, ::ffff:127.0.0.1", "192.0.2.7"),
        ("nonsense", "127.0.0.1:"),
    ],
)
async def test_a_reverse_proxy_that_is_listed_tells_the_address(
    tmp_path: Path, told: str, address: str
) -> None:
    http = {**HTTP, "forwarded_for_from": ["127.0.0.1"]}
    headers = {"X-Forwarded-For": told}
    async with (
        running(tmp_path, http=http) as origin,
        on_air(origin),
        HttpPlayer(url(origin), headers=headers) as player,
    ):
        await player.until(lambda: len(player.media()) == 3)
        (client,) = viewers(origin)
        assert client.address.startswith(address)


async def test_a_load_balancer_tells_the_address_in_a_proxy_header(tmp_path: Path) -> None:
    rtmp = {"proxy_protocol_from": ["127.0.0.1"]}
    header = encode(("192.0.2.7", 56324), ("10.0.0.1", 8080))
    async with running(tmp_path, rtmp=rtmp, http=HTTP) as origin:
        probe(origin).release = asyncio.Event()
        assert origin.http_port is not None
        for pieces in (7, 4096):
            reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
            sent = header + b"GET /probe/live/slow.flv HTTP/1.1\r\nHost: here\r\n\r\n"
            for start in range(0, len(sent), pieces):
                writer.write(sent[start : start + pieces])
                await asyncio.sleep(0)
            await until(lambda: origin.http)
            assert [one.address for one in viewers(origin)] == ["192.0.2.7:56324"]
            writer.close()
            await until(lambda: not origin.http)
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
        writer.write(b"GET /probe/live/s.flv HTTP/1.1\r\nHost: here\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /probe/live/s.flv HTTP/1.1\r\nHost: he"])
async def test_a_connection_without_a_whole_request_is_closed(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(http_connection, "IDLE_SECONDS", 0.2)
    assert origin.http_port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
    writer.write(said)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_what_is_no_http_is_answered_and_closed(origin: Origin) -> None:
    assert origin.http_port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.http_port)
    writer.write(b"\x03" + bytes(1536))
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()


async def test_one_connection_too_many_is_closed(tmp_path: Path) -> None:
    async with (
        running(tmp_path, http={**HTTP, "max_connections": 1}) as origin,
        on_air(origin),
        HttpPlayer(url(origin)) as player,
    ):
        await player.until(lambda: len(player.media()) == 3)
        async with HttpPlayer(url(origin)) as second:
            await second.over()
            assert second.lost


@KINDS
async def test_one_address_plays_as_many_streams_as_it_may(tmp_path: Path, kind: str) -> None:
    async with (
        running(tmp_path, http={**HTTP, "max_players_per_address": 1}) as origin,
        on_air(origin),
    ):
        async with HttpPlayer(url(origin, kind=kind)) as player:
            await player.until(lambda: len(player.media()) == 3)
            async with HttpPlayer(url(origin, kind=kind)) as second:
                await second.over()
                assert second.status == 429
        await until(lambda: not origin.http)
        async with HttpPlayer(url(origin, kind=kind)) as third:
            await third.until(lambda: len(third.media()) == 3)


async def test_an_ipv6_network_plays_as_many_streams_as_an_address(tmp_path: Path) -> None:
    http = {**HTTP, "max_players_per_address": 1, "forwarded_for_from": ["127.0.0.1"]}

    def of(origin: Origin, address: str) -> HttpPlayer:
        return HttpPlayer(url(origin), headers={"X-Forwarded-For": address})

    async with (
        running(tmp_path, http=http) as origin,
        on_air(origin),
        of(origin, "2001:db8::1") as player,
    ):
        await player.until(lambda: len(player.media()) == 3)
        async with of(origin, "2001:db8::2") as second:
            await second.over()
            assert second.status == 429
        async with of(origin, "2001:db8:0:1::1") as third:
            await third.until(lambda: len(third.media()) == 3)


async def test_nobody_is_let_in_while_the_service_is_about_to_move(
    origin: Origin, session: aiohttp.ClientSession
) -> None:
    async with on_air(origin):
        for stand_still in (origin.drain, origin.hold_writes):
            stand_still(True)
            async with session.get(url(origin)) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "1")
            stand_still(False)
            async with session.get(url(origin)) as response:
                assert response.status == 200


@KINDS
async def test_it_is_encrypted_where_a_certificate_is_given(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    certificate, key_file = authority.sign("origin", use="serverAuth", address="127.0.0.1")
    http = {**HTTP, "tls_certificate": certificate, "tls_key": key_file}
    trusts = ssl.create_default_context(cafile=authority.certificate)
    async with (
        running(tmp_path / "state", http=http) as origin,
        on_air(origin),
        HttpPlayer(url(origin, kind=f"{kind}s"), ssl=trusts) as player,
    ):
        await player.until(lambda: len(player.media()) == 3)
