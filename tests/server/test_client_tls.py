"""RTMPS as a client: connections, shared objects and relays, and certificates that are not good."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rtmp_sync import Config, ConnectError, NetConnection, Origin
from rtmp_sync.config_check import check_files
from rtmp_sync.server.rtmp_url import RtmpUrl
from rtmp_sync.wire.constants import VIDEO
from tests.support.certificates import Authority
from tests.support.joined import begin, instance, play, publish
from tests.support.origins import config_of, running, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def tls_of(certificate: tuple[Path, Path]) -> dict[str, Any]:
    """A section `rtmp` that shows it."""
    return dict(
        zip(
            ("tls_listen", "tls_certificate", "tls_key"),
            ("127.0.0.1:0", *certificate),
            strict=True,
        )
    )


@pytest.fixture
async def origin(authority: Authority, tmp_path: Path) -> AsyncIterator[Origin]:
    rtmp = tls_of(authority.sign("good", address="127.0.0.1"))
    async with running(tmp_path / "origin", rtmp=rtmp) as origin:
        yield origin


def url(origin: Origin, app: str = "probe", host: str = "127.0.0.1") -> str:
    return f"rtmps://{host}:{origin.rtmps_port}/{app}"


async def refusal(url: str, tls: ssl.SSLContext | Path | None) -> str:
    """Why there is no connection."""
    connection = NetConnection(tls=tls)
    with pytest.raises(ConnectError) as refused:
        await connection.connect(url)
    assert connection.state == "closed"
    return str(refused.value)


def test_the_port_of_rtmps_is_443() -> None:
    assert RtmpUrl.parse("rtmps://host/app").port == 443
    assert RtmpUrl.parse("rtmp://host/app").port == 1935
    assert RtmpUrl.parse("rtmps://host:1/app").port == 1


def test_a_redirect_does_not_lead_out_of_tls() -> None:
    there = RtmpUrl.parse("rtmps://host/app")
    assert there.joined("rtmps://other/app").host == "other"
    with pytest.raises(ConnectError, match="out of TLS"):
        there.joined("rtmp://other/app")
    assert RtmpUrl.parse("rtmp://host/app").joined("rtmps://other/app").protocol == "rtmps"


async def test_calls_and_shared_objects_go_over_tls_and_over_a_reconnect(
    origin: Origin, authority: Authority
) -> None:
    async with NetConnection(tls=authority.certificate) as connection:
        await connection.connect(url(origin), "ann", "User")
        (client,) = instance(origin).application.clients
        assert client.transport == "rtmps"
        assert await connection.call("echo", "é" * 100_000) == "é" * 100_000
        board = await connection.shared_object("board")
        await board.set("k", 1)
        origin.cut_sessions("a test")
        await until(lambda: connection.reconnects)
        await board.set("k", 2)
        assert await connection.call("who.am.i") == ["ann", "User"]


async def test_a_context_may_be_given_and_the_system_s_trust_store_is_the_default(
    origin: Origin, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    async with NetConnection(tls=context) as connection:
        await connection.connect(url(origin), "ann", "User")
    assert "certificate is not good: unable to get local issuer" in await refusal(url(origin), None)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with NetConnection() as connection:
        await connection.connect(url(origin), "ann", "User")


async def test_a_certificate_of_another_authority_or_for_another_host_is_refused_with_the_reason(
    origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "other").certificate
    assert "certificate is not good: unable to get" in await refusal(url(origin), other)
    said = await refusal(url(origin, host="localhost"), authority.certificate)
    assert "certificate is not good: Hostname mismatch" in said
    missing = tmp_path / "none.pem"
    assert f"{missing}': cannot be read" in await refusal(url(origin), missing)


async def test_a_port_that_speaks_no_tls_is_named_as_such(
    origin: Origin, authority: Authority
) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    said = await refusal(f"rtmps://127.0.0.1:{port}/probe", authority.certificate)
    assert "the server speaks no TLS on that port" in said
    server.close()
    await server.wait_closed()
    plain = f"rtmps://127.0.0.1:{origin.rtmp_port}/probe"
    assert plain in await refusal(plain, authority.certificate)


async def test_why_there_is_no_reconnect_is_one_line_of_the_log(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "origin"
    async with running(state, rtmp=tls_of(authority.sign("a", address="127.0.0.1"))) as origin:
        port = origin.rtmps_port
        connection = NetConnection(tls=authority.certificate)
        await connection.connect(url(origin), "ann", "User")
    wrong = tls_of(authority.sign("wrong", address="127.0.0.2"))
    wrong["tls_listen"] = f"127.0.0.1:{port}"
    with caplog.at_level(logging.WARNING, "rtmp_sync.client"):
        async with running(state, rtmp=wrong):
            await until(lambda: "IP address mismatch" in caplog.text)
    await connection.close()


async def test_streams_are_pushed_and_pulled_over_tls(
    origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    push = {"push": url(origin), "streams": ["out"], "ca": authority.certificate}
    pull = {"pull": url(origin), "streams": ["in"], "ca": authority.certificate}
    apps = {"probe": {"relays": [push, pull]}}
    async with running(tmp_path / "near", apps=apps) as near:
        there, here = await play(origin, "out"), await play(near, "in")
        begin(await publish(near, "out"))
        begin(await publish(origin, "in"))
        await until(lambda: len(there.frames) >= 3 and len(here.frames) >= 3)
        assert {kind for kind, _, _ in there.frames} >= {VIDEO}


async def test_a_relay_whose_server_s_certificate_is_not_good_says_so_and_carries_nothing(
    origin: Origin, tmp_path: Path
) -> None:
    apps = {"probe": {"relays": [{"push": url(origin)}]}}
    with capture_logs() as logs:
        async with running(tmp_path / "near", apps=apps) as near:
            begin(await publish(near, "out"))
            await until(lambda: any(one["event"] == "relay_failed" for one in logs))
    (failed,) = [one for one in logs if one["event"] == "relay_failed"]
    assert "the server's certificate is not good: unable to get local issuer" in failed["reason"]


def test_an_authority_of_a_relay_that_is_no_certificate_is_found_before(tmp_path: Path) -> None:
    relay = {"push": "rtmps://host/app", "ca": tmp_path / "none.pem"}
    config: Config = config_of(tmp_path, apps={"live": {"relays": [relay]}})
    errors, _ = check_files(config, store=False)
    assert "apps.live.relays.ca" in [error.key for error in errors]
