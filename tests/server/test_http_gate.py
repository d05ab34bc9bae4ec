"""The port for browsers is open on the active origin only, and goes with its gate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rtmp_sync import ConfigError, Origin
from rtmp_sync.wire.constants import VIDEO
from tests.server.conftest import probe
from tests.support.http_player import HttpPlayer
from tests.support.origins import config_of, running, take_over, until
from tests.support.publisher import Publisher, inter, key

HTTP = {"listen": "127.0.0.1:0"}
KINDS = pytest.mark.parametrize("kind", ["http", "ws"])


def url(origin: Origin, kind: str = "http", stream: str = "s") -> str:
    return f"{kind}://127.0.0.1:{origin.http_port}/probe/live/{stream}.flv"


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@KINDS
async def test_a_closing_gate_cuts_every_player_and_refuses_new_ones(
    tmp_path: Path, kind: str
) -> None:
    async with running(tmp_path, http=HTTP) as origin, Publisher(origin, "s") as publisher:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        async with HttpPlayer(url(origin, kind)) as player:
            await player.until(lambda: len(player.media()) == 3)
            port = origin.http_port or 0
            assert connects(port)
            assert await origin.close_gate()
            assert not connects(port)
            await player.over()
            assert player.lost
        assert len(origin.http or ()) == 0


async def test_who_waits_for_the_application_is_cut_too(tmp_path: Path) -> None:
    async with running(tmp_path, http=HTTP) as origin:
        probe(origin).release = asyncio.Event()
        async with HttpPlayer(url(origin, stream="slow")) as player:
            await until(lambda: ("play", "slow", "") in probe(origin).said)
            await origin.close_gate()
            await player.over()
            assert player.lost
        probe(origin).release.set()
        await until(lambda: not origin.tasks.running)
        assert len(origin.http or ()) == 0


@KINDS
async def test_a_player_that_asks_again_after_a_takeover_goes_on(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, http=HTTP) as origin:
        for text in (b"before", b"after"):
            async with Publisher(origin, "s") as publisher, HttpPlayer(url(origin, kind)) as player:
                publisher.begin()
                publisher.push(VIDEO, 0, key(text))
                await player.until(lambda player=player: len(player.media()) == 3)  # type: ignore[misc]
                assert player.media()[-1][2] == key(text)
                publisher.push(VIDEO, 40, inter())
                await take_over(origin)
                await player.over()
                assert player.lost


async def test_without_authority_nobody_is_served(tmp_path: Path) -> None:
    async with running(tmp_path, http=HTTP) as origin, Publisher(origin, "s"):
        probe(origin).said.clear()
        origin.authority.end()
        async with HttpPlayer(url(origin)) as player:
            await player.over()
            assert player.status == 503
        assert probe(origin).said == []


async def test_who_was_accepted_just_before_a_gate_was_closed_is_cut(tmp_path: Path) -> None:
    async with running(tmp_path, http=HTTP) as origin:
        assert origin.http is not None
        factories: list[Callable[[], asyncio.BaseProtocol]] = [
            origin.sessions,
            origin.http.port().factory,
        ]
    for factory in factories:
        near, far = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(factory, near)
        assert transport.is_closing()
        far.close()
        await asyncio.sleep(0)


async def test_a_connection_that_still_drains_is_cut_like_the_others(tmp_path: Path) -> None:
    async with running(tmp_path, http=HTTP) as origin:
        delivery = origin.http
        assert delivery is not None
        with socket.create_connection(("127.0.0.1", origin.http_port or 0)):
            await until(lambda: delivery.connected)
            (connection,) = delivery._connections
            connection.writer.write(bytes(20_000_000))  # nobody reads it
            connection.force_close()  # as aiohttp does when an answer failed, or is the last one
            delivery.cut()
            await until(lambda: not delivery.connected)


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"http\.listen.*in use"):
            async with running(tmp_path, http={"listen": listen}):
                pass


@pytest.mark.parametrize(
    ("http", "key"),
    [
        ({"listen": "127.0.0.1:1935"}, "http.listen"),
        ({"tls_key": "key.pem"}, "http.tls_certificate"),
        ({"tls_certificate": "certificate.pem"}, "http.tls_key"),
    ],
)
def test_keys_that_do_not_fit_are_named(tmp_path: Path, http: dict[str, str], key: str) -> None:
    config = config_of(tmp_path, http=http, rtmp={"listen": "127.0.0.1:1935"})
    with pytest.raises(ConfigError) as refusal:
        config.check()
    assert key in str(refusal.value)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    http = {**HTTP, "tls_certificate": tmp_path / "none.pem", "tls_key": tmp_path / "none.key"}
    with pytest.raises(ConfigError, match=r"http\.tls_certificate"):
        config_of(tmp_path, http=http).check()


@pytest.mark.parametrize("origin", ["page.example", "ftp://page", "https://page/path"])
def test_what_is_no_origin_of_a_page_is_an_error(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValueError, match=r"http\.origins"):
        config_of(tmp_path, http={"origins": [origin]})
