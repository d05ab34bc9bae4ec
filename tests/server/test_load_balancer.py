"""What counts as a look of the load balancer, and whose."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from rtmp_sync import Origin
from rtmp_sync.server.load_balancer import KNOWN_GAPS, LoadBalancerChecks
from tests.support.origins import running, until

BALANCER, PEER = "10.0.0.9", "10.0.0.2"


def test_nothing_is_known_before_the_first_check() -> None:
    checks = LoadBalancerChecks([PEER])
    assert checks.age(100.0) is None
    checks.seen(BALANCER, 100.0)
    assert checks.age(101.5) == 1.5


@pytest.mark.parametrize("host", [PEER, "::ffff:10.0.0.2", "127.0.0.1", "::1", "", "unknown"])
def test_the_other_origin_and_this_machine_do_not_count(host: str) -> None:
    checks = LoadBalancerChecks([PEER])
    checks.seen(host, 100.0)
    assert checks.age(100.0) is None


@pytest.mark.parametrize("configured", [[], ["origin-b.example.com"], ["127.0.0.1"]])
def test_while_the_other_ones_address_is_unknown_everybody_counts(configured: list[str]) -> None:
    checks = LoadBalancerChecks(configured)
    checks.seen("127.0.0.1", 100.0)
    assert checks.age(100.0) == 0.0


def test_a_host_name_becomes_an_address_by_the_link() -> None:
    checks = LoadBalancerChecks(["origin-b.example.com"])
    checks.peer_is(PEER)
    checks.seen(PEER, 100.0)
    checks.seen("127.0.0.1", 100.0)
    assert checks.age(100.0) is None


def seen_every(checks: LoadBalancerChecks, *gaps: float) -> float:
    """The time of the last one."""
    at = 100.0
    checks.seen(BALANCER, at)
    for gap in gaps:
        at += gap
        checks.seen(BALANCER, at)
    return at


@pytest.mark.parametrize(
    "gaps", [(5.0, 5.0, 5.0), (0.1, 4.9, 0.1, 4.9)], ids=["one", "two processes"]
)
def test_a_load_balancer_that_looks_seldom_is_not_missed_between_two_looks(
    gaps: tuple[float, ...],
) -> None:
    checks = LoadBalancerChecks([PEER])
    last = seen_every(checks, *gaps)
    assert checks.missed_for(last + max(gaps)) == pytest.approx(1)
    assert checks.missed_for(last + max(gaps) + 5) == pytest.approx(6)
    assert checks.age(last + 4) == pytest.approx(4)


def test_a_load_balancer_that_looks_often_is_missed_from_the_last_look_on() -> None:
    checks = LoadBalancerChecks([PEER])
    last = seen_every(checks, 0.1, 1.0, 0.1)
    assert checks.missed_for(last + 3) == pytest.approx(3)


def test_somebody_who_looks_by_hand_is_no_load_balancer() -> None:
    checks = LoadBalancerChecks([PEER])
    last = seen_every(checks, 2.0, 3600.0)
    assert checks.missed_for(last) is None


def test_a_load_balancer_that_was_away_is_missed_again_soon() -> None:
    checks = LoadBalancerChecks([PEER])
    last = seen_every(checks, 1.0, 600.0, *[1.0] * KNOWN_GAPS)
    assert checks.missed_for(last + 4) == pytest.approx(4)


async def age_after(origin: Origin, path: str) -> float | None:
    health = origin.admin.addresses[1]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{health}{path}") as answer,
    ):
        assert answer.status == 200
    return origin.load_balancer.age(0.0)


async def test_a_look_at_health_active_is_a_check_and_another_is_not(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        assert await age_after(origin, "/health/live") is None
        assert await age_after(origin, "/health/active") is not None


async def test_a_connection_without_a_byte_is_a_check_and_nothing_to_tell(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        with capture_logs() as lines:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
                writer.close()
                await writer.wait_closed()
            await until(lambda: origin.sessions.tally.connects == 3 and not len(origin.sessions))
        assert origin.load_balancer.age(0.0) is not None
        assert {line["log_level"] for line in lines} == {"debug"}


async def test_a_connection_that_is_reset_without_a_byte_is_one_too(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        with capture_logs() as lines:
            _, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            await until(lambda: origin.sessions.tally.connects == 1)
            linger = struct.pack("ii", 1, 0)  # close sends a reset
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await until(lambda: not len(origin.sessions))
        assert origin.load_balancer.age(0.0) is not None
        assert {line["log_level"] for line in lines} == {"debug"}


async def test_a_client_that_said_something_is_told_and_no_check(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        with capture_logs() as lines:
            _, writer = await asyncio.open_connection("127.0.0.1", origin.rtmp_port)
            writer.write(b"\3")
            await writer.drain()
            await until(
                lambda: any(session.connection.bytes_in for session in origin.sessions._all)
            )
            writer.close()
            await until(lambda: not len(origin.sessions))
        assert origin.load_balancer.age(0.0) is None
        assert [line["reason"] for line in lines if line["event"] == "connection_ended"] == [
            "closed by the peer"
        ]
        assert lines[-1]["log_level"] == "info"
