"""The handshake probe against real ports."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.config_values import Address
from rtmp_sync.server.rtmp_probe import ANSWER_BYTES, OwnProbes, RtmpProbe
from tests.support.origins import running, until, url

PATIENT, BRIEF = 10.0, 0.1  # deadlines: of what answers, and of what never does
PATIENTLY = {"probe_interval": 20.0, "probe_deadline": PATIENT}


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Address]:
    """A server that says `answer` to whoever connects, and ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(*server.sockets[0].getsockname())


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(address: Address, deadline_seconds: float = PATIENT) -> bool:
    return await RtmpProbe(lambda: address, deadline_seconds)()


async def test_a_server_that_speaks_rtmp_answers() -> None:
    async with answering(b"\3" + bytes(ANSWER_BYTES - 1)) as address:
        assert await ask(address)
        assert await ask(Address("localhost", address.port))


@pytest.mark.parametrize(
    "answer",
    [b"", b"\3", b"\3" + bytes(ANSWER_BYTES - 2), b"H" + bytes(ANSWER_BYTES - 1)],
    ids=["nothing", "a byte", "one byte too few", "another protocol"],
)
async def test_what_is_no_whole_handshake_is_a_failure(answer: bytes) -> None:
    async with answering(answer) as address:
        assert not await ask(address)


async def test_a_connection_that_only_the_kernel_completes_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # nobody accepts
        assert not await ask(Address(*frozen.getsockname()), BRIEF)


async def test_a_port_that_refuses_and_a_host_that_does_not_exist_are_failures() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = Address(*gone.getsockname())
    assert not await ask(address)
    assert not await ask(Address("no-such-host.invalid", 1935))


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Origin]:
    """An origin that has as many clients as it takes: one."""
    async with (
        running(tmp_path, rtmp={"max_connections": 1}, failover=PATIENTLY) as origin,
        NetConnection(reconnect=False) as client,
    ):
        await client.connect(url(origin, "probe"), "ann", "User")
        yield origin


async def test_an_origin_that_is_full_answers_itself_and_counts_no_client(full: Origin) -> None:
    accepted = full.sessions.tally.connects
    test = await full.check_self(port_open=lambda: True)
    assert (test.ok, test.rtmp) == (True, True)
    assert full.sessions.tally.connects == accepted
    assert full.counts()["clients"] == 1


async def test_a_stranger_is_no_probe_of_ours(full: Origin) -> None:
    stranger = RtmpProbe(lambda: Address("127.0.0.1", full.rtmp_port), PATIENT, own=OwnProbes())
    assert not await stranger()  # its connection is one too many


async def test_an_origin_without_file_descriptors_fails_its_own_check(tmp_path: Path) -> None:
    async with running(tmp_path, failover=PATIENTLY) as origin:
        with no_descriptors_left():
            test = await origin.check_self(port_open=lambda: True)
        assert (test.ok, test.reason) == (False, "self_probe_rtmp")
        assert (await origin.check_self(port_open=lambda: True)).ok


async def test_a_port_that_need_not_be_open_is_not_asked(tmp_path: Path) -> None:
    async with running(tmp_path, failover=PATIENTLY) as origin:
        with no_descriptors_left():
            assert (await origin.check_self(port_open=lambda: False)).ok
            answers = iter([True, False])  # it was closed on purpose meanwhile
            assert (await origin.check_self(port_open=lambda: next(answers))).ok


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_where_a_proxys_header_is_expected_of_this_machine_the_probe_has_one(
    tmp_path: Path, host: str
) -> None:
    rtmp = {"listen": f"{host}:0", "proxy_protocol_from": ["127.0.0.0/8", "::1"]}
    async with running(tmp_path, rtmp=rtmp, failover=PATIENTLY) as origin:
        assert (await origin.check_self(port_open=lambda: True)).rtmp


async def test_the_watchdog_hears_of_a_port_that_does_not_answer(tmp_path: Path) -> None:
    failover = {"probe_interval": 0.5, "probe_deadline": 0.4}
    async with running(tmp_path, failover=failover) as origin:
        with no_descriptors_left():
            await until(lambda: "self_probe_rtmp" in origin.watchdog.alarms)
        await until(lambda: "self_probe_rtmp" not in origin.watchdog.alarms)
        assert origin.watchdog.health_active()  # there is nobody to serve instead
