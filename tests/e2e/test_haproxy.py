"""A real HAProxy with the sample configuration in front of a real pair."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.server.pair_directory import FRONT_DOOR_SOURCE
from rtmp_sync.server.ports import can_bind
from tests.support.gate_log import GateLog
from tests.support.haproxy import SAMPLE, Haproxy
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, within
from tests.support.programs import require

DEFAULT_SERVER = (
    "default-server inter 1s fastinter 100ms downinter 100ms fall 2 rise 1"
    " on-marked-down shutdown-sessions observe layer4 error-limit 1 on-error mark-down"
)


@pytest.fixture
def front(pair: Pair, tmp_path: Path) -> Iterator[Haproxy]:
    with Haproxy(pair.nodes(), tmp_path) as haproxy:
        yield haproxy


@pytest.fixture
async def client() -> AsyncIterator[NetConnection]:
    connection = NetConnection(reconnect=False)
    yield connection
    await connection.close()


@pytest.mark.parametrize("choice", ["", "FAST_PROFILE", "SEND_PROXY", "SOURCE", "HTTP_LISTEN"])
def test_the_sample_is_valid_in_each_variant_without_a_warning(choice: str) -> None:
    environment = {choice: ":8080" if choice == "HTTP_LISTEN" else "127.0.0.1"} if choice else {}
    checked = subprocess.run(
        [require("haproxy"), "-c", "-f", str(SAMPLE)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert checked.returncode == 0
    assert checked.stderr == ""


def test_the_sample_has_the_numbers_of_the_failover_rules() -> None:
    lines = [line.strip() for line in SAMPLE.read_text().splitlines()]
    settings = [line for line in lines if line and not line.startswith("#")]
    for setting in (
        "option httpchk GET /health/active",
        DEFAULT_SERVER,
        "timeout check 800ms",
        DEFAULT_SERVER.replace("inter 1s", "inter 400ms"),
        "timeout check 300ms",
        "retries 3",
        "option redispatch 1",
    ):
        assert settings.count(setting) == 1
    assert not any("backup" in setting or "on-marked-up" in setting for setting in settings)


async def test_clients_reach_the_active_origin_and_no_other(pair: Pair, front: Haproxy) -> None:
    active, standby = await pair.settled()
    await front.leads_to(active)
    async with Load(pair.url("proof/behind", front.address), writers=6) as load:
        await load.acknowledged(300)
        servers = await front.servers()
        status = await pair.status(active)
    assert servers[active.id].current >= 6
    assert servers[standby.id].sessions == 0
    assert status is not None
    assert status["clients"] >= 6
    assert load.history.problems() == []


async def test_a_crash_and_a_frozen_host_lose_nothing_and_serve_nobody_twice(
    pair: Pair, front: Haproxy
) -> None:
    """The frozen one goes on where it was when it thaws: with sessions that HAProxy has cut."""
    await front.leads_to((await pair.settled())[0])
    async with (
        GateLog(pair) as gates,
        HealthSampler(pair) as health,
        Load(pair.url("proof/haproxy", front.address), writers=8) as load,
    ):
        for sign, guard in ((signal.SIGKILL, False), (signal.SIGSTOP, True)):
            await load.acknowledged(300)
            active, standby = await pair.settled()
            await front.leads_to(active)
            at = pair.signal(active, sign, guard=guard)
            load.history.fault(at, f"{signal.Signals(sign).name} of {active.id}")
            if sign == signal.SIGKILL:
                gates.ended(active, at)
            await pair.becomes_active(standby, seconds=20)
            await front.leads_to(standby)
            await load.everyone_served(at)
            assert (await front.servers())[active.id].current == 0
            if sign == signal.SIGSTOP:
                gates.frozen(active, at, pair.signal(active, signal.SIGCONT, guard=True))
        await load.acknowledged(300)
        await pair.settled()
        await load.rest()
        await load.full_read("last-reader", url=pair.url("proof/haproxy", front.address))
    assert load.history.problems() == []
    assert gates.problems() == []
    assert health.both == []
    assert health.open_samples > 0


async def test_the_sessions_of_an_origin_that_is_marked_down_are_cut(
    pair: Pair, front: Haproxy, client: NetConnection
) -> None:
    """Nobody else would end them: the origin and its guard stand still, no packet comes."""

    async def has_ended() -> bool:
        return client.state == "closed"

    active, standby = await pair.settled()
    await front.leads_to(active)
    await client.connect(pair.url("text/haproxy", front.address), "me", "Type1")
    pair.signal(active, signal.SIGSTOP, guard=True)
    try:
        await within(15, "the client's connection has ended", has_ended)
        servers = await front.servers()
        assert not servers[active.id].up
        assert servers[active.id].current == 0
        await front.leads_to(standby)
    finally:
        pair.signal(active, signal.SIGCONT, guard=True)


@pytest.mark.skipif(not can_bind(FRONT_DOOR_SOURCE), reason="this system has no 127.0.0.2")
@pytest.mark.parametrize("by_haproxy", [True, False])
async def test_an_origin_sees_the_address_of_the_client_itself(
    pair: Pair, tmp_path: Path, client: NetConnection, by_haproxy: bool
) -> None:
    active, _ = await pair.settled()
    with Haproxy(pair.nodes(), tmp_path, proxy=True, source=FRONT_DOOR_SOURCE) as front:
        await front.leads_to(active)
        address = front.address if by_haproxy else pair.front
        await client.connect(pair.url("mirror", address), "me", "Looker")
        seen = str(await client.call("address"))
        assert seen.startswith("127.0.0.1:")
        told = await within(5, f"a line of {seen}", lambda: _told_of(active, seen))
        assert told["event"] == "connected"
        assert told["proxy"].startswith(f"{FRONT_DOOR_SOURCE}:")


async def _told_of(node: Node, peer: str) -> dict[str, str] | None:
    """What the node's log tells of its connection with `peer`; None: nothing yet."""
    content = await asyncio.to_thread(node.log.read_text)
    lines: list[dict[str, str]] = [json.loads(line) for line in content.splitlines()]
    return next((line for line in lines if line.get("peer") == peer), None)
