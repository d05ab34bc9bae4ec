"""Who may connect by its address: allow, deny, and how many connections at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from rtmp_sync import Config, Origin
from rtmp_sync.config_check import check_files
from rtmp_sync.server.addresses import Addresses
from rtmp_sync.wire.proxy_protocol import encode
from tests.server.test_proxied_clients import ProxiedPeer, cut
from tests.support.origins import running, until
from tests.support.peer import Peer

PROXIED = {"proxy_protocol_from": ["127.0.0.1"]}


def of(host: str) -> ProxiedPeer:
    """A client behind a load balancer."""
    return ProxiedPeer(encode((host, 50000), ("10.0.0.1", 1935)))


async def refused(origin: Origin, first: bytes = b"") -> str:
    """The reason in the log of a connection that is closed without a word."""
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
        writer.write(first)
        await cut(reader)
        writer.close()
        await until(lambda: any(line["event"] == "connection_ended" for line in lines))
    (line,) = [line for line in lines if line["event"] == "connection_ended"]
    assert line["log_level"] == "info"
    return str(line["reason"])


@pytest.mark.parametrize(
    ("allow", "deny", "host", "reason"),
    [
        ([], [], "192.0.2.1", ""),
        ([], ["192.0.2.0/24"], "192.0.2.1", "192.0.2.1 is in rtmp.deny"),
        ([], ["192.0.2.0/24"], "192.0.3.1", ""),
        (["192.0.2.0/24"], [], "192.0.2.1", ""),
        (["192.0.2.0/24"], [], "192.0.3.1", "192.0.3.1 is not in rtmp.allow"),
        (["192.0.2.0/24"], ["192.0.2.1"], "192.0.2.1", "192.0.2.1 is in rtmp.deny"),
        (["2001:db8::/32"], [], "2001:db8::1", ""),
        ([], ["192.0.2.0/24"], "::ffff:192.0.2.1", "::ffff:192.0.2.1 is in rtmp.deny"),
        (["2001:db8::/32"], [], "192.0.2.1", "192.0.2.1 is not in rtmp.allow"),
    ],
)
def test_deny_goes_over_allow_and_an_empty_allow_is_for_all(
    allow: list[str], deny: list[str], host: str, reason: str
) -> None:
    assert Addresses(allow, deny).refusal(host) == reason


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_an_address_has_its_number_of_places(first: str, same: str, other: str) -> None:
    addresses = Addresses([], [], per_address=2)
    assert not addresses.enter(first)
    assert not addresses.enter(same)
    assert "has 2 connections" in addresses.enter(same)
    assert not addresses.enter(other)
    addresses.leave(first)
    assert not addresses.enter(same)


@pytest.mark.parametrize(
    ("rtmp", "named"),
    [({"deny": ["127.0.0.0/8"]}, "rtmp.deny"), ({"allow": ["192.0.2.0/24"]}, "rtmp.allow")],
)
async def test_who_may_not_connect_is_closed_and_the_log_says_why(
    tmp_path: Path, rtmp: dict[str, Any], named: str
) -> None:
    async with running(tmp_path, rtmp=rtmp, http={"listen": "127.0.0.1:0"}) as origin:
        assert named in await refused(origin)
        await until(lambda: origin.self_test().ok)  # its own looks at the port are let in
        url = f"http://127.0.0.1:{origin.http_port}/probe/live/s.flv"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 403
            assert named in await response.text()


async def test_behind_a_load_balancer_it_is_about_the_clients_own_address(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp={**PROXIED, "deny": ["192.0.2.7"]}) as origin:
        reason = await refused(origin, encode(("192.0.2.7", 50000), ("10.0.0.1", 1935)))
        assert "192.0.2.7 is in rtmp.deny" in reason
        peer = of("192.0.2.8")
        assert (await peer.connect(origin.rtmp_port, "probe")).ok
        peer.close()


async def test_one_address_has_so_many_connections_and_another_its_own(tmp_path: Path) -> None:
    rtmp = {**PROXIED, "max_connections_per_address": 1}
    async with running(tmp_path, rtmp=rtmp) as origin:
        first, other = of("192.0.2.7"), of("192.0.2.8")
        assert (await first.connect(origin.rtmp_port, "probe")).ok
        header = encode(("192.0.2.7", 50001), ("10.0.0.1", 1935))
        assert "max_connections_per_address" in await refused(origin, header)
        assert (await other.connect(origin.rtmp_port, "probe")).ok
        first.close()
        await until(lambda: len(origin.sessions) == 1)
        again = of("192.0.2.7")
        assert (await again.connect(origin.rtmp_port, "probe")).ok
        again.close()
        other.close()


async def test_without_a_load_balancer_connections_are_counted_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp={"max_connections_per_address": 1}) as origin:
        peer = Peer()
        assert (await peer.connect(origin.rtmp_port, "probe")).ok
        assert "max_connections_per_address" in await refused(origin)
        peer.close()


@pytest.mark.parametrize(
    ("rtmp", "warned"),
    [
        ({"allow": ["192.0.2.0/24"]}, ["rtmp.allow"]),
        ({"deny": ["10.0.0.0/8"]}, ["rtmp.deny"]),
        ({"allow": ["10.0.0.0/8"], "deny": ["192.0.2.0/24"]}, []),
    ],
)
def test_config_check_sees_that_the_other_origins_probes_would_fail(
    tmp_path: Path, rtmp: dict[str, Any], warned: list[str]
) -> None:
    sections = {"apps": {"directory": tmp_path}, "failover": {"peer_rtmp": "10.0.0.2:1935"}}
    config = Config.model_validate({"node": {"id": "A"}, "rtmp": rtmp, **sections})
    warnings = check_files(config, store=False)[1]
    assert [key for key in ("rtmp.allow", "rtmp.deny") if any(key in w for w in warnings)] == warned
