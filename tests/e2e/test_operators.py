"""What operators do with a pair, by the commands that they have, while clients work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.errors import ConnectError
from rtmp_sync.server.pair_directory import kept_stopped
from rtmp_sync.wire.constants import CONNECT_APP_SHUTDOWN, CONNECT_RECONNECT_REQUEST
from tests.support.gate_log import GateLog
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, within
from tests.support.told import Told

WRITES = 300


async def run(pair: Pair, *arguments: str, code: int = 0) -> str:
    """The command's output, of stdout if it was to succeed."""
    done = await pair.run_command(*arguments)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


async def told(pair: Pair, *arguments: str) -> dict[str, Any]:
    """The same with --json."""
    answer: dict[str, Any] = json.loads(await run(pair, *arguments, "--json"))
    return answer


@asynccontextmanager
async def load_of(pair: Pair, room: str) -> AsyncIterator[Load]:
    """Clients at work; at the end nothing may be lost, taken back or done twice, both origins
    never open at once, and nobody sent elsewhere."""
    async with (
        GateLog(pair) as gates,
        HealthSampler(pair) as health,
        Load(pair.url(f"proof/{room}"), writers=8) as load,
    ):
        listening = Told(load)
        await load.acknowledged(WRITES)
        yield load
        await load.acknowledged(WRITES)
        await load.rest()
        await load.full_read("last-reader")
    assert load.history.problems() == []
    assert gates.problems() == []
    assert health.both == []
    assert listening.addresses == []


async def unplanned(pair: Pair, since: int) -> list[dict[str, Any]]:
    """Takeovers that nobody asked for, in later epochs than `since`."""
    events = (await told(pair, "history"))["events"]
    return [
        event
        for event in events
        if event["event"] in ("failover", "reclaimed")
        and event["epoch"] > since
        and event["reason"] != "switchover"
    ]


async def epoch(pair: Pair) -> int:
    nodes = (await told(pair, "status"))["nodes"]
    return max(int(node["epoch"]) for node in nodes)


async def test_switchovers_under_load_lose_nothing_and_tell_each_step(pair: Pair) -> None:
    async with load_of(pair, "switchover") as load:
        listening = Told(load)
        for arguments in (["switchover"], ["switchover", "--drain", "0.5"], ["failback"]):
            await load.acknowledged(WRITES)
            active, standby = await pair.settled()
            if arguments == ["failback"] and active.id == "A":
                await told(pair, "switchover")
                active, standby = await pair.settled()
            report = (await told(pair, *arguments))["report"]
            assert (report["from"], report["to"]) == (active.id, standby.id)
            steps = report["steps"]
            assert {"drained", "peer_ready", "closed", "recorded", "opened"} <= set(steps)
            assert await pair.healthy(standby, "active")
            await load.full_read("reader")
        assert listening.codes[CONNECT_RECONNECT_REQUEST] >= len(load.writers)
        assert set(listening.codes) == {CONNECT_RECONNECT_REQUEST}


async def test_clients_are_asked_to_leave_and_nobody_new_is_let_in_while_draining(
    pair: Pair,
) -> None:
    active, standby = await pair.settled()
    async with NetConnection() as able, NetConnection(reconnect=False) as plain:
        codes: dict[str, list[object]] = {"able": [], "plain": []}
        for name, connection in (("able", able), ("plain", plain)):
            await connection.connect(pair.url("proof/drain"), name, "Writer")
            connection.on_status = lambda info, name=name: codes[name].append(info["code"])
        draining = asyncio.create_task(run(pair, "drain", "--seconds", "30"))

        async def both_were_told() -> bool:
            return all(codes.values())

        await within(10, "both clients are told", both_were_told)
        assert codes == {"able": [CONNECT_RECONNECT_REQUEST], "plain": [CONNECT_APP_SHUTDOWN]}
        with pytest.raises(ConnectError) as refusal:
            await NetConnection(reconnect=False).connect(pair.url("proof/drain"), "new", "Writer")
        assert refusal.value.code == CONNECT_APP_SHUTDOWN
        assert await pair.healthy(active, "active")
        await able.call("counts")  # served until the end
        await plain.close()
        await able.close()
    await asyncio.wait_for(draining, 20)  # well before its 30 s: everybody has left
    assert await pair.healthy(standby, "active")


async def test_while_paused_nobody_takes_over_and_resume_makes_it_happen(pair: Pair) -> None:
    active, standby = await pair.settled()
    await run(pair, "pause", "--reason", "a test")
    try:

        async def knows() -> bool:
            return bool((await pair.status(standby) or {}).get("paused"))

        await within(20, "the standby reads of the pause", knows)
        pair.signal(active, signal.SIGKILL)

        async def waits_for_resume() -> bool:
            events = await pair.history(standby) or []
            return any(event["event"] == "would_have_failed_over" for event in events)

        await within(20, "the standby says that it would have taken over", waits_for_resume)
        assert not await pair.healthy(standby, "active")
        assert not await pair.healthy(active, "active")
    finally:
        await run(pair, "resume")
    await pair.becomes_active(standby, seconds=20)
    await pair.settled()
    events = (await told(pair, "history"))["events"]
    orders = [event for event in events if event["event"] in ("order", "order_done")]
    assert [(one["order"], one["user"], one["address"]) for one in orders[-4:]] == [
        (order, "admin", "127.0.0.1") for order in ("pause", "pause", "resume", "resume")
    ]


