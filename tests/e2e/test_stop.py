"""A clean stop: the service goes on elsewhere, or clients get their time."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from rtmp_sync import NetConnection
from rtmp_sync.server.pair_directory import kept_stopped
from tests.support.gate_log import GateLog
from tests.support.load import Load
from tests.support.pair import Pair, now, within
from tests.support.single import Single

STUBBORN = """
import asyncio

from rtmp_sync import Application, Client, allow


class Stubborn(Application):
    public_types = {"User"}

    @allow("User")
    async def begin(self, client: Client) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    @allow("User")
    async def look(self, client: Client) -> bool:
        return True
"""


async def test_a_method_that_takes_no_cancellation_keeps_nobody_from_stopping(
    tmp_path: Path,
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    origin = Single(apps={"directory": tmp_path})
    try:
        await origin.start()
        async with NetConnection(reconnect=False) as user:
            await user.connect(f"rtmp://{origin.address}/stubborn", "ann", "User")
            stubborn = asyncio.ensure_future(user.call("begin"))
            assert await user.call("look")
            stubborn.cancel()
        assert origin.stop() == 0
        assert "tasks_left" in origin.logs()
        assert "did not stop" not in origin.logs()
    finally:
        origin.clean_up()


async def test_the_service_of_an_active_origin_that_is_stopped_goes_on_at_the_other_one(
    pair: Pair,
) -> None:
    active, standby = await pair.settled()
    kept = kept_stopped(pair.directory / active.id)

    async def is_gone() -> bool:
        living = pair.living(active)
        return not (living.origins or living.guards)

    async def is_alone() -> bool:
        status = await pair.status(standby)
        return status is not None and status["role"] == "active" and not status["sync"]

    async with (
        GateLog(pair) as gates,
        Load(pair.url("proof/stop"), writers=4) as load,
    ):
        await load.acknowledged(200)
        kept.touch()
        pair.signal(active, signal.SIGTERM, origin=False, guard=True)
        await pair.becomes_active(standby, seconds=20)
        await load.everyone_served(now())
        await within(20, f"{active.id} is gone", is_gone)
        await within(20, f"{standby.id} knows that it is alone", is_alone)
        kept.unlink()
        await pair.settled()
        await load.rest()
        await load.full_read("last-reader")
    moves = [one for one in await pair.history(active) or [] if one["event"] == "switchover"]
    assert (moves[-1]["to"], moves[-1]["reason"]) == (standby.id, "stop")
    assert load.history.problems() == []
    assert gates.problems() == []


async def test_a_single_origin_waits_for_its_clients_until_it_is_told_twice() -> None:
    origin = Single(rtmp={"stop_timeout": 600})
    try:
        await origin.start()
        async with NetConnection(reconnect=False) as user:
            await user.connect(f"rtmp://{origin.address}/text", "ann", "Type1")
            assert origin.process is not None
            origin.process.send_signal(signal.SIGINT)

            async def waits() -> bool:
                return "waiting_for_clients" in origin.logs()

            await within(20, "it waits for the client", waits)
            assert await user.call("setText", "still served") == "still served"
            assert origin.stop() == 0
    finally:
        origin.clean_up()
