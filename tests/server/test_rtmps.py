"""RTMPS: a second public port, whose certificates are replaced while clients are connected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rtmp_sync import Origin
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls import tls_listener
from rtmp_sync.server import certificates
from tests.support.certificates import Authority
from tests.support.origins import SECONDS, running, until
from tests.support.peer import Peer
from tests.support.tls_peer import TlsPeer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def rtmp(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The section, with the certificate of "first"."""
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.01)
    files = tmp_path / "first.pem", tmp_path / "first.key"
    for source, file in zip(authority.sign("first"), files, strict=True):
        shutil.copy(source, file)
    return {"tls_listen": "127.0.0.1:0", "tls_certificate": files[0], "tls_key": files[1]}


def replace(file: Path, by: Path) -> None:
    """As certificate programs do it."""
    new = file.with_suffix(".new")
    shutil.copy(by, new)
    os.replace(new, file)


def client_hello() -> bytes:
    """The first record of a TLS client."""
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


def port(origin: Origin) -> int:
    assert origin.rtmps_port is not None
    return origin.rtmps_port


async def shown_to(origin: Origin, authority: Authority, host: str = "a.test") -> str:
    peer = TlsPeer(authority, host)
    await peer.open(port(origin))
    peer.close()
    return peer.shown


async def test_a_client_over_tls_is_served_as_any_other(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        peer, plain = TlsPeer(authority), Peer()
        assert (await peer.connect(port(origin), "probe", "me", "User")).ok
        assert (await plain.connect(origin.rtmp_port, "probe", "other", "User")).ok
        transports = sorted(session.client.transport for session in origin.sessions)
        assert transports == ["rtmp", "rtmps"]
        peer.close()
        plain.close()


async def test_the_port_is_closed_with_the_gate_and_everybody_cut(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        peer = TlsPeer(authority)
        await peer.connect(port(origin), "probe", "me", "User")
        reader, writer = await asyncio.open_connection("127.0.0.1", port(origin))
        assert await origin.close_gate()
        await until(lambda: peer.closed)
        assert await reader.read() == b""  # it had not begun its handshake
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port(origin))


async def test_a_new_certificate_is_shown_to_new_clients_and_nobody_is_dropped(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        old = TlsPeer(authority)
        await old.connect(port(origin), "probe", "me", "User")
        assert old.shown == "first"
        with capture_logs() as lines:
            certificate, key = authority.sign("second")
            replace(rtmp["tls_certificate"], certificate)
            replace(rtmp["tls_key"], key)
            await until(lambda: any(one["event"] == "certificate_replaced" for one in lines))
        assert await shown_to(origin, authority) == "second"
        old.send(old.rtmp.call("createStream")[1])
        await until(lambda: old.events)
        assert not old.closed
        old.close()


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key"])
async def test_files_that_are_wrong_change_nothing_and_say_so_once(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority, name: str
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        with capture_logs() as lines:
            wrong = tmp_path / "wrong.pem"
            wrong.write_text("nonsense")
            wrong.chmod(0o600)
            wrong.replace(rtmp[name])  # in one step: half of a file would be told of, too
            await until(lambda: any(one["event"] == "certificate_kept" for one in lines))
            assert origin.certificates is not None
            await origin.certificates.refresh()
        assert await shown_to(origin, authority) == "first"
        (told,) = [one for one in lines if one["event"] == "certificate_kept"]
        assert f"rtmp.{name}" in told["error"]
        assert str(rtmp[name]) in told["error"]


async def test_the_host_that_a_client_names_chooses_the_certificate(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority
) -> None:
    files = [str(path) for path in authority.sign("org")]
    names = {"Live.example.org": files, "*.example.org": [str(p) for p in authority.sign("any")]}
    async with running(tmp_path / "state", rtmp={**rtmp, "tls_names": names}) as origin:
        assert await shown_to(origin, authority, "live.EXAMPLE.org") == "org"
        assert await shown_to(origin, authority, "other.example.org") == "any"
        assert await shown_to(origin, authority, "example.com") == "first"


async def told(lines: list[Any], event: str) -> str:
    await until(lambda: any(one["event"] == event for one in lines))
    return str(next(one for one in lines if one["event"] == event)["reason"])


async def test_plain_rtmp_on_the_tls_port_is_a_clear_line(
    tmp_path: Path, rtmp: dict[str, Any]
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(origin))
            writer.write(b"\x03" + bytes(1536))
            assert "speaks no TLS" in await told(lines, "tls_handshake_failed")
            await reader.read()
            writer.close()


async def test_tls_on_the_plain_port_is_a_clear_line(
    tmp_path: Path, rtmp: dict[str, Any], authority: Authority
) -> None:
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        with capture_logs() as lines:
            with pytest.raises(OSError):  # noqa: PT011  # ssl's or a reset: both say it failed
                await TlsPeer(authority).open(origin.rtmp_port)
            reason = await told(lines, "connection_ended")
        assert "TLS" in reason
        assert "rtmp.tls_listen" in reason


async def test_who_does_not_finish_the_handshake_is_let_go(
    tmp_path: Path, rtmp: dict[str, Any]
) -> None:
    rtmp["handshake_timeout"] = 0.05
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(origin))
            assert "not done within" in await told(lines, "tls_handshake_failed")
            assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("cuts", [[1], [4, 6], [5], [200], [-1]])
async def test_what_a_client_says_first_may_come_in_pieces(
    tmp_path: Path, rtmp: dict[str, Any], cuts: list[int]
) -> None:
    hello = client_hello()
    ends = [*(cut % len(hello) for cut in cuts), len(hello)]
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(origin))
        for begin, end in zip([0, *ends], ends, strict=False):
            writer.write(hello[begin:end])
            for _ in range(5):  # let the origin, in this very loop, see each piece
                await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            assert (await reader.readexactly(1))[0] == 22  # its ServerHello
        writer.close()


async def test_half_a_first_record_is_waited_for_no_longer_than_all(
    tmp_path: Path, rtmp: dict[str, Any]
) -> None:
    rtmp["handshake_timeout"] = 0.05
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(origin))
            writer.write(client_hello()[:100])
            assert "not done within" in await told(lines, "tls_handshake_failed")
            with contextlib.suppress(ConnectionResetError):  # of what was not read
                assert await reader.read() == b""
            writer.close()


async def test_a_crowd_of_unfinished_handshakes_keeps_nobody_out(
    tmp_path: Path,
    rtmp: dict[str, Any],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls_listener, "UNDONE_MAX", 20)
    rtmp["handshake_timeout"] = 600.0
    async with running(tmp_path / "state", rtmp=rtmp) as origin:
        crowd = [await asyncio.open_connection("127.0.0.1", port(origin)) for _ in range(30)]
        peer = TlsPeer(authority)
        assert (await peer.connect(port(origin), "probe", "me", "User")).ok
        async with asyncio.timeout(SECONDS):
            assert await crowd[0][0].read() == b""  # the oldest one has gone
        peer.close()
        for _, writer in crowd:
            writer.close()


async def test_files_that_are_wrong_at_the_start_stop_it(
    tmp_path: Path, rtmp: dict[str, Any]
) -> None:
    rtmp["tls_key"].write_text("nonsense")
    with pytest.raises(ConfigError, match=r"rtmp\.tls_key"):
        async with running(tmp_path / "state", rtmp=rtmp):
            raise AssertionError