async def test_maintenance_of_either_origin_is_no_outage_and_no_unplanned_takeover(
    pair: Pair,
) -> None:
    before = await epoch(pair)
    active, standby = await pair.settled()
    async with load_of(pair, "maintenance") as load:
        report = await told(pair, "maintenance", standby.id, "--restart")
        assert (report["served"], report["serves"]) == (False, active.id)
        await load.acknowledged(WRITES)
        pids = pair.node(active.id)
        report = await told(pair, "maintenance", active.id, "--restart", "--return")
        assert (report["served"], report["serves"]) == (True, active.id)
        assert pair.node(active.id).pid != pids.pid
        assert await pair.healthy(active, "active")
    assert await unplanned(pair, before) == []
    assert await epoch(pair) == before + 2


async def test_an_origin_stays_stopped_until_enter_is_pressed(pair: Pair) -> None:
    active, standby = await pair.settled()
    command = f"{sys.executable} -m rtmp_sync maintenance {standby.id} --dir {pair.directory}"
    leader, follower = os.openpty()
    process = await asyncio.create_subprocess_shell(
        command, stdin=follower, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    os.close(follower)

    async def is_stopped() -> bool:
        return not any(pair.living(standby).origins + pair.living(standby).guards)

    try:
        await within(20, "the standby is stopped", is_stopped)
        assert await pair.healthy(active, "active")
        assert kept_stopped(pair.directory / standby.id).exists()
        os.write(leader, b"\n")
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        os.close(leader)
    assert process.returncode == 0, output.decode()
    assert await pair.healthy(pair.node(standby.id), "standby")


async def test_resync_takes_a_whole_new_copy_under_load(pair: Pair) -> None:
    async with load_of(pair, "resync"):
        answer = await told(pair, "resync", "--yes")
        assert answer["complete"]
        await pair.settled()


async def test_force_serves_with_an_old_copy_when_the_operator_accepts_the_loss(
    own_pair: Pair,
) -> None:
    own_pair.start()
    active, standby = await own_pair.settled()
    await put(own_pair, "known to both")
    await stop_and_keep(own_pair, standby)
    await put(own_pair, "known to one")
    await stop_and_keep(own_pair, active, how=signal.SIGKILL)
    kept_stopped(own_pair.directory / standby.id).unlink()

    async def is_stuck() -> bool:
        status = await own_pair.status(own_pair.node(standby.id))
        return status is not None and "no_eligible_standby" in status["alarms"]

    await within(40, "the old copy is not eligible", is_stuck)
    assert "add --accept-data-loss" in await run(own_pair, "failover", "--force", "--yes", code=1)
    assert "add --yes" in await run(own_pair, "failover", "--force", "--accept-data-loss", code=2)
    answer = await told(own_pair, "failover", "--force", "--accept-data-loss", "--yes")
    assert not answer["lost"]["nothing"]
    assert await own_pair.healthy(own_pair.node(standby.id), "active")
    kept_stopped(own_pair.directory / active.id).unlink()
    serving, _ = await own_pair.settled()
    assert serving.id == standby.id
    async with NetConnection() as reader:
        await reader.connect(own_pair.url("proof/force"), "reader", "Writer")
        board = await reader.shared_object("board", persistent=True)
        assert dict(board) == {"k": "known to both"}


async def put(pair: Pair, value: str) -> None:
    async with NetConnection() as writer:
        await writer.connect(pair.url("proof/force"), "writer", "Writer")
        board = await writer.shared_object("board", persistent=True)
        await board.set("k", value)


async def stop_and_keep(pair: Pair, node: Node, *, how: int = signal.SIGTERM) -> None:
    """End the node and keep the pair from starting it again."""
    node = pair.node(node.id)
    kept_stopped(pair.directory / node.id).touch()
    pair.signal(node, how, origin=how == signal.SIGKILL, guard=True)

    async def is_gone() -> bool:
        living = pair.living(node)
        return not (living.origins or living.guards)

    await within(20, f"{node.id} is gone", is_gone)


async def test_wrong_use_has_exit_code_2_and_what_fails_1(pair: Pair) -> None:
    _, standby = await pair.settled()
    wrong = [
        ["maintenance", "C", "--restart"],
        ["maintenance", standby.id],
        ["failover"],
        ["resync"],
        ["drain", "--seconds", "-1"],
    ]
    for arguments in wrong:
        error = await run(pair, *arguments, code=2)
        assert error.count("\n") == 1, error
    assert "use `rtmp-sync switchover`" in await run(pair, "failover", "--force", code=1)


async def test_a_deleted_pair_file_is_written_again_by_repair(pair: Pair) -> None:
    active, _ = await pair.settled()
    line = pair.line()
    (pair.directory / "MainOriginConfig.txt").unlink()

    async def is_missed() -> bool:
        status = await pair.status(active)
        return status is not None and "config_missing" in status["alarms"]

    await within(10, "the pair file is missed", is_missed)
    assert "add --yes" in await run(pair, "config", "repair", code=2)
    assert (await told(pair, "config", "repair", "--yes"))["done"]
    assert pair.line() == line
    assert "nothing is to be mended" in await run(pair, "config", "repair")
    assert await pair.healthy(active, "active")


async def test_of_two_orders_at_once_one_is_refused(pair: Pair) -> None:
    active, _ = await pair.settled()
    async with NetConnection() as client:  # keeps the drain waiting
        await client.connect(pair.url("proof/orders"), "client", "Writer")
        first = asyncio.create_task(pair.run_command("drain", "--seconds", "60"))

        async def drains() -> bool:
            return (await pair.status(active) or {}).get("state") == "DRAINING"

        await within(20, "the active origin drains", drains)
        assert await run(pair, "switchover", code=1)
    assert (await first).returncode == 0
